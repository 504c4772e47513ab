//! One fault at the first, second, … call of every name, each followed by the checker, a rerun and a collection.

use std::collections::BTreeMap;
use std::fs;

use super::operation::{Scene, alone};
use super::points::says_enough;
use super::{Fault, Operation, Outcome, Tier, judge};
use crate::checker::Checker;
use crate::{Run, Shop};

/// Calls that change a file system or make a change durable. The others only read, wait or compute.
pub const CHANGING: [&str; 21] = [
    "mkdirat",
    "write",
    "pwrite64",
    "symlinkat",
    "linkat",
    "renameat",
    "renameat2",
    "unlinkat",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "utimensat",
    "fallocate",
    "copy_file_range",
    "sendfile",
    "ioctl",
];

/// Calls that ask a file system and may be answered with an error. `close` is not among them: strace answers in place of the
/// kernel, so the descriptor, and a lock that it holds, would stay; Linux closes it whatever it answers.
pub(super) const ASKING: [&str; 21] = [
    "open",
    "openat",
    "openat2",
    "read",
    "pread64",
    "getdents64",
    "newfstatat",
    "fstat",
    "statx",
    "readlink",
    "readlinkat",
    "fstatfs",
    "statfs",
    "lseek",
    "flock",
    "flistxattr",
    "fcntl",
    "getcwd",
    "access",
    "faccessat2",
    "getrandom",
];

/// Removes what is not needed any more and every trace of a failed build.
const COLLECTION: &str = "release-gc --root $ROOT -n -q --keep 2 --keep-failed 0 --keep-unused 0s";

/// Whether strace can make calls fail here.
pub fn can_inject() -> bool {
    crate::skip::succeeds(&[
        "strace",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=mkdirat",
        "-e",
        "inject=mkdirat:error=EIO:when=99",
        "true",
    ])
}

impl Fault {
    pub(super) fn inject(self, call: &str, n: usize) -> String {
        match self {
            Self::Signal(name) => format!("{call}:signal={name}:when={n}"),
            Self::Once(error) => format!("{call}:error={error}:when={n}"),
            Self::Lasting(error) => format!("{call}:error={error}:when={n}+"),
        }
    }

    /// Whether this can happen to a call of this name in this tier.
    pub(super) fn concerns(self, call: &str, tier: Tier) -> bool {
        let changing = CHANGING.contains(&call);
        // After these there is nothing left to go wrong, and strace would inject into its own start.
        if ["exit", "exit_group", "execve"].contains(&call) {
            return false;
        }
        match self {
            Self::Signal(_) => changing || tier != Tier::Quick,
            // A full disk does not concern who only reads; descriptors run out where one is made.
            Self::Once("ENOSPC" | "EDQUOT") | Self::Lasting("ENOSPC" | "EDQUOT") => changing || call == "openat",
            Self::Once("EMFILE") => call.starts_with("open") || call == "fcntl",
            Self::Once("EINTR") => changing && call != "ioctl" || call.starts_with("open") || call == "flock",
            Self::Once(_) | Self::Lasting(_) => changing || (tier != Tier::Quick && ASKING.contains(&call)),
        }
    }
}

/// Tries a fault at every call of an operation.
pub(super) fn sweep(operation: Operation, fault: Fault) -> Outcome {
    let shop = Shop::in_memory();
    let scene = operation.prepare(&shop);
    shop.pipe("cp -a root template").run().exits(0);
    let mut outcome = Outcome::default();
    let mut checker = Checker::of_shop(&shop);
    let (calls, run) = calls_of(operation, &shop, &scene);
    judge::at_once(operation, &shop, &scene, &checker, &run, fault, "without a fault", &mut outcome);
    restore(&shop);
    checker = Checker::of_shop(&shop);
    for (call, n) in places(operation, fault, &calls) {
        let run = with_fault(operation, &shop, &scene, &fault.inject(&call, n));
        let at = format!("{operation:?} with {fault:?} at {call} number {n}");
        if let Some(run) = &run {
            judge::at_once(operation, &shop, &scene, &checker, run, fault, &at, &mut outcome);
        }
        if !checker.is_unchanged() {
            if let Some(run) = &run {
                rerun_and_collect(operation, &shop, &scene, &at, run, &mut outcome);
            }
            restore(&shop);
            checker = Checker::of_shop(&shop);
        }
        if says_enough(&outcome) {
            break;
        }
    }
    outcome
}

