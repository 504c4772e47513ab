//! `kill -9`, signals and failing calls at every system call of a tool: promises hold, a rerun and one collection clean up.
//!
//! What is tried, and how much, is in the harness (`stories::faults`); a story for each operation, so that a failure
//! says whose it is.

use stories::faults::{Operation, swept};
use stories::{skip, skip::measured};

fn survives(operation: Operation) {
    let Some(outcome) = swept(&[operation]) else { skip!("strace cannot inject faults here") };
    let faults = outcome.points.get("I1").copied().unwrap_or(0);
    measured(&format!("{operation:?}: {faults} faults"));
    let first: Vec<_> =
        outcome.violations.iter().take(4).map(|(violation, context)| format!("{violation}, {context}")).collect();
    assert!(first.is_empty(), "{} of {faults} faults: {}", outcome.violations.len(), first.join("\n"));
    assert!(faults > 15, "only {faults} faults");
}

#[test]
fn a_build_survives_a_fault_at_every_call() {
    survives(Operation::Make);
}

#[test]
fn a_switch_survives_a_fault_at_every_call() {
    survives(Operation::Switch);
}

#[test]
fn a_rollback_survives_a_fault_at_every_call() {
    survives(Operation::Rollback);
}

#[test]
fn an_undo_survives_a_fault_at_every_call() {
    survives(Operation::Undo);
}

#[test]
fn a_collection_survives_a_fault_at_every_call() {
    survives(Operation::Collect);
}

#[test]
fn a_pin_survives_a_fault_at_every_call() {
    survives(Operation::Pin);
}
