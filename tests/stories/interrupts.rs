//! INT, TERM and HUP to the whole group, as a terminal or a supervisor sends them, at any moment.
//!
//! The shell traps them, so that it stays to report the pipe's own status.

use std::time::Duration;

use nix::sys::signal::Signal;
use stories::services::{deploy, deploy_with_a_pause};
use stories::{Run, Shop};

const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

fn trapped(script: &str) -> String {
    format!("trap : INT TERM HUP\n{script}")
}

fn shop() -> (Shop, String, [Option<i32>; 2]) {
    let shop = Shop::new();
    shop.source("v1");
    let id = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source("v2");
    let pids = [1, 2].map(|i| shop.services().pid(i));
    (shop, id, pids)
}

fn everything_is_as_before(shop: &Shop, v1: &str, run: &Run) {
    assert_eq!(shop.current().as_deref(), Some(v1), "the link\n{run}");
    for i in [1, 2] {
        assert_eq!(shop.services().version(i).as_deref(), Some("v1"), "instance {i}\n{run}");
    }
    for release in shop.releases() {
        assert!(!shop.is_bad(&release), "an interrupt marks no release bad\n{run}");
    }
}

#[test]
fn an_interrupt_while_the_gate_is_asked_takes_everything_back() {
    for signal in SIGNALS {
        let (shop, v1, pids) = shop();
        let running = shop.pipe(trapped(&deploy_with_a_pause("v2"))).start();
        running.reaches(shop.path().join("asked")).signal_all(signal);
        let run = running.wait();
        run.exits(128 + signal as i32).fails_with("interrupted");
        assert_eq!(run.record()["error"].get("blame"), None, "{run}");
        everything_is_as_before(&shop, &v1, &run);
        assert_eq!(shop.services().pid(2), pids[1], "{run}");
    }
}

#[test]
fn an_interrupt_of_the_build_leaves_nothing_behind() {
    for (at, signal) in SIGNALS.into_iter().cycle().take(9).enumerate() {
        let (shop, v1, pids) = shop();
        for n in 0..300 {
            shop.write(&format!("v2/f{n}"), &"x".repeat(10_000));
        }
        let running = shop.pipe(trapped(&deploy("v2"))).start();
        running.all_awake(&[("release-mk", 1), ("release-switch", 2), ("svc-restart", 2), ("release-gc", 1)]);
        std::thread::sleep(Duration::from_millis(at as u64 * 3));
        running.signal_all(signal);
        let run = running.wait();
        if run.status == 0 {
            continue; // It was too late.
        }
        run.exits(128 + signal as i32).fails_with("interrupted");
        everything_is_as_before(&shop, &v1, &run);
        if run.record().stages().iter().all(|stage| stage != "svc-restart") {
            assert_eq!([1, 2].map(|i| shop.services().pid(i)), pids, "{run}");
        }
        assert_eq!(shop.debris(), [] as [&str; 0], "{run}");
    }
}

#[test]
fn at_any_other_moment_too_the_pipe_ends_in_the_old_or_the_new_state() {
    let (mut early, mut late) = (0, 0);
    for at in 0..24_u64 {
        let signal = SIGNALS[at as usize % 3];
        let (shop, v1, _) = shop();
        let running = shop.pipe(trapped(&deploy("v2"))).start();
        running.pids_of("release-gc");
        std::thread::sleep(Duration::from_millis(at * 40));
        running.signal_all(signal);
        let run = running.wait();
        if run.status == 0 {
            late += 1;
            assert_eq!(shop.services().version(1).as_deref(), Some("v2"), "{run}");
            assert_eq!(shop.services().version(2).as_deref(), Some("v2"), "{run}");
        } else {
            early += 1;
            everything_is_as_before(&shop, &v1, &run);
        }
        if late > 2 {
            break;
        }
    }
    assert!(early > 0, "no signal came in time ({late} too late)");
}

#[test]
fn an_undo_finishes_despite_a_first_signal() {
    for signal in SIGNALS {
        let (shop, v1, pids) = shop();
        shop.source_that("v2", "500");
        // The gate says no to v2 and stops when it is asked about v1 again.
        let pause = r#"[ "$(basename "$CUTOVER_RELEASE_PATH")" != ID ] || { touch asked; until [ -e go ]; do sleep 0.01; done; }; "#;
        let script = format!("GATE='{}'$GATE\n{}", pause.replace("ID", &v1), deploy("v2"));
        let running = shop.pipe(trapped(&script)).start();
        running.reaches(shop.path().join("asked")).signal_all(signal);
        shop.write("go", "");
        let run = running.wait();
        let record = run.exits(3).record();
        assert_eq!(shop.current(), Some(v1), "{run}");
        assert_eq!(shop.services().version(1).as_deref(), Some("v1"), "{run}");
        assert_eq!(shop.services().pid(2), pids[1], "{run}");
        assert!(shop.is_bad(record.id()), "{run}");
    }
}

#[test]
fn a_stage_that_waits_for_its_record_ignores_signals() {
    let shop = Shop::new();
    shop.source("v1");
    let script = "until [ -e go ]; do sleep 0.01; done | cat; release-mk --root $ROOT --from v1";
    let running =
        shop.pipe(format!("{{ trap : INT TERM HUP; {script}; }} | release-switch | release-switch --undo")).start();
    let waiting = running.awake("release-switch");
    for signal in SIGNALS {
        for pid in &waiting {
            nix::sys::signal::kill(*pid, signal).expect("send a signal");
        }
    }
    shop.write("go", "");
    running.wait().exits(0);
    assert!(shop.current().is_some());
}
