//! Faults at every system call of svc-restart, its undo included, with what is done to the instances logged.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::judge::{documented, record, violation};
use super::points::{self, Point, says_enough, says_ok};
use super::{Outcome, Tier};
use crate::checker::{Checker, Violation};
use crate::puppets::{INSTANCES, Puppets};
use crate::{Record, Run, Shop, skip};

/// Which of its two works is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Three instances go to a new release, one by one.
    Forth,
    /// Two of them, one with a gate that said no, go back.
    Back,
}

struct Scene {
    shop: Shop,
    puppets: Puppets,
    command: String,
    /// What the instances run before and are to run afterwards.
    before: [String; 3],
    after: [String; 3],
    done: i32,
}

impl Restart {
    fn scene(self) -> Scene {
        let shop = Shop::in_memory();
        let puppets = Puppets::of(&shop);
        let restart = puppets.restart();
        let old = shop.deploy_well("v1");
        for instance in INSTANCES {
            shop.pipe(puppets.command("start", instance)).run().exits(0);
        }
        let of = |ids: [&String; 3]| ids.map(String::clone);
        let deploy = "release-mk -q --root $ROOT --from v2 | release-switch -q";
        let scene = match self {
            Self::Forth => {
                shop.source("v2");
                shop.pipe(format!("{deploy} >made")).run().exits(0);
                let new = shop.current().expect("a link");
                let (before, after) = (of([&old, &old, &old]), of([&new, &new, &new]));
                Scene { command: format!("{restart} <made"), before, after, done: 0, shop, puppets }
            }
            Self::Back => {
                shop.source_that("v2", "bad");
                let run = shop.pipe(format!("{deploy} | {restart} | release-switch -q --undo >made")).run();
                run.exits(3);
                let new = shop.releases().pop().expect("a release");
                let (before, after) = (of([&new, &new, &old]), of([&old, &old, &old]));
                Scene { command: format!("{restart} --undo <made"), before, after, done: 3, shop, puppets }
            }
        };
        scene.shop.pipe("cp root/.cutover/run.json run.before; mkdir -p template").run().exits(0);
        scene
    }

    /// Tries every fault of the tier.
    pub fn sweep(self) -> Outcome {
        let scene = self.scene();
        scene.reset();
        let mut outcome = Outcome::default();
        let run = scene.run(points::counting());
        run.exits(scene.done);
        let points = points::points(&scene.shop, &["KILL", "TERM", "INT"], Tier::asked().of(8, 25, usize::MAX));
        scene.reset();
        let checker = Checker::of_shop(&scene.shop);
        for point in &points {
            let run = scene.run(&point.strace());
            scene.puppets.settle();
            if Point::came(&scene.shop) {
                let at = format!("{self:?} with {point}");
                record(
                    &mut outcome,
                    &["I1", "I2", "I8", "I11", "I13"],
                    scene.wrong(&checker, &run),
                    &format!("{at}\n{run}"),
                );
                let again = scene.run("");
                record(&mut outcome, &["I7", "I13"], scene.unfinished(&again), &format!("{at}\n{run}\nagain: {again}"));
            }
            scene.reset();
            if says_enough(&outcome) {
                break;
            }
        }
        if Tier::asked() != Tier::Quick {
            let broken = outcome.violations.len();
            skip::measured(&format!("svc-restart {self:?}: {} faults, {broken} violations", points.len()));
        }
        outcome
    }
}

impl Scene {
    fn run(&self, before: &str) -> Run {
        self.shop.pipe(format!("exec {before} {}", self.command)).awaited().run()
    }

    /// Everything as it was: the instances up, each with its release; the record in run.json; an empty log.
    fn reset(&self) {
        self.puppets.settle();
        for (instance, release) in INSTANCES.iter().zip(&self.before) {
            if self.puppets.pid(instance).is_none() {
                self.shop.pipe(self.puppets.command("start", instance)).run().exits(0);
            }
            self.puppets.pretend(instance, release);
        }
        fs::copy(self.shop.path().join("run.before"), self.shop.root().join(".cutover/run.json")).expect("restore");
        self.puppets.clear_log();
    }

    fn are_as_asked(&self) -> bool {
        self.puppets.releases().iter().zip(&self.after).all(|(now, wanted)| now.as_ref() == Some(wanted))
    }

    /// What must hold right after a fault.
    fn wrong(&self, checker: &Checker, run: &Run) -> Vec<Violation> {
        let mut found = checker.violations();
        found.extend(checker.changed_besides(|_| false));
        if self.puppets.most_down() > 1 {
            found.push(violation("I13", format!("more than a batch was down: {:?}", self.puppets.log())));
        }
        if !documented(run, &[self.done, 3]) {
            found.push(violation("I11", format!("status {}", run.status)));
        }
        let is_done = run.status == 0 || (self.done == 0 && says_ok(run));
        if is_done && !self.are_as_asked() {
            found.push(violation(
                "I11",
                format!("it said that it was done, but they run {:?}", self.puppets.releases()),
            ));
        }
        let text = fs::read_to_string(self.shop.root().join(".cutover/run.json")).unwrap_or_default();
        found.extend(self.untold("run.json", &serde_json::from_str(&text).unwrap_or(Value::Null)));
        if let Ok(record) = Record::parse(&run.stdout) {
            found.extend(self.untold("the record", record.json()));
        }
        found
    }

    /// I13: whoever reads this must learn of every instance that something was done to.
    fn untold(&self, what: &str, record: &Value) -> Option<Violation> {
        let stages = record["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own =
            stages.last().filter(|stage| stage["tool"] == "svc-restart" && (self.done == 0 || stage["undo"] == true));
        let instances = own.and_then(|stage| stage["instances"].as_array()).map(Vec::as_slice).unwrap_or_default();
        let is_untouched = |entry: &&Value| entry["outcome"] == "untouched" || entry["outcome"] == "skipped";
        let told: BTreeSet<String> = instances
            .iter()
            .filter(|entry| !is_untouched(entry))
            .filter_map(|entry| Some(entry["name"].as_str()?.to_owned()))
            .collect();
        // An undo that a full disk keeps from its notes goes on all the same; the stages before tell what it is about.
        let touched = self.puppets.touched();
        let untold: Vec<_> = touched.difference(&told).collect();
        let may_be_silent = self.done == 3 && what == "run.json";
        (!untold.is_empty() && !may_be_silent)
            .then(|| violation("I13", format!("{what} does not tell of {untold:?}: {instances:?}")))
    }

    /// What must hold after the same command has run once more.
    fn unfinished(&self, again: &Run) -> Vec<Violation> {
        let mut found = Vec::new();
        if again.status != self.done || !self.are_as_asked() {
            found.push(violation(
                "I7",
                format!("after a rerun they run {:?}, status {}", self.puppets.releases(), again.status),
            ));
        }
        if self.puppets.most_down() > 1 {
            found.push(violation("I13", format!("more than a batch was down: {:?}", self.puppets.log())));
        }
        found
    }
}
