//! What a collection keeps, why, and what a killed one leaves to the next.

use stories::{Shop, skip};

/// A collection in sight of all processes; skips the story where that cannot be.
macro_rules! collection {
    ($shop:expr, $script:expr) => {
        match $shop.pipe($script).seeing_all_processes() {
            Some(pipe) => pipe,
            None => skip!("there are processes here that may not be looked at"),
        }
    };
}

#[test]
fn the_pinned_the_current_and_the_previous_stay_and_each_reason_is_told() {
    let shop = Shop::new();
    let ids: Vec<_> = (1..7).map(|n| shop.deploy_well(&format!("v{n}"))).collect();
    shop.pipe(format!("release-pin --root $ROOT {} --for 10days --reason 'audit of march'", ids[0])).run().exits(0);
    let run = collection!(shop, "release-gc --root $ROOT -n --keep 1").run();
    let record = run.exits(0).record();
    let mut kept = vec![ids[0].clone(), ids[4].clone(), ids[5].clone()];
    kept.sort();
    assert_eq!(shop.releases(), kept, "{run}");
    let section = record.stage("release-gc").to_string();
    for reason in ["pin", "current", "previous"] {
        assert!(section.contains(reason), "{reason} is not told\n{run}");
    }
    assert_eq!(shop.debris(), [] as [&str; 0], "{run}");
}

#[test]
fn dates_of_directories_mean_nothing() {
    let shop = Shop::new();
    let ids: Vec<_> = (1..7).map(|n| shop.deploy_well(&format!("v{n}"))).collect();
    for (age, id) in ids.iter().rev().enumerate() {
        shop.pipe(format!("touch -d '{} days ago' root/releases/{id}", 100 - age)).run().exits(0);
    }
    let run = collection!(shop, "release-gc --root $ROOT -n --keep 3").run();
    run.exits(0);
    for id in &ids[3..] {
        assert!(shop.releases().contains(id), "{id} was collected\n{run}");
    }
    assert_eq!(shop.releases().len(), 3, "{run}");
}

#[test]
fn a_pin_made_with_the_release_keeps_it() {
    let shop = Shop::new();
    shop.source("v1");
    let pinned =
        shop.pipe("release-mk --root $ROOT --from v1 --keep-days 30 --reason 'contract' | release-switch").run();
    let pinned = pinned.exits(0).record().id().to_owned();
    for _ in 0..4 {
        shop.deploy_well("v2");
    }
    let run = collection!(shop, "release-gc --root $ROOT -n --keep 1").run();
    assert!(run.exits(0).stdout.contains("contract") || shop.releases().contains(&pinned), "{run}");
    assert!(shop.releases().contains(&pinned), "{run}");
}

#[test]
fn bad_releases_do_not_count_against_the_good_ones() {
    let shop = Shop::new();
    let good: Vec<_> = (0..3).map(|_| shop.deploy_well("v1")).collect();
    for _ in 0..4 {
        shop.deploy_well("v2");
        shop.pipe("release-switch --root $ROOT --rollback").run().exits(0);
    }
    let run = collection!(shop, "release-gc --root $ROOT -n --keep 3").run();
    run.exits(0);
    for id in good {
        assert!(shop.releases().contains(&id), "{id} was collected\n{run}");
    }
}

#[test]
fn what_a_process_uses_is_kept() {
    let shop = Shop::new();
    let used = shop.deploy_well("v1");
    for _ in 0..4 {
        shop.deploy_well("v2");
    }
    let script = format!(
        "( cd root/releases/{used} && exec sleep 100 ) & until [ \"$(readlink /proc/$!/cwd)\" != \"$PWD\" ]; do :; done; \
         release-gc --root $ROOT -n --keep 1; ls root/releases >during; kill $!; wait $!; \
         release-gc --root $ROOT -n --keep 1 >/dev/null"
    );
    let run = collection!(shop, script).run();
    let during = std::fs::read_to_string(shop.path().join("during")).expect("read what was there");
    assert!(during.lines().any(|id| id == used), "{run}");
    assert_eq!(during.lines().count(), 3, "in use, current and previous\n{run}");
    assert!(!shop.releases().contains(&used), "{run}");
}

#[test]
fn a_killed_collection_is_finished_by_the_next() {
    let shop = Shop::new();
    for n in 0..400 {
        std::fs::create_dir_all(shop.path().join(format!("v1/d{n}"))).expect("make a directory");
        shop.write(&format!("v1/d{n}/file"), "x");
    }
    shop.source("v1");
    for _ in 0..6 {
        shop.deploy_well("v1");
    }
    let running = collection!(shop, "release-gc --root $ROOT -n --keep 1").start();
    stories::running::until("something is in the trash", || !shop.debris().is_empty());
    running.signal_if_there("release-gc", nix::sys::signal::Signal::SIGKILL);
    running.wait();
    let run = collection!(shop, "release-gc --root $ROOT -n --keep 1").run();
    run.exits(0);
    assert_eq!(shop.debris(), [] as [&str; 0], "{run}");
    assert_eq!(shop.releases().len(), 2, "{run}");
}
