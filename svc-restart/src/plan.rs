//! Which instance needs what, in which order and batches. Pure.

use crate::batches::Batches;
use crate::instance::Instance;
use crate::managers::{Act, State};

/// One instance and what is known of it before anything is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) instance: Instance,
    /// What its manager says.
    pub(crate) state: State,
    /// Whether it already runs from the record's release; asked only behind a record with `changed:false`.
    pub(crate) converged: bool,
}

/// What is done, batch by batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The batches in order, none of them empty.
    pub(crate) batches: Vec<Vec<Step>>,
    /// The instances that are already as they should be, and why.
    pub(crate) left_alone: Vec<(Instance, String)>,
}

/// One instance's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Which.
    pub(crate) instance: Instance,
    /// What.
    pub(crate) act: Act,
    /// What was so before.
    pub(crate) before: State,
    /// Why this and not what was asked for, where that differs.
    pub(crate) reason: Option<String>,
    /// In an undo: the stages that had changed it.
    pub(crate) of_stages: Vec<usize>,
}

/// Plans what was asked for: starts what is stopped, leaves alone what is as it should be.
///
/// The batches are cut over all instances, so that a percentage means the whole service.
pub(crate) fn plan(known: Vec<Known>, asked: Act, batches: &Batches) -> Plan {
    let mut plan = Plan::default();
    for group in batches.group(known) {
        let mut batch = Vec::new();
        for Known { instance, state, converged } in group {
            match decide(&state, asked, converged) {
                Ok((act, reason)) => {
                    let reason = reason.map(str::to_owned);
                    batch.push(Step { instance, act, before: state, reason, of_stages: Vec::new() });
                }
                Err(reason) => plan.left_alone.push((instance, reason.to_owned())),
            }
        }
        if !batch.is_empty() {
            plan.batches.push(batch);
        }
    }
    plan
}

fn decide(state: &State, asked: Act, converged: bool) -> Result<(Act, Option<&'static str>), &'static str> {
    match asked {
        Act::Restart | Act::Reload if state.is_down() => Ok((Act::Start, Some("it is stopped"))),
        Act::Restart | Act::Reload if converged => Err("it already runs from this release"),
        Act::Start if !state.is_down() && state.condition != crate::managers::Condition::Unknown => {
            Err("it already runs")
        }
        Act::Stop if state.condition == crate::managers::Condition::Stopped => Err("it is already stopped"),
        act => Ok((act, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::managers::{Condition, Down, Fault};
    use proptest::prelude::*;

    fn failed() -> Condition {
        Condition::Failed(Down { reason: "x".into(), fault: Fault::Nobody })
    }

    fn known(name: usize, condition: Condition, converged: bool) -> Known {
        let state = State { condition, ..State::default() };
        Known { instance: format!("shop@{name}").parse().unwrap(), state, converged }
    }

    #[test]
    fn what_each_instance_needs() {
        use Condition::{Running, Starting, Stopped, Unknown};
        for (asked, condition, converged, act) in [
            (Act::Restart, Running, false, Some(Act::Restart)),
            (Act::Restart, Running, true, None),
            (Act::Restart, Stopped, false, Some(Act::Start)),
            (Act::Restart, Stopped, true, Some(Act::Start)),
            (Act::Restart, failed(), true, Some(Act::Start)),
            (Act::Restart, Unknown, false, Some(Act::Restart)),
            (Act::Reload, Running, false, Some(Act::Reload)),
            (Act::Reload, Stopped, false, Some(Act::Start)),
            (Act::Start, Running, false, None),
            (Act::Start, Starting, false, None),
            (Act::Start, Stopped, false, Some(Act::Start)),
            (Act::Start, failed(), false, Some(Act::Start)),
            (Act::Start, Unknown, false, Some(Act::Start)),
            (Act::Stop, Running, false, Some(Act::Stop)),
            (Act::Stop, Stopped, false, None),
            (Act::Stop, failed(), false, Some(Act::Stop)),
        ] {
            let plan = plan(vec![known(1, condition.clone(), converged)], asked, &Batches::Size(1));
            let found = plan.batches.first().map(|batch| batch[0].act);
            assert_eq!(found, act, "{asked:?} of {condition:?}, converged: {converged}");
            assert_eq!(plan.left_alone.len(), usize::from(act.is_none()));
        }
    }

    proptest! {
        #[test]
        fn planned_and_left_alone_are_all_in_order(converged in proptest::collection::vec(any::<bool>(), 0..40), size in 1usize..9) {
            let all: Vec<Known> = converged.iter().enumerate().map(|(n, c)| known(n, Condition::Running, *c)).collect();
            let plan = plan(all.clone(), Act::Restart, &Batches::Size(size));
            let planned: Vec<Instance> = plan.batches.concat().into_iter().map(|step| step.instance).collect();
            let wanted: Vec<Instance> = all.iter().filter(|k| !k.converged).map(|k| k.instance.clone()).collect();
            prop_assert_eq!(planned, wanted);
            prop_assert_eq!(plan.left_alone.len(), converged.iter().filter(|c| **c).count());
            prop_assert!(plan.batches.iter().all(|batch| !batch.is_empty() && batch.len() <= size));
        }
    }
}