/// Where this fault is tried: everywhere in the long tier, at some places of all in the middle one, and in the quick one
/// where something changes.
fn places(operation: Operation, fault: Fault, calls: &[String]) -> Vec<(String, usize)> {
    let tier = Tier::asked();
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    let mut places = Vec::new();
    for call in calls.iter().filter(|call| fault.concerns(call, tier)) {
        let count = counts.entry(call).or_default();
        *count += 1;
        // In the quick tier, of the many files that a build opens only some.
        if tier != Tier::Quick || call != "openat" || operation != Operation::Make || *count % 7 == 1 {
            places.push((call.clone(), *count));
        }
    }
    // A disk that takes nothing more from there on also stops what would tidy up: too few places to leave one out.
    let lasts = |call: &str| matches!(fault, Fault::Lasting(_)) && ["fsync", "syncfs"].contains(&call);
    let (mut always, places): (Vec<_>, Vec<_>) = places.into_iter().partition(|(call, _)| lasts(call));
    let most = match fault {
        _ if tier != Tier::All => places.len(),
        Fault::Signal("KILL") => 120,
        Fault::Signal("TERM") | Fault::Once("ENOSPC" | "EIO") => 60,
        _ => 16,
    };
    let step = places.len().div_ceil(most.max(1)).max(1);
    // Not always the same ones of those that are too many.
    always.extend(places.into_iter().skip(std::process::id() as usize % step).step_by(step));
    always
}

/// The calls that an operation makes, by name, and its run without a fault.
fn calls_of(operation: Operation, shop: &Shop, scene: &Scene) -> (Vec<String>, Run) {
    let run = operation.pipe(shop, scene, "strace -f -qq -o calls").run();
    run.exits(scene.done);
    let text = fs::read_to_string(shop.path().join("calls")).expect("read the trace");
    let names = text.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    let names = names.map(|(name, _)| name.to_owned());
    (names.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')).collect(), run)
}

/// Runs an operation with a fault; `None` when it made fewer such calls.
fn with_fault(operation: Operation, shop: &Shop, scene: &Scene, inject: &str) -> Option<Run> {
    let call = inject.split_once(':').map_or(inject, |(call, _)| call);
    let words = format!("strace -f -qq -o calls -e trace={call} -e inject={inject}");
    let run = operation.pipe(shop, scene, &words).run();
    let trace = fs::read_to_string(shop.path().join("calls")).unwrap_or_default();
    (trace.contains("(INJECTED)") || trace.contains("--- SIG") || trace.contains("killed by")).then_some(run)
}

/// The root as it was before, byte for byte.
fn restore(shop: &Shop) {
    shop.pipe("rm -rf root && cp -a template root").run().exits(0);
}

/// A rerun comes through, and with one collection there is no debris: I7. What was kept before, is still: I5.
fn rerun_and_collect(operation: Operation, shop: &Shop, scene: &Scene, at: &str, run: &Run, outcome: &mut Outcome) {
    let before = shop.current();
    let again = operation.pipe(shop, scene, "").run();
    let checker = Checker::of_shop(shop);
    let collection = alone(shop.pipe(COLLECTION)).awaited().run();
    let mut found = checker.debris();
    if again.status != scene.done {
        found.push(judge::violation("I7", format!("a rerun does not come through: {again}")));
    }
    if collection.status != 0 {
        found.push(judge::violation("I7", format!("a collection does not come through: {collection}")));
    }
    // A rollback that had come through before it was killed goes back further when it is asked for again.
    let further = operation == Operation::Rollback && before.as_ref() == Some(&scene.new);
    if operation != Operation::Make && !further && shop.current().as_ref() != Some(&scene.new) {
        found.push(judge::violation("I4", format!("after a rerun the link names {:?}", shop.current())));
    }
    let after_all = checker.violations();
    found.extend(
        after_all
            .into_iter()
            .map(|violation| judge::violation(violation.promise, format!("after a rerun: {}", violation.what))),
    );
    found.extend(checker.removed_although_kept(2));
    judge::record(outcome, &["I5", "I7"], found, &format!("{at}\n{run}"));
}
