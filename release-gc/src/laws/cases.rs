//! The cases that peers got wrong, one by one.

use std::time::Duration;

use record::clock::rfc3339;
use store::History;
use store::history::Kind;
use store::staging::Liveness;

use super::{BEGIN, DAY, HOUR, Told, at, policy, removed, rules};
use crate::plan::{Disk, plan, unclear};
use crate::retention::{InUse, MinFree, Policy};

#[test]
fn bad_releases_never_eat_the_quota_of_good_ones() {
    let mut told = Told::new();
    for kind in [Kind::Good, Kind::Good, Kind::Bad, Kind::Bad, Kind::Bad, Kind::Bad] {
        told.deploy(kind);
    }
    told.switch("current", 2);
    let plan = told.plan(&policy(2));
    assert_eq!(removed(&plan), [3, 4, 5, 6]);
    assert_eq!(rules(&plan, 1), ["previous", "good"]);
    assert_eq!(rules(&plan, 2), ["current", "good"]);
}

#[test]
fn what_was_live_without_a_verdict_is_kept_like_a_good_one() {
    let mut told = Told::new();
    for _ in 0..5 {
        let seq = told.make();
        told.switch("current", seq);
        told.clock += DAY;
    }
    assert_eq!(removed(&told.plan(&policy(3))), [1, 2]);
}

#[test]
fn age_counts_from_when_a_release_stopped_being_live() {
    let mut told = Told::new();
    told.deploy(Kind::Good);
    told.clock += 90 * DAY;
    told.deploy(Kind::Good);
    told.deploy(Kind::Good);
    let policy = Policy { keep_young: Some(Duration::from_secs(7 * DAY)), ..policy(1) };
    assert_eq!(rules(&told.plan(&policy), 1), ["young"], "made long ago, live until the day before yesterday");
    told.clock += 6 * DAY;
    assert_eq!(removed(&told.plan(&policy)), [1]);
}

#[test]
fn what_was_never_live_stays_a_day() {
    let mut told = Told::new();
    told.deploy(Kind::Good);
    let unused = told.make();
    assert_eq!(rules(&told.plan(&policy(1)), unused), ["unused"]);
    told.clock += DAY;
    assert_eq!(removed(&told.plan(&policy(1))), [unused]);
}

#[test]
fn failed_builds_have_a_quota_of_their_own_and_live_ones_stay() {
    let mut told = Told::new();
    told.deploy(Kind::Good);
    for (seq, liveness) in [(2, Liveness::Dead), (3, Liveness::Dead), (4, Liveness::Live), (5, Liveness::Unknown)] {
        told.build(seq, liveness);
    }
    let going = |policy: &Policy| -> Vec<String> {
        told.plan(policy).builds.iter().filter(|build| build.removed).map(|build| build.id.to_string()).collect()
    };
    assert_eq!(going(&policy(1)), ["v2"]);
    assert_eq!(going(&Policy { keep_failed: 0, ..policy(1) }), ["v2", "v3"]);
    assert_eq!(going(&Policy { keep_failed: 9, ..policy(1) }), Vec::<String>::new());
}

#[test]
fn while_processes_are_unseen_what_was_live_stays_a_day_and_strictly_everything() {
    let mut told = Told::new();
    for _ in 0..4 {
        told.deploy(Kind::Good);
    }
    let in_use = InUse { unseen_processes: 3, ..InUse::default() };
    assert_eq!(removed(&told.plan_with(&policy(1), &in_use)), [1, 2]);
    told.clock = BEGIN + 3 * DAY - 1;
    let plan = told.plan_with(&policy(1), &in_use);
    assert_eq!((removed(&plan), rules(&plan, 2)), (vec![1], vec!["unseen"]), "a second short of its day");
    let strict = Policy { strict: true, ..policy(1) };
    assert_eq!(removed(&told.plan_with(&strict, &in_use)), Vec::<u64>::new());
    assert_eq!(removed(&told.plan_with(&strict, &InUse::default())), [1, 2]);
}

