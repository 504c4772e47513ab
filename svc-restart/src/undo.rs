//! What an undo does: which instances this pipe changed, and what each needs now. Pure.
//!
//! Failed ones come first, because they may be down; then the others, the last one changed first.

use std::collections::HashMap;

use record::sections::{RestartInstance, RestartOutcome, RestartSection};

use crate::batches::Batches;
use crate::instance::Instance;
use crate::managers::{Act, State};
use crate::plan::{Plan, Step};

/// One instance that this pipe changed, or may have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// Which.
    pub(crate) instance: Instance,
    /// What was asked for.
    pub(crate) asked: String,
    /// How the first stage that changed it found it, and the last one left it.
    pub(crate) facts: RestartInstance,
    /// The positions of the stages that changed it.
    pub(crate) stages: Vec<usize>,
}

/// What else decides about an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circumstance {
    /// The link names again what it named before, or was never touched by this pipe.
    Usual,
    /// There was no release before this pipe's, so the link still names it.
    FirstDeploy,
    /// Somebody else switched the link since.
    Superseded,
}

/// Collects the changes of the given stages, latest first, without those an earlier undo stage took back.
pub(crate) fn changes(
    stages: &[(usize, RestartSection)],
    undone: &[RestartSection],
    via: &str,
    names: &[Instance],
) -> Vec<Change> {
    let is_undone = |name: &str, stage: usize| {
        undone
            .iter()
            .flat_map(|section| &section.instances)
            .any(|done| done.name == name && done.of_stages.contains(&stage) && is_back(done))
    };
    let mut found: Vec<Change> = Vec::new();
    for (stage, section) in stages.iter().filter(|(_, section)| section.via == via) {
        for facts in section.instances.iter().rev().filter(|facts| facts.outcome.is_touched()) {
            let Ok(instance) = facts.name.parse::<Instance>() else { continue };
            if is_undone(&facts.name, *stage) || (!names.is_empty() && !names.contains(&instance)) {
                continue;
            }
            match found.iter_mut().find(|change| change.instance == instance) {
                // An earlier stage of the same pipe: how that one found it counts.
                Some(change) => {
                    change.stages.push(*stage);
                    change.facts.was_stopped = facts.was_stopped;
                    change.facts.pid_before = facts.pid_before;
                    change.facts.start_ticks_before = facts.start_ticks_before;
                    if change.asked != section.action {
                        change.asked = Act::Restart.word().to_owned();
                    }
                }
                None => found.push(Change {
                    instance,
                    asked: section.action.clone(),
                    facts: facts.clone(),
                    stages: vec![*stage],
                }),
            }
        }
    }
    let (failed, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|change| is_broken(&change.facts));
    [failed, others].concat()
}

/// Whether an entry of an undo stage says that the instance went back, or had nothing to go back from.
pub(crate) fn is_back(entry: &RestartInstance) -> bool {
    !matches!(entry.outcome, RestartOutcome::Untouched) && !is_broken(entry)
}

fn is_broken(facts: &RestartInstance) -> bool {
    matches!(facts.outcome, RestartOutcome::Failed | RestartOutcome::InHand)
}

/// Plans the undo of these changes, in their order, with what the manager says now.
///
/// `keeps_process` says that the same process as before proves nothing: it may have been signalled.
pub(crate) fn plan(
    changes: Vec<Change>,
    now: &HashMap<Instance, State>,
    circumstance: Circumstance,
    keeps_process: bool,
    batches: &Batches,
) -> Plan {
    let mut plan = Plan::default();
    let mut steps = Vec::new();
    for change in changes {
        let state = now.get(&change.instance).cloned().unwrap_or_default();
        match decide(&change, &state, circumstance, keeps_process) {
            Ok((act, reason)) => steps.push(Step {
                instance: change.instance,
                act,
                before: state,
                reason: Some(reason.to_owned()),
                of_stages: change.stages,
            }),
            Err(reason) => plan.left_alone.push((change.instance, reason.to_owned())),
        }
    }
    plan.batches = batches.group(steps);
    plan
}

