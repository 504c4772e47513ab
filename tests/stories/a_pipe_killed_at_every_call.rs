//! Every stage of a pipe of five killed at its system calls, in dash and in bash: nothing downstream acts, undo stages do
//! what they promise, and the exit status is true.

use stories::faults::{Ending, Pipeline, can_inject, tell};
use stories::skip;

fn sweep(ending: Ending, shell: &'static [&'static str]) {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    let outcome = Pipeline::new(ending, shell).sweep();
    for (promise, points) in &outcome.points {
        let broken = outcome.violations.iter().filter(|(violation, _)| violation.promise == *promise).count();
        tell(promise, *points, broken);
    }
    let first: Vec<_> =
        outcome.violations.iter().take(3).map(|(violation, context)| format!("{violation}, {context}")).collect();
    assert!(first.is_empty(), "{} violations: {}", outcome.violations.len(), first.join("\n"));
    assert!(outcome.points.values().sum::<usize>() > 30, "{:?}", outcome.points);
}

#[test]
fn a_good_deploy_in_dash() {
    sweep(Ending::Good, &["dash"]);
}

#[test]
fn a_good_deploy_in_bash() {
    sweep(Ending::Good, &["bash"]);
}

#[test]
fn a_deploy_that_is_taken_back_in_dash() {
    sweep(Ending::TakenBack, &["dash"]);
}

#[test]
fn a_deploy_that_is_taken_back_in_bash() {
    sweep(Ending::TakenBack, &["bash"]);
}
