//! The gate says no: the pipe takes itself back, and nothing that was never touched is touched.

use stories::Shop;
use stories::services::{deploy, restart};

/// A shop with v1 live and a source v2 of this mode; the id of v1 and the pids of its instances.
fn shop_with(mode: &str) -> (Shop, String, [Option<i32>; 2]) {
    let shop = Shop::new();
    shop.source("v1");
    let id = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source_that("v2", mode);
    let pids = [1, 2].map(|i| shop.services().pid(i));
    (shop, id, pids)
}

#[test]
fn a_gate_that_fails_exits_3_and_everything_is_as_before() {
    let (shop, v1, pids) = shop_with("500");
    let run = shop.pipe(deploy("v2")).run();
    let record = run.exits(3).record();

    assert_eq!(record["ok"], false, "{run}");
    assert_eq!(record["error"]["tool"], "svc-restart", "{run}");
    assert_eq!(record["error"]["blame"], "release", "{run}");
    assert_eq!(shop.current(), Some(v1), "the link is back\n{run}");
    assert_eq!(shop.services().version(1).as_deref(), Some("v1"), "the restarted one runs v1 again\n{run}");
    assert_ne!(shop.services().pid(1), pids[0], "{run}");
    assert_eq!(shop.services().pid(2), pids[1], "the second was never touched\n{run}");
    assert_eq!(shop.services().asked(2), ["start"], "{run}");
    let stages = record.stages();
    assert!(stages.contains(&"release-switch --undo".to_owned()), "{stages:?}");
    assert!(stages.contains(&"svc-restart --undo".to_owned()), "{stages:?}");
    assert!(!stages.contains(&"release-gc".to_owned()), "gc did nothing: {stages:?}");
    assert_eq!(shop.releases().len(), 2, "{run}");
    let kinds = shop.kinds_of(record.id());
    assert!(kinds.contains(&"bad".to_owned()), "the bad release is marked: {kinds:?}");
}

#[test]
fn an_instance_whose_turn_cannot_be_written_down_is_told_as_untouched() {
    let (shop, ..) = shop_with("ok");
    let in_the_way = "f=$ROOT/.cutover/run.json; rm -f $f; mkdir -p $f/x";
    let pids = shop.services().pid(2);
    let run = shop.pipe(format!("GATE='{in_the_way}'\n{}restart -n --root $ROOT", restart())).run();
    let record = run.exits(1).record();
    let outcomes: Vec<_> = (0..2).map(|at| record["stages"][0]["instances"][at]["outcome"].clone()).collect();
    assert_eq!(outcomes, ["restarted", "untouched"], "{run}");
    assert_eq!(shop.services().pid(2), pids, "{run}");
}

#[test]
fn a_release_that_ends_at_once_is_blamed_and_taken_back() {
    let (shop, v1, pids) = shop_with("exit");
    let run = shop.pipe(deploy("v2")).run();
    assert_ne!(run.status, 0, "{run}");
    let record = run.record();
    assert_eq!(record["error"]["blame"], "release", "{run}");
    assert_eq!(shop.current(), Some(v1), "{run}");
    assert_eq!(shop.services().version(1).as_deref(), Some("v1"), "{run}");
    assert_eq!(shop.services().pid(2), pids[1], "{run}");
}

#[test]
fn when_the_second_instance_fails_both_run_the_old_release_again() {
    let (shop, v1, _) = shop_with("ok");
    // Healthy for the first instance only.
    let gate =
        r#"test {i} = 1 || test "$(basename "$(readlink -f "$ROOT/current")")" = ID || exit 3"#.replace("ID", &v1);
    let script = deploy("v2").replace("\"$GATE\"", &format!("'{gate}'"));
    let run = shop.pipe(script).run();
    run.exits(3).record();
    assert_eq!(shop.current(), Some(v1), "{run}");
    for i in [1, 2] {
        assert_eq!(shop.services().version(i).as_deref(), Some("v1"), "instance {i}\n{run}");
        assert_eq!(shop.services().asked(i), ["start", "restart", "restart"], "{run}");
    }
}

#[test]
fn a_release_that_was_found_bad_is_not_rolled_back_to() {
    let (shop, v1, _) = shop_with("500");
    let bad = shop.pipe(deploy("v2")).run().exits(3).record().id().to_owned();
    shop.source("v3");
    let v3 = shop.pipe(deploy("v3")).run().exits(0).record().id().to_owned();
    let run = shop.pipe(format!("{}release-switch --root $ROOT --rollback | restart", restart())).run();
    run.exits(0).record();
    assert_eq!(shop.current(), Some(v1), "{run}");
    assert!(shop.kinds_of(&v3).contains(&"bad".to_owned()), "an explicit rollback marks what it leaves\n{run}");
    assert_ne!(bad, v3);
}

#[test]
fn the_very_first_deploy_fails_the_link_stays_and_what_was_started_is_stopped() {
    let shop = Shop::new();
    shop.source_that("v1", "500");
    let run = shop.pipe(deploy("v1")).run();
    let record = run.exits(3).record();
    assert_eq!(shop.current().as_deref(), Some(record.id()), "without a release before it the link stays\n{run}");
    for i in [1, 2] {
        assert_eq!(shop.services().ask(i), None, "instance {i} runs\n{run}");
    }
    assert_eq!(shop.services().asked(1), ["start", "stop"], "{run}");
    assert_eq!(shop.services().asked(2), [] as [&str; 0], "{run}");
}

#[test]
fn an_instance_that_was_stopped_before_is_stopped_again() {
    let (shop, v1, pids) = shop_with("500");
    shop.pipe("shop-manager stop shop@1").run().exits(0);
    let run = shop.pipe(deploy("v2")).run();
    run.exits(3).record();
    assert_eq!(shop.current(), Some(v1), "{run}");
    assert_eq!(shop.services().ask(1), None, "{run}");
    assert_eq!(shop.services().pid(2), pids[1], "{run}");
}

#[test]
fn a_failed_pipe_may_be_undone_twice() {
    let (shop, v1, pids) = shop_with("500");
    let script = deploy("v2").replace("| release-gc", "| release-switch --undo | restart --undo | release-gc");
    let run = shop.pipe(script).run();
    run.exits(3).record();
    assert_eq!(shop.current(), Some(v1), "{run}");
    assert_eq!(shop.services().asked(1), ["start", "restart", "restart"], "done twice is done once\n{run}");
    assert_eq!(shop.services().pid(2), pids[1], "{run}");
}