fn decide(
    change: &Change,
    now: &State,
    circumstance: Circumstance,
    keeps_process: bool,
) -> Result<(Act, &'static str), &'static str> {
    let was_stopped = change.facts.was_stopped;
    if circumstance == Circumstance::Superseded {
        return if now.is_down() && !was_stopped {
            Ok((Act::Start, "it is down, and somebody else switched the link since"))
        } else {
            Err("somebody else switched the link since")
        };
    }
    if was_stopped {
        return if now.condition == crate::managers::Condition::Stopped {
            Err("it is stopped, as before")
        } else {
            Ok((Act::Stop, "it was stopped before"))
        };
    }
    if now.is_down() {
        return if change.asked == Act::Stop.word() || circumstance == Circumstance::Usual {
            Ok((Act::Start, "it ran before"))
        } else {
            Err("there is no release before this one to start")
        };
    }
    if change.asked == Act::Stop.word() && change.facts.outcome == RestartOutcome::Stopped {
        return Err("it runs again, as before");
    }
    let settled = now.condition == crate::managers::Condition::Running;
    if settled && is_same_process(change, now) && !(keeps_process || change.asked == Act::Reload.word()) {
        return Err("its process is the one from before");
    }
    if circumstance == Circumstance::FirstDeploy {
        return Err("there is no release before this one to go back to");
    }
    let act = if change.asked == Act::Reload.word() { Act::Reload } else { Act::Restart };
    Ok((act, if is_broken(&change.facts) { "it failed" } else { "this pipe changed it" }))
}

fn is_same_process(change: &Change, now: &State) -> bool {
    match (now.process, change.facts.pid_before, change.facts.start_ticks_before) {
        (Some(process), Some(pid), Some(ticks)) => process.pid == pid && process.start_ticks == ticks,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::managers::{Condition, Identity};

    fn facts(name: &str, outcome: RestartOutcome) -> RestartInstance {
        RestartInstance {
            name: name.into(),
            outcome,
            pid_before: Some(10),
            start_ticks_before: Some(1),
            ..RestartInstance::default()
        }
    }

    fn section(action: &str, instances: Vec<RestartInstance>) -> RestartSection {
        RestartSection { via: "systemd".into(), action: action.into(), instances, ..RestartSection::default() }
    }

    fn names(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.instance.as_str()).collect()
    }

    use RestartOutcome::{Failed, InHand, Restarted, Skipped, Started, Stopped, Untouched};

    #[test]
    fn failed_ones_first_then_in_reverse_order_and_never_what_was_not_touched() {
        let all = vec![
            facts("a", Restarted),
            facts("b", Started),
            facts("c", Failed),
            facts("d", InHand),
            facts("e", Skipped),
            facts("f", Untouched),
        ];
        let stages = [(2, section("restart", all))];
        assert_eq!(names(&changes(&stages, &[], "systemd", &[])), ["d", "c", "b", "a"]);
        assert_eq!(names(&changes(&stages, &[], "exec", &[])), [] as [&str; 0]);
        assert_eq!(names(&changes(&stages, &[], "systemd", &["b".parse().unwrap()])), ["b"]);
    }

    #[test]
    fn done_twice_is_done_once() {
        let stages = [(2, section("restart", vec![facts("a", Restarted), facts("b", Restarted)]))];
        let undone = RestartInstance { of_stages: vec![2], ..facts("b", Restarted) };
        assert_eq!(names(&changes(&stages, &[section("restart", vec![undone])], "systemd", &[])), ["a"]);
        let of_another = RestartInstance { of_stages: vec![5], ..facts("b", Restarted) };
        assert_eq!(names(&changes(&stages, &[section("restart", vec![of_another])], "systemd", &[])), ["b", "a"]);
    }

    #[test]
    fn of_two_stages_that_changed_one_instance_the_first_says_how_it_was() {
        let first = RestartInstance { was_stopped: true, pid_before: None, ..facts("a", Started) };
        let stages = [(4, section("stop", vec![facts("a", Stopped)])), (2, section("start", vec![first]))];
        let changes = changes(&stages, &[], "systemd", &[]);
        assert_eq!(changes.len(), 1);
        assert!(changes[0].facts.was_stopped);
        assert_eq!(changes[0].stages, [4, 2]);
    }

    #[test]
    fn what_each_changed_instance_needs_now() {
        use Circumstance::{FirstDeploy, Superseded, Usual};
        let up = |pid| State {
            condition: Condition::Running,
            process: Some(Identity { pid, start_ticks: 1 }),
            ..State::default()
        };
        let stopping = |pid| State { condition: Condition::Stopping, ..up(pid) };
        let down = || State { condition: Condition::Stopped, ..State::default() };
        for (asked, outcome, was_stopped, now, circumstance, act) in [
            ("restart", Restarted, false, up(11), Usual, Some(Act::Restart)),
            ("restart", Failed, false, up(11), Usual, Some(Act::Restart)),
            ("restart", Failed, false, down(), Usual, Some(Act::Start)),
            ("restart", Failed, false, up(10), Usual, None),
            ("restart", InHand, false, up(10), Usual, None),
            ("restart", InHand, false, down(), Usual, Some(Act::Start)),
            ("restart", Failed, false, stopping(10), Usual, Some(Act::Restart)),
            ("restart", Started, true, up(11), Usual, Some(Act::Stop)),
            ("restart", Started, true, down(), Usual, None),
            ("reload", RestartOutcome::Reloaded, false, up(10), Usual, Some(Act::Reload)),
            ("stop", Stopped, false, down(), Usual, Some(Act::Start)),
            ("stop", Stopped, false, up(12), Usual, None),
            ("start", Started, true, up(11), Usual, Some(Act::Stop)),
            ("restart", Started, true, up(11), FirstDeploy, Some(Act::Stop)),
            ("restart", Failed, true, up(11), FirstDeploy, Some(Act::Stop)),
            ("restart", Restarted, false, up(11), FirstDeploy, None),
            ("stop", Stopped, false, down(), FirstDeploy, Some(Act::Start)),
            ("restart", Restarted, false, up(11), Superseded, None),
            ("restart", Failed, false, down(), Superseded, Some(Act::Start)),
            ("restart", Started, true, up(11), Superseded, None),
            ("restart", Failed, true, down(), Superseded, None),
        ] {
            let facts = RestartInstance { was_stopped, ..facts("a", outcome) };
            let change = Change { instance: "a".parse().unwrap(), asked: asked.into(), facts, stages: vec![0] };
            let found = decide(&change, &now, circumstance, false).ok().map(|(act, _)| act);
            assert_eq!(found, act, "{asked} {outcome:?}, was stopped: {was_stopped}, now {now:?}, {circumstance:?}");
        }
    }
}