#[test]
fn a_lost_history_proves_nothing_old() {
    let mut told = Told::new();
    for _ in 0..6 {
        told.deploy(Kind::Good);
    }
    told.clock += 100 * DAY;
    told.lines.clear();
    told.inventory.history = History::default();
    assert_eq!(removed(&told.plan(&policy(1))), Vec::<u64>::new(), "without any history");
    // Whoever takes the lock next writes down what the link names.
    told.line("current", Kind::Found, None, 6);
    assert_eq!(removed(&told.plan(&policy(1))), Vec::<u64>::new(), "with one that has just begun");
    told.clock += 2 * DAY;
    assert_eq!(removed(&told.plan(&policy(3))), [1, 2, 3], "then the newest are kept as if they had been live");
}

#[test]
fn a_full_disk_takes_what_only_its_age_keeps_oldest_first() {
    let mut told = Told::new();
    for _ in 0..5 {
        told.deploy(Kind::Good);
    }
    told.pin(2, &rfc3339(at(told.clock + DAY)));
    let young = Policy { keep_young: Some(Duration::from_secs(30 * DAY)), ..policy(1) };
    assert_eq!(removed(&told.plan(&young)), Vec::<u64>::new());
    let with = |free_bytes, wanted| {
        let policy = Policy { min_free: Some(wanted), ..young.clone() };
        let disk = Disk { free_bytes, size_bytes: 10_000 };
        let plan = plan(&told.inventory, &policy, &InUse::default(), disk, at(told.clock));
        (removed(&plan), plan.missing_bytes)
    };
    assert_eq!(with(950, MinFree::Percent(10)), (vec![1], 0));
    assert_eq!(with(1000, MinFree::Percent(10)), (vec![], 0));
    assert_eq!(with(0, MinFree::Bytes(1000)), (vec![1, 3], 800), "pinned, current and previous stay");
}

#[test]
fn a_date_that_does_not_read_or_lies_ahead_is_young() {
    let mut told = Told::new();
    told.deploy(Kind::Good);
    let unused = told.make();
    told.clock += 10 * DAY;
    for date in ["yesterday", "2099-01-01T00:00:00Z"] {
        told.inventory.releases[1].created_at = date.into();
        assert_eq!(rules(&told.plan(&policy(1)), unused), ["unused"], "{date}");
    }
}

#[test]
fn the_release_of_the_last_pipe_and_the_one_it_left_stay() {
    let mut told = Told::new();
    for _ in 0..5 {
        told.deploy(Kind::Good);
    }
    let run = serde_json::json!({
        "schema": "cutover.record/1", "ok": true, "changed": true, "pipe": "p", "host": "h", "release": {"id": "v2"},
        "stages": [{"tool": "release-switch", "version": "0", "ok": true, "changed": true, "started_at": "",
            "elapsed_ms": 1, "from": "v1"}],
    });
    told.inventory.run = Some(serde_json::from_value(run).unwrap());
    let plan = told.plan(&policy(1));
    assert_eq!((rules(&plan, 1), rules(&plan, 2)), (vec!["run"], vec!["run"]));
    assert_eq!(removed(&plan), [3]);
}

#[test]
fn unclear_state_stops_everything() {
    let mut told = Told::new();
    told.deploy(Kind::Good);
    let unclear_at = |told: &Told, now| unclear(&told.inventory, at(now)).is_some();
    assert!(!unclear_at(&told, told.clock));
    assert!(!unclear_at(&told, told.clock - HOUR), "an hour back is no reason");
    assert!(unclear_at(&told, told.clock + 3650 * DAY), "ten years ahead");
    assert!(unclear_at(&told, 0), "1970");
    let mut damaged = told.clone();
    damaged.inventory.problems.push("line 3 of the history does not read".into());
    assert!(unclear_at(&damaged, told.clock));
    let mut dangling = told.clone();
    dangling.inventory.releases.clear();
    assert!(unclear_at(&dangling, told.clock));
}
