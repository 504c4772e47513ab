//! The places where one command gets its faults: all of its system calls, or as many of them as a tier has time for.

use std::collections::BTreeMap;
use std::fs;

use super::sweep::{ASKING, CHANGING};
use super::{Fault, Outcome, Tier};
use crate::{Run, Shop};

/// One fault at one call, as strace takes it.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) fault: Fault,
    words: String,
    call: String,
    n: usize,
}

impl Point {
    /// What goes before the command: only its first thread gets faults, and none of its children.
    pub(super) fn strace(&self) -> String {
        format!("strace -qq -o calls {}", self.words)
    }

    /// Whether the fault came, by what strace wrote: the command may have made fewer calls this time.
    pub(super) fn came(shop: &Shop) -> bool {
        let calls = fs::read_to_string(shop.path().join("calls")).unwrap_or_default();
        calls.contains("(INJECTED)") || calls.contains("--- SIG") || calls.contains("killed by")
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {} number {}", self.fault, self.call, self.n)
    }
}

/// The faults of the machine that a tier tries on a service's tools, besides signals.
fn errors(tier: Tier) -> Vec<Fault> {
    let once = ["ENOSPC", "EIO", "EACCES", "EMFILE", "EDQUOT", "EINTR"].map(Fault::Once);
    let lasting = ["ENOSPC", "EIO"].map(Fault::Lasting);
    match tier {
        Tier::Quick => vec![Fault::Once("EIO")],
        Tier::All => vec![Fault::Once("ENOSPC"), Fault::Once("EIO"), Fault::Lasting("ENOSPC")],
        Tier::Long => once.into_iter().chain(lasting).collect(),
    }
}

/// The points of a command, from one run of it without a fault under [`counting`]: `most` for each signal, spread over
/// its calls; errors at calls to the file system, one of each name. In the long tier all.
pub(super) fn points(shop: &Shop, signals: &[&'static str], most: usize) -> Vec<Point> {
    let tier = Tier::asked();
    let calls = calls(shop);
    let mut points: Vec<Point> =
        signals.iter().flat_map(|signal| spread(&calls, Fault::Signal(signal), most)).collect();
    if tier == Tier::All {
        points.extend(around_changes(&calls));
    }
    for fault in errors(tier) {
        let concerned = |(call, n): &&(String, usize)| {
            is_of_file_system(call) && fault.concerns(call, tier) && (tier == Tier::Long || *n == 1)
        };
        points.extend(calls.iter().filter(concerned).map(|(call, n)| at(fault, call, *n)));
    }
    points
}

/// Only `kill -9`, for the stages of a pipe.
pub(super) fn kills(shop: &Shop, most: usize) -> Vec<Point> {
    spread(&calls(shop), Fault::Signal("KILL"), most)
}

/// As many points as are wanted, evenly; not always at the same calls of those that are too many.
fn spread(calls: &[(String, usize)], fault: Fault, most: usize) -> Vec<Point> {
    let step = if Tier::asked() == Tier::Long { 1 } else { (calls.len() / most.max(1)).max(1) };
    let first = std::process::id() as usize % step;
    calls.iter().skip(first).step_by(step).map(|(call, n)| at(fault, call, *n)).collect()
}

/// `kill -9` before every change and right after it, which is before the next call: where a half-done one shows.
fn around_changes(calls: &[(String, usize)]) -> Vec<Point> {
    let is_change = |at: usize| calls.get(at).is_some_and(|(call, _)| CHANGING.contains(&call.as_str()));
    let around = (0..calls.len()).filter(|i| is_change(*i) || (*i > 0 && is_change(*i - 1)));
    around.map(|i| at(Fault::Signal("KILL"), &calls[i].0, calls[i].1)).collect()
}

fn at(fault: Fault, call: &str, n: usize) -> Point {
    let words = format!("-e trace={call} -e inject={}", fault.inject(call, n));
    Point { fault, words, call: call.to_owned(), n }
}

/// What goes before a command to count its calls.
pub(super) fn counting() -> &'static str {
    "strace -qq -o calls"
}

fn is_of_file_system(call: &str) -> bool {
    CHANGING.contains(&call) || ASKING.contains(&call)
}

/// Every call that the command made, as its name and which one of that name it was.
fn calls(shop: &Shop) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let text = fs::read_to_string(shop.path().join("calls")).expect("read the trace");
    let names = text.lines().filter_map(|line| Some(line.split_once('(')?.0));
    // After these there is nothing left to go wrong, and strace would inject into its own start.
    let names = names.filter(|name| !["exit", "exit_group", "execve"].contains(name));
    names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .map(|name| {
            let count = counts.entry(name.to_owned()).or_default();
            *count += 1;
            (name.to_owned(), *count)
        })
        .collect()
}

/// Whether a run's record says that all went well.
pub(super) fn says_ok(run: &Run) -> bool {
    crate::Record::parse(&run.stdout).is_ok_and(|record| record["ok"] == true)
}

/// Whether to stop: with a planted bug the first violation says enough.
pub(super) fn says_enough(outcome: &Outcome) -> bool {
    std::env::var_os(super::ONLY).is_some() && !outcome.violations.is_empty()
}
