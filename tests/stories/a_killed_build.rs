//! `kill -9` for the first stage, at any moment: nothing downstream acts, and the root stays whole.

use std::time::Duration;

use nix::sys::signal::Signal;
use stories::Shop;
use stories::services::deploy;

/// A source that takes some tens of milliseconds to build.
fn big_source(shop: &Shop, name: &str) {
    let source = shop.source(name);
    for d in 0..20 {
        let dir = source.join(format!("d{d}"));
        std::fs::create_dir(&dir).expect("make a directory");
        for f in 0..50 {
            std::fs::write(dir.join(format!("f{f}")), format!("{name} {d} {f}\n").repeat(200)).expect("write a file");
        }
    }
}

#[test]
fn a_killed_build_has_no_effect_downstream_and_exits_66() {
    let shop = Shop::new();
    shop.source("v1");
    let v1 = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    let pids = [1, 2].map(|i| shop.services().pid(i));
    big_source(&shop, "v2");
    let mut outcomes = Vec::new();
    for step in 0..25 {
        let running = shop.pipe(deploy("v2")).start();
        running.pids_of("release-mk");
        // The moment moves through the build; what comes of each must be whole.
        std::thread::sleep(Duration::from_millis(step * 4));
        running.signal_if_there("release-mk", Signal::SIGKILL);
        let run = running.wait();
        outcomes.push(run.status);
        if run.status == 0 {
            // It was done before the signal came.
            assert_eq!(run.record().id(), shop.current().expect("a link"), "{run}");
            shop.pipe(format!("release-switch --root $ROOT --to {v1} | release-switch --undo")).run().exits(0);
            continue;
        }
        run.exits(66).fails_with("input.empty");
        assert_eq!(shop.current().as_deref(), Some(v1.as_str()), "{run}");
        assert_eq!([1, 2].map(|i| shop.services().pid(i)), pids, "{run}");
        for release in shop.releases() {
            let manifest = shop.root().join(format!(".cutover/manifests/{release}.json"));
            assert!(manifest.is_file(), "{release} is visible without its manifest\n{run}");
        }
        if outcomes.iter().filter(|status| **status == 0).count() > 0 {
            break;
        }
    }
    assert!(outcomes.contains(&66), "no kill came in time: {outcomes:?}");
    let run = shop.pipe("release-mk --root $ROOT --from v1 | release-gc --keep-failed 0").run();
    run.exits(0);
    assert_eq!(shop.debris(), [] as [&str; 0], "a rerun and a collection leave no debris\n{run}");
}

#[test]
fn a_stage_killed_while_it_waits_has_no_effect_either() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    shop.source("v2");
    for victim in ["release-switch", "release-gc"] {
        let script = "mkfifo -m 600 go 2>/dev/null; { cat go; release-mk --root $ROOT --from v2; } \
                      | release-switch | release-switch --undo | release-gc";
        let running = shop.pipe(script).start();
        running.signal(victim, Signal::SIGKILL);
        std::fs::write(shop.path().join("go"), "").expect("let it go");
        let run = running.wait();
        assert_ne!(run.status, 0, "{run}");
        assert_eq!(shop.current().as_deref(), Some(v1.as_str()), "{victim} was killed\n{run}");
    }
}
