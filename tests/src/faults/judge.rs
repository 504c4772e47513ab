//! What must hold right after a fault, before anybody repairs anything.

use super::operation::Scene;
use super::{Fault, Operation, Outcome};
use crate::checker::{Checker, Violation};
use crate::{Record, Run, Shop};

pub(super) fn violation(promise: &'static str, what: impl Into<String>) -> Violation {
    Violation { promise, what: what.into() }
}

/// Counts these promises as asserted once more, and adds what did not hold.
pub(super) fn record(outcome: &mut Outcome, promises: &[&'static str], found: Vec<Violation>, context: &str) {
    for promise in promises {
        *outcome.points.entry(promise).or_default() += 1;
    }
    outcome.violations.extend(found.into_iter().map(|violation| (violation, context.to_owned())));
}

/// Holds a root and a run against the promises that hold at every instant.
#[expect(clippy::too_many_arguments, reason = "all that there is to see")]
pub(super) fn at_once(
    operation: Operation,
    shop: &Shop,
    scene: &Scene,
    checker: &Checker,
    run: &Run,
    fault: Fault,
    at: &str,
    outcome: &mut Outcome,
) {
    let mut found = checker.violations();
    let mut promises = vec!["I1", "I2", "I6", "I8", "I9", "I11", "I12"];
    let made = |id: &str| operation == Operation::Make && !checker.releases().contains(&id.to_owned());
    let kept = checker.kept(2);
    let goes = |id: &str| operation == Operation::Collect && !kept.contains_key(id);
    let pinned = |id: &str| operation == Operation::Pin && scene.command.contains(id);
    found.extend(checker.changed_besides(|id| made(id) || goes(id) || pinned(id)));
    if matches!(operation, Operation::Switch | Operation::Rollback | Operation::Undo) {
        promises.push("I4");
        found.extend(old_or_new(shop, scene, run));
    }
    if operation == Operation::Collect {
        promises.push("I5");
        found.extend(checker.removed_although_kept(2));
    }
    found.extend(untrue(run, scene, fault));
    // A whole record that says ok counts, whatever became of the tool afterwards.
    let acknowledged = Record::parse(&run.stdout).is_ok_and(|record| record["ok"] == true);
    if run.status == 0 || run.status == 4 || acknowledged {
        promises.push("I3");
        found.extend(lost(operation, shop, scene, run, checker));
    }
    record(outcome, &promises, found, &format!("{at}\n{run}"));
}

/// I4: the link names the old release or the new one, and the status says which.
fn old_or_new(shop: &Shop, scene: &Scene, run: &Run) -> Option<Violation> {
    let now = shop.current();
    let names = |id: &String| now.as_ref() == Some(id);
    let as_said = match run.status {
        1 | 65 | 66 | 69 | 75 | 77 | 127 => names(&scene.old),
        status if status == scene.done || status == 4 => names(&scene.new),
        _ => names(&scene.old) || names(&scene.new),
    };
    (!as_said).then(|| {
        violation(
            "I4",
            format!("status {}, from {} to {}, but the link names {now:?}", run.status, scene.old, scene.new),
        )
    })
}

/// Whether a run ended with a status of the contract's for a tool that got a fault, or with one of these.
pub(super) fn documented(run: &Run, others: &[i32]) -> bool {
    let known = [0, 1, 4, 5, 65, 66, 69, 75, 77, 126, 127, 129, 130, 137, 143];
    known.contains(&run.status) || others.contains(&run.status) || is_impossible(run)
}

/// Whether the standard library gave up over an answer that no kernel gives: it panics when there are no random numbers.
/// The other promises hold all the same.
fn is_impossible(run: &Run) -> bool {
    run.stdout.is_empty() && run.stderr.contains("failed to generate random data")
}

/// I11: a documented status, and a record of one mind with it.
fn untrue(run: &Run, scene: &Scene, fault: Fault) -> Option<Violation> {
    let documented = match run.status {
        0 | 1 | 4 | 69 | 75 | 77 => true,
        3 | 5 => scene.done == 3,
        // The loader or the shell, before there was a tool.
        126 | 127 => matches!(fault, Fault::Once(_) | Fault::Lasting(_)) && run.stdout.is_empty(),
        130 | 137 | 143 | 129 => matches!(fault, Fault::Signal(_)),
        101 => is_impossible(run),
        _ => false,
    };
    if !documented {
        return Some(violation("I11", format!("status {}", run.status)));
    }
    if run.stdout.is_empty() {
        // Without a record nobody may claim that all is well; 4 says that it could not be written.
        return (run.status == 0).then(|| violation("I11", "status 0 without a record"));
    }
    let record = match Record::parse(&run.stdout) {
        Ok(record) => record,
        Err(_) if run.status == 137 => return None,
        Err(why) => return Some(violation("I11", format!("no valid record: {why}"))),
    };
    let said = if record["ok"] == false { record["error"]["exit"].as_i64() } else { Some(0) };
    let agrees = said == Some(i64::from(run.status)) || (said == Some(0) && run.status == 4) || run.status == 137;
    (!agrees).then(|| violation("I11", format!("the record says {said:?}, the status {}", run.status)))
}

/// I3: what was acknowledged is there.
fn lost(operation: Operation, shop: &Shop, scene: &Scene, run: &Run, checker: &Checker) -> Option<Violation> {
    match operation {
        Operation::Make => {
            let record = Record::parse(&run.stdout).ok();
            let says_ok = record.as_ref().is_some_and(|record| record["ok"] == true);
            let id = record.and_then(|record| Some(record["release"]["id"].as_str()?.to_owned()));
            // A failed record does not name one that was made and that the disk did not confirm; a good one must.
            let new = shop.releases().into_iter().any(|there| match &id {
                Some(id) => *id == there,
                None => !says_ok && !checker.releases().contains(&there),
            });
            (!new).then(|| violation("I3", format!("{id:?} was made but is not there")))
        }
        Operation::Pin => {
            let pin = |id: &String| shop.root().join(format!(".cutover/pins/{id}.json")).is_file();
            (!shop.releases().iter().any(pin)).then(|| violation("I3", "the pin was set but is not there"))
        }
        Operation::Switch | Operation::Rollback => {
            let now = shop.current();
            let there = now.as_ref() == Some(&scene.new);
            (!there).then(|| violation("I3", format!("it said that it was done, but the link names {now:?}")))
        }
        Operation::Collect | Operation::Undo => None,
    }
}
