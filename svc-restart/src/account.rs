//! What the record says of a run, and how it stays below the size of a stage's entry. Pure.
//!
//! The entries of the instances must never be left out: an undo goes by them. So the answers of gates give
//! way, and a call has no more instances than an entry can hold.

use record::sections::{GateAnswer, RestartCounts, RestartInstance, RestartOutcome, RestartSection};

use crate::instance::Instance;

/// So many answers of gates are kept, the first and the last ones.
const ANSWERS: usize = 32;
/// So much of what gates that let pass have printed is kept.
const EMBEDDED: usize = 8 << 10;
/// So much do the entries of all instances take, of the 64 KiB of a stage.
const INSTANCES: usize = 40 << 10;
/// What an entry takes besides its name.
const ENTRY: usize = 170;

/// Whether so many instances can be told of in one stage.
pub(crate) fn is_too_much(names: &[Instance]) -> bool {
    names.iter().map(|name| name.as_str().len() + ENTRY).sum::<usize>() > INSTANCES
}

/// The section as it goes into the record.
pub(crate) fn fit(section: &RestartSection) -> RestartSection {
    let mut fitted = section.clone();
    let mut embedded = 0;
    for answer in &mut fitted.gates {
        embedded += size_of(answer);
        if answer.ok && embedded > EMBEDDED {
            answer.record = None;
        }
    }
    let left_out = fitted.gates.len().saturating_sub(ANSWERS);
    if left_out > 0 {
        fitted.gates.drain(ANSWERS / 2..ANSWERS / 2 + left_out);
    }
    fitted.gates_left_out = left_out as u64;
    fitted
}

fn size_of(answer: &GateAnswer) -> usize {
    answer.record.as_ref().and_then(|record| serde_json::to_vec(record).ok()).map_or(0, |bytes| bytes.len())
}

/// How many instances ended how.
pub(crate) fn counts(instances: &[RestartInstance]) -> RestartCounts {
    let mut counts = RestartCounts::default();
    for instance in instances {
        match instance.outcome {
            RestartOutcome::Failed | RestartOutcome::InHand => counts.failed += 1,
            outcome if outcome.is_touched() => counts.done += 1,
            _ => counts.untouched += 1,
        }
    }
    counts
}

/// The word for an outcome, as the record has it.
pub(crate) fn word(outcome: RestartOutcome) -> &'static str {
    match outcome {
        RestartOutcome::Untouched => "untouched",
        RestartOutcome::InHand => "in hand",
        RestartOutcome::Restarted => "restarted",
        RestartOutcome::Reloaded => "reloaded",
        RestartOutcome::Started => "started",
        RestartOutcome::Stopped => "stopped",
        RestartOutcome::Skipped => "skipped",
        RestartOutcome::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_account_of_a_run_fits_into_a_stage_and_names_every_instance() {
        let names: Vec<Instance> = (0..).map(|n| format!("instance-{n}@{n}").parse().unwrap()).take(220).collect();
        assert!(!is_too_much(&names));
        let instances: Vec<RestartInstance> = names
            .iter()
            .map(|name| RestartInstance {
                name: name.to_string(),
                outcome: RestartOutcome::Restarted,
                pid_before: Some(4_194_303),
                pid_after: Some(4_194_303),
                start_ticks_before: Some(123_456_789),
                elapsed_ms: Some(100_000),
                of_stages: vec![12],
                ..RestartInstance::default()
            })
            .collect();
        let record = serde_json::Value::String("x".repeat(4000));
        let gates = (0..220)
            .map(|n| GateAnswer { batch: n, ok: n != 219, record: Some(record.clone()), ..GateAnswer::default() })
            .collect();
        let section =
            fit(&RestartSection { counts: counts(&instances), instances, gates, ..RestartSection::default() });
        assert!(serde_json::to_vec(&section).unwrap().len() < 60 << 10);
        assert_eq!((section.instances.len(), section.gates.len(), section.gates_left_out), (220, 32, 188));
        assert!(section.gates[31].record.is_some(), "the one that said no is told whole");
        assert_eq!(section.counts.done, 220);
    }

    #[test]
    fn a_short_account_stays_whole() {
        for answers in [0, 1, 17, 32] {
            let gates = (0..answers).map(|batch| GateAnswer { batch, ok: true, ..GateAnswer::default() }).collect();
            let section = RestartSection { gates, ..RestartSection::default() };
            assert_eq!(fit(&section), section);
        }
    }

    #[test]
    fn more_instances_than_an_entry_can_hold_are_refused() {
        let names: Vec<Instance> = (0..400).map(|n| format!("instance@{n}").parse().unwrap()).collect();
        assert!(is_too_much(&names));
    }
}
