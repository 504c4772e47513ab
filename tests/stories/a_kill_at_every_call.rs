//! `kill -9` and failing calls at every system call that changes something: promises hold, a rerun and one collection clean up.

use std::fs;

use stories::{Run, Shop, skip};

/// Calls that change a file system, or make it durable.
const CALLS: [&str; 15] = [
    "openat",
    "mkdirat",
    "write",
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
    "utimensat",
    "fallocate",
];

/// Removes what is not needed any more and every trace of a failed build.
const COLLECTION: &str = "release-gc --root $ROOT -n -q --keep 2 --keep-failed 0 --keep-unused 0s";

/// Injects a fault into the nth call of this name.
fn with_fault(shop: &Shop, script: &str, call: &str, n: u32, fault: &str) -> Run {
    let inject = format!("inject={call}:{fault}:when={n}");
    let trace = format!("trace={call}");
    let words = ["strace", "-f", "-qq", "-o", "calls", "-e", &trace, "-e", &inject, "dash", "-c"];
    shop.pipe(format!("{script} # {fault} at {call} number {n}")).shell(&words).run()
}

fn cannot_inject() -> bool {
    let words = ["-qq", "-o", "/dev/null", "-e", "trace=mkdirat", "-e", "inject=mkdirat:error=EIO:when=99", "true"];
    !std::process::Command::new("strace").args(words).status().is_ok_and(|status| status.success())
}

/// I1 and I2: every visible release is whole, the link resolves to one of them.
fn the_promises_hold(shop: &Shop, context: &str, run: &Run) {
    for release in shop.releases() {
        let manifest = shop.root().join(format!(".cutover/manifests/{release}.json"));
        let text = fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{release}: {error}, {context}\n{run}"));
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{release}: {text:?}, {context}\n{run}");
        let release = shop.root().join("releases").join(&release);
        for file in ["version", "mode", "assets/deep/page", "assets/index"] {
            assert!(release.join(file).is_file(), "{file} is missing in {}, {context}\n{run}", release.display());
        }
    }
    let live = shop.root().join("current/version");
    assert!(live.is_file(), "the link does not resolve, {context}\n{run}");
}

/// Tries a script with a fault at the first, second, … call of every kind until the fault comes too late.
///
/// What was killed may leave debris for the collection; what merely failed may not.
fn at_every_call(script: &str, fault: &str, statuses: &[i32]) {
    if cannot_inject() {
        skip!("strace cannot inject faults here");
    }
    let shop = Shop::in_memory();
    let v1 = shop.deploy_well("v1");
    shop.deploy_well("v2");
    shop.source("v3");
    let surroundings = shop.surroundings();
    let script = script.replace("V1", &v1);
    let mut tried = 0;
    for call in CALLS {
        for n in 1..200 {
            let context = format!("{fault} at {call} number {n}");
            let before = shop.current();
            let run = with_fault(&shop, &script, call, n, fault);
            let injected = fs::read_to_string(shop.path().join("calls")).unwrap_or_default();
            if !injected.contains("INJECTED") && !injected.contains("killed by SIGKILL") {
                break;
            }
            tried += 1;
            assert!(statuses.contains(&run.status), "status {}, {context}\n{run}", run.status);
            the_promises_hold(&shop, &context, &run);
            if run.status == 1 {
                assert_eq!(shop.current(), before, "exit 1 means as before, {context}\n{run}");
            }
            if !run.stdout.is_empty() && run.status != 137 {
                run.record();
            }
            let again = shop.pipe(script.as_str()).run();
            assert!(again.status == 0, "a rerun after {context} does not come through\n{run}\n{again}");
            let collection = shop.pipe(COLLECTION).seeing_all_processes();
            collection.unwrap_or_else(|| shop.pipe(COLLECTION)).run().exits(0);
            assert_eq!(shop.debris(), [] as [&str; 0], "after {context}, a rerun and a collection\n{run}");
        }
    }
    surroundings.assert_unchanged(&shop.surroundings().without("calls"), "outside the root");
    assert!(tried > 20, "only {tried} faults");
    skip::measured(&format!("{tried} faults survived"));
}

#[test]
fn a_build_survives_kill_9_at_every_call() {
    at_every_call("exec release-mk -q --root $ROOT --from v3", "signal=KILL", &[0, 137]);
}

#[test]
fn a_switch_survives_kill_9_at_every_call() {
    at_every_call("exec release-switch -q --root $ROOT --to V1", "signal=KILL", &[0, 137]);
}

#[test]
fn a_build_survives_a_full_disk_at_every_call() {
    at_every_call("exec release-mk -q --root $ROOT --from v3", "error=ENOSPC", &[0, 1, 4, 77, 127]);
}

#[test]
fn a_switch_survives_an_io_error_at_every_call() {
    at_every_call("exec release-switch -q --root $ROOT --to V1", "error=EIO", &[0, 1, 4, 77, 127]);
}

#[test]
fn a_collection_survives_kill_9_at_every_call() {
    at_every_call(
        "release-mk -q --root $ROOT --from v3 | release-switch -q | release-switch -q --undo >/dev/null; \
         exec release-gc -q --root $ROOT -n --keep 1",
        "signal=KILL",
        &[0, 137],
    );
}
