//! Whole pipes, each stage of which is killed at every system call: nothing downstream acts, undo stages do what they
//! promise, the exit status is true.

use super::judge::{record, violation};
use super::points::{self, Point};
use super::{Outcome, Tier};
use crate::checker::{Checker, Violation};
use crate::puppets::{INSTANCES, Puppets};
use crate::{Run, Shop, skip};

/// How the pipe ends when nobody is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All instances run the new release.
    Good,
    /// The gate says no to the second instance; undo stages take everything back.
    TakenBack,
}

/// Made, switched to, restarted, and taken back if need be.
#[derive(Debug)]
pub struct Pipeline {
    shop: Shop,
    puppets: Puppets,
    ending: Ending,
    shell: &'static [&'static str],
    old: String,
}

/// How many stages it has. The last two are undo stages.
const STAGES: usize = 5;
const RESTART: usize = 2;
const SWITCH_UNDO: usize = 3;
const RESTART_UNDO: usize = 4;

impl Pipeline {
    /// A shop with three instances of v1, and v2 to deploy.
    pub fn new(ending: Ending, shell: &'static [&'static str]) -> Self {
        let shop = Shop::in_memory();
        let puppets = Puppets::of(&shop);
        let old = shop.deploy_well("v1");
        for instance in INSTANCES {
            shop.pipe(puppets.command("start", instance)).run().exits(0);
        }
        shop.source_that("v2", if ending == Ending::Good { "ok" } else { "bad" });
        shop.pipe("cp -a root template").run().exits(0);
        Self { shop, puppets, ending, shell, old }
    }

    /// Kills each stage in turn at its calls.
    pub fn sweep(&self) -> Outcome {
        let mut outcome = Outcome::default();
        for stage in 0..STAGES {
            let run = self.run(stage, points::counting());
            run.exits(if self.ending == Ending::Good { 0 } else { 3 });
            let points = points::kills(&self.shop, Tier::asked().of(3, 9, usize::MAX));
            let mut killed = 0;
            for point in &points {
                self.reset();
                let checker = Checker::of_shop(&self.shop);
                let pids = INSTANCES.map(|instance| self.puppets.pid(instance));
                let run = self.run(stage, &point.strace());
                self.puppets.settle();
                if Point::came(&self.shop) {
                    killed += 1;
                    let at = format!("{:?} in {}, stage {stage} with {point}\n{run}", self.ending, self.shell[0]);
                    let promises = ["I1", "I2", "I6", "I8", "I10", "I11", "I13"];
                    record(&mut outcome, &promises, self.wrong(stage, &checker, pids, &run), &at);
                }
            }
            if Tier::asked() != Tier::Quick {
                let at = format!("{:?} in {}, stage {stage}", self.ending, self.shell[0]);
                skip::measured(&format!(
                    "a pipe, {at}: killed at {killed} calls, {} violations so far",
                    outcome.violations.len()
                ));
            }
            self.reset();
        }
        outcome
    }

    /// The pipe under release-lock, with words before one of its stages.
    fn run(&self, stage: usize, before: &str) -> Run {
        let restart = self.puppets.restart();
        let stages = [
            "release-mk -q --root $ROOT --from v2".to_owned(),
            "release-switch -q".to_owned(),
            restart.clone(),
            "release-switch -q --undo".to_owned(),
            format!("{restart} --undo"),
        ];
        let stages: Vec<_> = stages
            .iter()
            .enumerate()
            .map(|(at, words)| if at == stage { format!("{before} {words}") } else { words.clone() })
            .collect();
        self.shop.write("services/deploy.sh", &stages.join(" | "));
        let script = format!("release-lock -q --root $ROOT -- {} services/deploy.sh", self.shell.join(" "));
        self.shop.pipe(script).awaited().run()
    }

    fn reset(&self) {
        self.puppets.settle();
        self.shop.pipe("rm -rf root && cp -a template root").run().exits(0);
        for instance in INSTANCES {
            if self.puppets.pid(instance).is_none() {
                self.shop.pipe(self.puppets.command("start", instance)).run().exits(0);
            }
            self.puppets.pretend(instance, &self.old);
        }
        self.puppets.clear_log();
    }

    fn wrong(&self, stage: usize, checker: &Checker, pids: [Option<u32>; 3], run: &Run) -> Vec<Violation> {
        let mut found = checker.violations();
        let live = self.shop.current().unwrap_or_default();
        let (is_old, runs) = (live == self.old, self.puppets.releases());
        let all_run = |release: &str| runs.iter().all(|now| now.as_deref() == Some(release));
        if self.puppets.most_down() > 1 {
            found.push(violation("I13", format!("more than a batch was down: {:?}", self.puppets.log())));
        }
        if runs.iter().any(Option::is_none) && !(stage == RESTART_UNDO || stage == RESTART) {
            found.push(violation("I13", format!("an instance is down: {runs:?}")));
        }
        match run.status {
            0 if self.ending == Ending::Good && !is_old && all_run(&live) => {}
            0 => found.push(violation("I11", format!("status 0, but {live} is live, and they run {runs:?}"))),
            3 if self.ending == Ending::TakenBack && is_old && all_run(&live) => {}
            3 => found.push(violation("I11", format!("status 3, but {live} is live, and they run {runs:?}"))),
            1 | 5 | 65 | 66 | 75 | 137 => {}
            other => found.push(violation("I11", format!("status {other}"))),
        }
        let came_through = run.status == 0;
        if stage <= RESTART && !came_through {
            // The undo stages do their work, whoever died before them.
            if !is_old || !all_run(&self.old) {
                found.push(violation("I10", format!("not taken back: {live} is live, and they run {runs:?}")));
            }
            if stage < RESTART && self.ending == Ending::Good && !self.puppets.log().is_empty() {
                found.push(violation("I10", format!("a stage behind a dead one acted: {:?}", self.puppets.log())));
            }
        }
        if stage == SWITCH_UNDO {
            // The one behind it has the instances run what the link names; what was never touched stays.
            for ((instance, before), now) in INSTANCES.iter().zip(pids).zip(&runs) {
                let is_untouched = self.puppets.pid(instance) == before;
                if now.as_ref() != Some(&live) && !is_untouched {
                    found.push(violation("I10", format!("{instance} runs {now:?}, but {live} is live")));
                }
            }
        }
        // Where the last stage dies early, those before it see that nobody reads, and stop before their first effect.
        let is_one_state = all_run(&self.old) || (!is_old && all_run(&live));
        if stage == RESTART_UNDO && self.ending == Ending::Good && !is_one_state {
            found.push(violation("I10", format!("{live} is live, and they run {runs:?}")));
        }
        found
    }
}
