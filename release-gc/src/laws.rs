//! The laws of retention, over random histories.

mod cases;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use dir::Name;
use proptest::prelude::*;
use record::clock::rfc3339;
use store::history::{Entry, Kind};
use store::link::LinkState;
use store::staging::{Liveness, StagingState};
use store::{History, Inventory, Manifest, Pin, PinState, ReleaseId, Verdict};

use crate::plan::{Disk, Fate, Plan, plan};
use crate::retention::{InUse, MinFree, Policy};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const BEGIN: u64 = 20_000 * DAY;
const ROOMY: Disk = Disk { free_bytes: 1 << 40, size_bytes: 1 << 40 };

/// A root that is told what happens to it.
#[derive(Debug, Clone, Default)]
struct Told {
    inventory: Inventory,
    lines: Vec<Entry>,
    clock: u64,
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn id(seq: u64) -> ReleaseId {
    ReleaseId::new(format!("v{seq}")).unwrap()
}

fn policy(keep: usize) -> Policy {
    Policy {
        keep,
        keep_young: None,
        keep_unused: Duration::from_secs(DAY),
        keep_failed: 1,
        min_free: None,
        max_delete: None,
        strict: false,
    }
}

impl Told {
    fn new() -> Self {
        Self { clock: BEGIN, ..Self::default() }
    }

    fn make(&mut self) -> u64 {
        let seq = self.inventory.releases.last().map_or(1, |newest| newest.seq + 1);
        let created_at = rfc3339(at(self.clock));
        self.inventory.releases.push(Manifest {
            id: id(seq),
            seq,
            digest: "sha256:0".into(),
            files: 1,
            bytes: 100,
            created_at,
            source: None,
            source_digest: None,
            shared: Vec::new(),
            pipe: None,
            by: None,
            host: None,
            tool_version: None,
        });
        seq
    }

    fn line(&mut self, link: &str, kind: Kind, from: Option<ReleaseId>, seq: u64) {
        let entry = serde_json::json!({
            "seq": self.lines.len() as u64 + 1, "at": rfc3339(at(self.clock)), "link": link, "kind": kind,
            "from": from, "to": id(seq), "to_seq": seq, "target": format!("releases/v{seq}"),
        });
        self.lines.push(serde_json::from_value(entry).unwrap());
        self.inventory.history = History::of(self.lines.iter().cloned());
    }

    fn switch(&mut self, link: &str, seq: u64) {
        let name = Name::new(link).unwrap();
        let from = self.inventory.link(&name).and_then(|link| link.release.clone());
        self.line(link, Kind::Intent, from.clone(), seq);
        self.line(link, Kind::Done, from, seq);
        self.inventory.links.retain(|link| link.name != name);
        self.inventory.links.push(LinkState {
            name,
            target: PathBuf::from(format!("releases/v{seq}")),
            release: Some(id(seq)),
            inside: None,
            problem: None,
        });
    }

    fn judge(&mut self, kind: Kind, seq: u64) {
        self.line("current", kind, None, seq);
    }

    fn deploy(&mut self, kind: Kind) -> u64 {
        let seq = self.make();
        self.switch("current", seq);
        self.judge(kind, seq);
        self.clock += DAY;
        seq
    }

    fn pin(&mut self, seq: u64, until: &str) {
        let text = |text: &str| text.to_owned();
        let pin = Pin { id: id(seq), until: text(until), owner: text("ann"), reason: text("audit"), set_at: text("") };
        self.inventory.pins.insert(id(seq), PinState::Readable(pin));
    }

    fn build(&mut self, seq: u64, liveness: Liveness) {
        let name = format!("b{seq}.0123456789abcdef");
        let (builder, pipe) = (None, None);
        self.inventory.staging.push(StagingState { id: id(seq), name, seq: Some(seq), builder, pipe, liveness });
    }

    fn plan(&self, policy: &Policy) -> Plan {
        self.plan_with(policy, &InUse::default())
    }

    fn plan_with(&self, policy: &Policy, in_use: &InUse) -> Plan {
        plan(&self.inventory, policy, in_use, ROOMY, at(self.clock))
    }
}

fn removed(plan: &Plan) -> Vec<u64> {
    plan.removed().map(|judged| judged.seq).collect()
}

fn rules(plan: &Plan, seq: u64) -> Vec<&'static str> {
    match &plan.releases.iter().find(|judged| judged.seq == seq).unwrap().fate {
        Fate::Keep(reasons) => reasons.iter().map(|reason| reason.rule).collect(),
        Fate::Remove(_) => Vec::new(),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Make,
    Switch(bool, prop::sample::Index),
    Judge(bool, prop::sample::Index),
    Pin(prop::sample::Index, u64),
    UnreadablePin(prop::sample::Index),
    Use(prop::sample::Index),
    Pass(u64),
    Intend(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Step::Make),
        4 => (any::<bool>(), which()).prop_map(|(second, which)| Step::Switch(second, which)),
        3 => (any::<bool>(), which()).prop_map(|(good, which)| Step::Judge(good, which)),
        1 => (which(), 0..200_u64).prop_map(|(which, hours)| Step::Pin(which, hours)),
        1 => which().prop_map(Step::UnreadablePin),
        1 => which().prop_map(Step::Use),
        4 => (1..60_u64).prop_map(Step::Pass),
        1 => which().prop_map(Step::Intend),
    ]
}

