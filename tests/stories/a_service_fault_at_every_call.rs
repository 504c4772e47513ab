//! `kill -9`, signals and failing calls at the system calls of svc-restart and svc-route, with their effects logged: what
//! is where is always told, somebody serves, and a rerun finishes.

use stories::faults::{Outcome, Restart, Route, can_inject, tell};
use stories::skip;

#[track_caller]
fn holds(outcome: &Outcome) {
    for (promise, points) in &outcome.points {
        let broken = outcome.violations.iter().filter(|(violation, _)| violation.promise == *promise).count();
        tell(promise, *points, broken);
    }
    let first: Vec<_> =
        outcome.violations.iter().take(3).map(|(violation, context)| format!("{violation}, {context}")).collect();
    assert!(first.is_empty(), "{} violations: {}", outcome.violations.len(), first.join("\n"));
    assert!(outcome.points.values().sum::<usize>() > 20, "{:?}", outcome.points);
}

#[test]
fn a_restart_tells_what_it_touched_and_is_finished_by_a_rerun() {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    holds(&Restart::Forth.sweep());
}

#[test]
fn an_undo_of_a_restart_is_finished_by_a_rerun() {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    holds(&Restart::Back.sweep());
}

#[test]
fn behind_nginx_somebody_serves_and_a_rerun_finishes() {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    match Route::Nginx.sweep() {
        Ok(outcome) => holds(&outcome),
        Err(why) => skip!("{why}"),
    }
}

#[test]
fn behind_haproxy_somebody_serves_and_a_rerun_finishes() {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    match Route::Haproxy.sweep() {
        Ok(outcome) => holds(&outcome),
        Err(why) => skip!("{why}"),
    }
}
