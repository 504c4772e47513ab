//! A dry run plans in the same schema, is contagious, and writes nothing at all.

use stories::Shop;
use stories::services::deploy;

#[test]
fn one_dry_run_at_the_head_makes_the_whole_pipe_only_plan() {
    let shop = Shop::new();
    shop.source("v1");
    let v1 = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source("v2");
    let pids = [1, 2].map(|i| shop.services().pid(i));
    let before = shop.listing();
    let around = shop.surroundings();
    let run = shop.pipe(deploy("v2").replace("--from v2", "--from v2 --dry-run")).run();
    let record = run.exits(0).record();
    assert_eq!(record["dry_run"], true, "{run}");
    assert_eq!(record["changed"], true, "it would change something\n{run}");
    for tool in ["release-mk", "release-switch", "svc-restart"] {
        assert!(
            record.stage(tool)["plan"].as_array().is_some_and(|plan| !plan.is_empty()),
            "{tool} plans nothing\n{run}"
        );
    }
    before.assert_unchanged(&shop.listing(), "in a dry run");
    around.assert_unchanged(&shop.surroundings(), "outside the root in a dry run");
    assert_eq!(shop.current(), Some(v1));
    assert_eq!([1, 2].map(|i| shop.services().pid(i)), pids, "{run}");
}

#[test]
fn a_dry_run_of_each_tool_writes_nothing_and_takes_no_lock() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    for _ in 0..4 {
        shop.deploy_well("v2");
    }
    let holder =
        shop.pipe("release-lock --root $ROOT -- dash -c 'touch held; until [ -e go ]; do sleep 0.01; done'").start();
    holder.reaches(shop.path().join("held"));
    let before = shop.listing();
    for line in [
        "release-mk --root $ROOT --from v1 --dry-run".to_owned(),
        format!("release-switch --root $ROOT --to {v1} --dry-run"),
        "release-switch --root $ROOT --rollback --dry-run".to_owned(),
        "release-gc --root $ROOT -n --keep 1 --dry-run".to_owned(),
    ] {
        let run = shop.pipe(format!("{line} --lock-wait 0s")).run();
        let record = run.exits(0).record();
        assert_eq!(record["dry_run"], true, "{run}");
        before.assert_unchanged(&shop.listing(), &format!("by {line}"));
    }
    shop.write("go", "");
    holder.wait().exits(0);
}

#[test]
fn a_dry_run_into_a_root_that_is_not_there_makes_none() {
    let shop = Shop::new();
    shop.source("v1");
    let run = shop.pipe("release-mk --root $ROOT --from v1 --dry-run | release-switch").run();
    run.exits(0);
    assert!(!shop.root().exists(), "{run}");
}