fn told(steps: &[Step]) -> (Told, InUse) {
    let (mut told, mut in_use) = (Told::new(), InUse::default());
    told.make();
    for step in steps {
        let of = |which: &prop::sample::Index| which.index(told.inventory.releases.len()) as u64 + 1;
        match step {
            Step::Make => drop(told.make()),
            Step::Switch(second, which) => {
                let seq = of(which);
                told.switch(if *second { "blue" } else { "current" }, seq);
            }
            Step::Judge(good, which) => {
                let seq = of(which);
                told.judge(if *good { Kind::Good } else { Kind::Bad }, seq);
            }
            Step::Pin(which, hours) => {
                let (seq, until) = (of(which), rfc3339(at(told.clock + hours * HOUR)));
                told.pin(seq, &until);
            }
            Step::UnreadablePin(which) => {
                let id = id(of(which));
                told.inventory.pins.insert(id, PinState::Unreadable("torn".into()));
            }
            Step::Use(which) => drop(in_use.users.insert(id(of(which)).to_string(), "puma (pid 1: cwd)".into())),
            Step::Pass(hours) => told.clock += hours * HOUR,
            Step::Intend(which) => {
                let seq = of(which);
                told.line("green", Kind::Intent, Some(id(1)), seq);
            }
        }
    }
    (told, in_use)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_laws_of_retention_hold_over_random_histories(
        steps in prop::collection::vec(step(), 0..80),
        keep in 0..6_usize,
        young in prop::option::of(1..20_u64),
        unseen in 0..2_u64,
        full in any::<bool>(),
    ) {
        let (told, mut in_use) = told(&steps);
        in_use.unseen_processes = unseen;
        let mut policy = policy(keep);
        policy.keep_young = young.map(|days| Duration::from_secs(days * DAY));
        policy.min_free = full.then_some(MinFree::Bytes(u64::MAX));
        let inventory = &told.inventory;
        let plan = told.plan_with(&policy, &in_use);

        let section = plan.to_section();
        prop_assert_eq!(section.counts.kept + section.counts.removed, inventory.releases.len() as u64);
        prop_assert!(section.kept.iter().all(|kept| !kept.reasons.is_empty()), "kept without a reason");

        let gone: BTreeSet<u64> = removed(&plan).into_iter().collect();
        let gone_ids: BTreeSet<ReleaseId> = gone.iter().map(|seq| id(*seq)).collect();
        for link in &inventory.links {
            prop_assert!(link.release.as_ref().is_none_or(|id| !gone_ids.contains(id)), "a link dangles");
            let previous = inventory.previous(&link.name).map(|(manifest, _)| manifest.seq);
            prop_assert!(previous.is_none_or(|seq| !gone.contains(&seq)), "nothing to roll back to");
        }
        for end in inventory.history.open_intents().flat_map(|intent| [&intent.from, &intent.to]).flatten() {
            prop_assert!(!gone_ids.contains(end), "an end of an open intent is gone");
        }
        for (id, pin) in &inventory.pins {
            prop_assert!(!(pin.keeps(at(told.clock)) && gone_ids.contains(id)), "a pin was broken");
        }
        prop_assert!(gone_ids.iter().all(|id| !in_use.users.contains_key(id.as_str())), "in use");
        let good = |manifest: &&Manifest| inventory.history.verdict(manifest.seq) == Verdict::Good;
        let all = inventory.releases.iter().filter(good).count();
        let left = inventory.releases.iter().filter(good).filter(|manifest| !gone.contains(&manifest.seq)).count();
        prop_assert!(left >= all.min(keep), "{left} of {all} good ones remain");

        let mut after = told.clone();
        after.inventory.releases.retain(|manifest| !gone.contains(&manifest.seq));
        prop_assert_eq!(removed(&after.plan_with(&policy, &in_use)), Vec::<u64>::new(), "a second plan does more");
    }

    #[test]
    fn a_cap_takes_the_oldest_and_the_next_run_goes_on(steps in prop::collection::vec(step(), 0..60), most in 0..4_usize) {
        let (mut told, in_use) = told(&steps);
        told.clock += 30 * DAY;
        let whole = removed(&told.plan_with(&policy(1), &in_use));
        let capped = removed(&told.plan_with(&Policy { max_delete: Some(most), ..policy(1) }, &in_use));
        prop_assert_eq!(&capped[..], &whole[..most.min(whole.len())]);
    }
}
