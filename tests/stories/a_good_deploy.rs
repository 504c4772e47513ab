//! All is well: every stage does its part, in plain `dash`, and the record tells all of it.

use stories::services::{deploy, restart};
use stories::{Shop, skip};

#[test]
fn a_good_deploy_exits_0_with_a_record_of_all_stages() {
    let shop = Shop::new();
    shop.source("v1");
    let surroundings = shop.surroundings();
    let run = shop.pipe(deploy("v1")).run();
    let record = run.exits(0).record();

    assert_eq!(record["ok"], true, "{run}");
    assert_eq!(record["changed"], true, "{run}");
    let stages = record.stages();
    for tool in ["release-mk", "release-switch", "svc-restart", "release-gc"] {
        assert!(stages.iter().any(|stage| stage == tool), "{tool} is missing in {stages:?}\n{run}");
    }
    assert_eq!(shop.current().as_deref(), Some(record.id()), "{run}");
    assert_eq!(record["release"]["path"], shop.root().join("releases").join(record.id()).to_str().unwrap(), "{run}");
    for i in [1, 2] {
        assert_eq!(shop.services().version(i).as_deref(), Some("v1"), "instance {i}\n{run}");
    }
    assert_eq!(shop.kinds_of(record.id()), ["intent", "done", "good"], "{run}");
    surroundings.assert_unchanged(&shop.surroundings(), "outside the root");
    assert_eq!(shop.debris(), [] as [&str; 0]);
}

#[test]
fn the_second_deploy_restarts_every_instance_once_and_keeps_the_release_before() {
    let shop = Shop::new();
    let first = {
        shop.source("v1");
        shop.pipe(deploy("v1")).run().exits(0).record()
    };
    let pids = [1, 2].map(|i| shop.services().pid(i));
    shop.source("v2");
    let run = shop.pipe(deploy("v2")).run();
    let second = run.exits(0).record();

    assert_eq!(shop.releases().len(), 2, "{run}");
    assert_eq!(second.stage("release-switch")["from"], first.id(), "{run}");
    for i in [1, 2] {
        assert_eq!(shop.services().version(i).as_deref(), Some("v2"), "{run}");
        assert_ne!(shop.services().pid(i), pids[i as usize - 1], "{run}");
        let outcomes = &second.stage("svc-restart")["instances"];
        assert_eq!(outcomes[i as usize - 1]["outcome"], "restarted", "{run}");
    }
}

#[test]
fn behind_a_record_that_changed_nothing_instances_of_the_release_are_left_alone() {
    let shop = Shop::new();
    shop.source("v1");
    let id = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    let pids = [1, 2].map(|i| shop.services().pid(i));
    let run = shop.pipe(format!("{}release-switch --root $ROOT --to {id} | restart", restart())).run();
    let record = run.exits(0).record();
    assert_eq!(record["changed"], false, "{run}");
    assert_eq!([1, 2].map(|i| shop.services().pid(i)), pids, "{run}");
}

#[test]
fn it_is_the_same_with_pipefail_in_bash() {
    let shop = Shop::new();
    shop.source("v1");
    let run = shop.pipe(deploy("v1")).shell(&["bash", "-euo", "pipefail", "-c"]).run();
    assert_eq!(run.exits(0).record()["ok"], true);
}

#[test]
fn as_many_releases_stay_as_were_asked_for() {
    let shop = Shop::new();
    shop.source("v1");
    let mut ids = Vec::new();
    for _ in 0..8 {
        let script = "release-mk --root $ROOT --from v1 | release-switch | release-switch --undo | release-gc --keep 3";
        let Some(pipe) = shop.pipe(script).seeing_all_processes() else {
            skip!("there are processes here that may not be looked at");
        };
        ids.push(pipe.run().exits(0).record().id().to_owned());
    }
    let mut kept = ids.split_off(5);
    kept.sort();
    assert_eq!(shop.releases(), kept);
    assert_eq!(shop.debris(), [] as [&str; 0]);
}

#[test]
fn the_listing_of_a_release_can_be_checked_with_sha256sum() {
    let shop = Shop::new();
    let id = shop.deploy("v1");
    let state = shop.root().join(".cutover");
    assert!(state.join("manifests").join(format!("{id}.json")).is_file());
    let run = shop.pipe("cd $ROOT/releases/* && sha256sum version mode assets/deep/page").run();
    let listing = std::fs::read_to_string(state.join("tree").join(&id)).expect("read the listing");
    for line in run.exits(0).stdout.lines() {
        let (sum, _) = line.split_once(' ').expect("a checksum");
        assert!(listing.contains(sum), "{sum} is not in the listing\n{listing}");
    }
}
