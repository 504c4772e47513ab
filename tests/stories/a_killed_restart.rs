//! Under release-lock even a stage that died by `kill -9` is taken back: `run.json` says what it was at.

use nix::sys::signal::Signal;
use stories::Shop;
use stories::services::{deploy, deploy_with_a_pause, locked};

#[test]
fn a_restart_that_was_killed_is_taken_back_under_release_lock() {
    let shop = Shop::new();
    shop.source("v1");
    let v1 = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source("v2");
    let pids = [1, 2].map(|i| shop.services().pid(i));

    let running = shop.pipe(locked(&deploy_with_a_pause("v2"))).start();
    running.reaches(shop.path().join("asked"));
    assert_eq!(shop.services().version(1).as_deref(), Some("v2"), "the first instance runs the new release");
    running.signal_acting("svc-restart", Signal::SIGKILL);
    shop.write("go", "");
    let run = running.wait();

    run.exits(66).fails_with("stage.died");
    assert_eq!(shop.current(), Some(v1), "{run}");
    assert_eq!(shop.services().version(1).as_deref(), Some("v1"), "{run}");
    assert_eq!(shop.services().pid(2), pids[1], "the second was never touched\n{run}");
    let record = run.record();
    assert!(!shop.is_bad(record.id()), "a kill is not the release's own answer\n{run}");
}

#[test]
fn a_switch_that_was_killed_is_taken_back_or_never_happened() {
    for at in 0..6 {
        let shop = Shop::new();
        let v1 = shop.deploy_well("v1");
        shop.source("v2");
        let script = "release-mk --root $ROOT --from v2 | release-switch | cat | release-switch --undo";
        let running = shop.pipe(locked(script)).start();
        running.pids_of("release-switch");
        std::thread::sleep(std::time::Duration::from_millis(at * 8));
        running.signal_acting("release-switch", Signal::SIGKILL);
        let run = running.wait();
        if run.status == 0 {
            continue;
        }
        assert_eq!(shop.current(), Some(v1), "{run}");
    }
}
