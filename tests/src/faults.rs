//! Faults at every system call of a tool: what was tried, and which promises did not hold.
//!
//! `CUTOVER_FAULTS` widens the same loops: unset, the calls that change something and the fault that each operation has
//! most to fear; `all`, every fault, at some calls out of all of them; `long`, every fault at every call.
//! `CUTOVER_FAULTS_TABLE` names a file that gets a line per promise, for the closing table.

mod judge;
mod operation;
mod pipes;
mod points;
mod restarts;
mod routes;
mod sweep;

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

pub use operation::Operation;
pub use pipes::{Ending, Pipeline};
pub use restarts::Restart;
pub use routes::Route;
pub use sweep::{CHANGING, can_inject};

use crate::checker::Violation;
use crate::skip;

/// Names the only operations to try, separated by spaces; for a story that is tried with one planted bug.
pub const ONLY: &str = "CUTOVER_FAULTS_ONLY";

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// What `make test` takes.
    Quick,
    /// `make faults`.
    All,
    /// `make faults-long`.
    Long,
}

impl Tier {
    /// The tier that `CUTOVER_FAULTS` asks for.
    pub fn asked() -> Self {
        match std::env::var("CUTOVER_FAULTS").as_deref() {
            Ok("all") => Self::All,
            Ok("long") => Self::Long,
            _ => Self::Quick,
        }
    }

    /// The one of three that goes with this tier.
    pub fn of<T>(self, quick: T, all: T, long: T) -> T {
        match self {
            Self::Quick => quick,
            Self::All => all,
            Self::Long => long,
        }
    }
}

/// What happens at a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and a name that strace knows.
    Signal(&'static str),
    /// The call fails once with this error.
    Once(&'static str),
    /// From this call on, all of its name fail.
    Lasting(&'static str),
}

/// What was tried on one operation, and what did not hold.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How often each promise was asserted after a fault.
    pub points: BTreeMap<&'static str, usize>,
    /// What did not hold, with the operation and the fault.
    pub violations: Vec<(Violation, String)>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        for (promise, points) in other.points {
            *self.points.entry(promise).or_default() += points;
        }
        self.violations.extend(other.violations);
    }

    fn of(&self, promise: &str) -> (usize, Vec<&(Violation, String)>) {
        let broken = self.violations.iter().filter(|(violation, _)| violation.promise == promise).collect();
        (self.points.get(promise).copied().unwrap_or(0), broken)
    }
}

/// Faults at every call of these operations, tried once per test process; `None` where strace cannot inject any.
pub fn swept(operations: &[Operation]) -> Option<Outcome> {
    static SWEPT: OnceLock<Option<Vec<(Operation, Outcome)>>> = OnceLock::new();
    let swept = SWEPT.get_or_init(|| sweep::can_inject().then(all_units)).as_ref()?;
    let mut sum = Outcome::default();
    for (operation, outcome) in swept {
        if operations.contains(operation) {
            sum.add(outcome.clone());
        }
    }
    Some(sum)
}

/// Every operation with every fault of the tier, on two threads, the longest first.
fn all_units() -> Vec<(Operation, Outcome)> {
    let only = std::env::var(ONLY).unwrap_or_default();
    let is_wanted =
        |operation: &&Operation| only.is_empty() || only.split(' ').any(|wanted| wanted == format!("{operation:?}"));
    let units: Vec<_> = Operation::ALL
        .iter()
        .filter(is_wanted)
        .flat_map(|operation| operation.faults(Tier::asked()).into_iter().map(|fault| (*operation, fault)))
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((operation, fault)) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let outcome = catch_unwind(|| sweep::sweep(*operation, *fault))
                        .unwrap_or_else(|why| gave_up(&format!("{operation:?} with {fault:?}"), &*why));
                    if Tier::asked() != Tier::Quick {
                        let (faults, broken) = (outcome.points.get("I1").unwrap_or(&0), outcome.violations.len());
                        let took = started.elapsed().as_secs();
                        skip::measured(&format!(
                            "{operation:?} with {fault:?}: {faults} faults, {broken} violations, {took} s"
                        ));
                    }
                    done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((*operation, outcome));
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A sweep that could not go on, as a run that does not end makes it, is a violation too; the others go on.
fn gave_up(what: &str, why: &(dyn Any + Send)) -> Outcome {
    let text = why.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".to_owned());
    skip::measured(&format!("{what} could not go on: {text}"));
    let violation = Violation { promise: "I11", what: text };
    Outcome { violations: vec![(violation, what.to_owned())], ..Outcome::default() }
}

/// Asserts that a promise held wherever the sweeps of these operations looked, and puts it into the closing table.
#[track_caller]
pub fn held_at_every_call(promise: &'static str, operations: &[Operation]) {
    let Some(outcome) = swept(operations) else {
        skip::note(&format!("{promise}: strace cannot inject faults here"));
        return;
    };
    let (points, broken) = outcome.of(promise);
    tell(promise, points, broken.len());
    let first: Vec<_> = broken.iter().take(3).map(|(violation, context)| format!("{violation}, {context}")).collect();
    assert!(broken.is_empty(), "{} of {points} points: {}", broken.len(), first.join("\n"));
    assert!(points > 20, "only {points} points");
}

/// Puts a line into the closing table: a promise, how often it was asserted under faults, how often it did not hold.
pub fn tell(promise: &str, points: usize, violations: usize) {
    skip::measured(&format!("{promise} asserted at {points} points, {violations} violations"));
    line(&format!("{promise}\t{points}\t{violations}"));
}

/// The same for a planted bug, the story that was to report it, and whether it did.
pub fn tell_caught(bug: &str, story: &str, caught: bool) {
    skip::measured(&format!("{bug} is {} by {story}", if caught { "caught" } else { "MISSED" }));
    line(&format!("planted\t{bug}\t{story}\t{}", if caught { "caught" } else { "missed" }));
}

fn line(text: &str) {
    if let Some(table) = std::env::var_os("CUTOVER_FAULTS_TABLE") {
        let mut file = OpenOptions::new().append(true).create(true).open(table).expect("open the table");
        writeln!(file, "{text}").expect("write the table");
    }
}
