//! What if the undo itself is refused, killed, interrupted or asked for twice: it tells, and does nothing twice.

use nix::sys::signal::Signal;
use stories::services::locked;
use stories::{Run, Shop};

use crate::every_way_back::{Before, QUIET, Row, asked, functions, shop, so_far};

/// A release whose second instance is not let pass; `more` happens then.
fn no_after(more: &'static str) -> Row {
    Row { gate: more, ..QUIET }
}

/// The functions with this first lines of the gate, and a deploy with these stages for the way back.
fn script(row: &Row, back_options: &str, way_back: &str) -> String {
    let deploy = "release-mk --root $ROOT --from new --name new | release-switch | restart | release-switch --undo";
    format!("{}{deploy} | {way_back}", functions(row, back_options))
}

fn versions(shop: &Shop) -> [String; 3] {
    [1, 2, 3].map(|i| shop.services().version(i).unwrap_or_default())
}

/// The undo failed by itself: 5, the first error kept under `cause`, the link back, the third not touched.
fn look_at_once(shop: &Shop, run: &Run, code: &str) {
    let record = run.exits(5).record();
    assert_eq!(record.code(), code, "{run}");
    assert_eq!(record["error"]["cause"]["code"], "restart.gate", "{run}");
    assert_eq!(shop.current().as_deref(), Some("v1"), "{run}");
    assert_eq!(versions(shop)[2], "v1", "{run}");
}

#[test]
fn a_manager_that_refuses_the_way_back() {
    let shop = shop(Before::Usual, "ok");
    let before = so_far(&shop);
    let row = no_after("[ {i} != 2 ] || { echo 7 >$SERVICES/shop@1.refuse; exit 3; }");
    let run = shop.pipe(locked(&script(&row, "", "back | back"))).run();
    look_at_once(&shop, &run, "restart.manager");
    assert_eq!(asked(&shop, &before), ["rr", "rr", ""], "no later undo stage acts\n{run}");
    assert_eq!(versions(&shop), ["new", "v1", "v1"], "{run}");
    let undone = run.record();
    let undo = undone["stages"].as_array().and_then(|stages| stages.iter().rev().find(|stage| stage["undo"] == true));
    let failed = undo
        .and_then(|undo| undo["instances"].as_array())
        .and_then(|all| all.iter().find(|one| one["outcome"] == "failed"));
    assert_eq!(failed.map(|one| one["name"].clone()), Some("shop@1".into()), "it says which\n{run}");
}

#[test]
fn an_old_release_that_is_not_healthy_any_more() {
    let shop = shop(Before::Usual, "ok");
    let row = no_after("[ {i} != 2 ] || exit 3");
    let run =
        shop.pipe(locked(&script(&row, "--gate 'exit 3'", "back")).replace("--undo --gate \"$GATE\"", "--undo")).run();
    look_at_once(&shop, &run, "restart.gate");
}

#[test]
fn an_undo_that_is_killed_is_finished_by_the_next() {
    let shop = shop(Before::Usual, "ok");
    let before = so_far(&shop);
    let row = no_after("[ {i} != 2 ] || exit 3");
    // Its first instance is back when its gate waits.
    let wait = "--gate 'sh $HOME/wait'";
    let undo = script(&row, wait, "back | back").replace("--undo --gate \"$GATE\"", "--undo");
    let running = shop.pipe(locked(&undo)).start();
    running.reaches(shop.path().join("there"));
    running.signal_working_undo("svc-restart", Signal::SIGKILL);
    shop.write("go", "");
    let run = running.wait();
    assert_eq!(run.exits(3).record().code(), "restart.gate", "the first error stays\n{run}");
    assert_eq!(shop.current().as_deref(), Some("v1"), "{run}");
    assert_eq!(versions(&shop), ["v1"; 3], "{run}");
    // What the killed one had in hand may be done once more; what was never changed is not.
    let asked = asked(&shop, &before);
    assert!(["rr", "rrr"].contains(&asked[1].as_str()) && asked[0] == "rr" && asked[2].is_empty(), "{asked:?}\n{run}");
}

#[test]
fn a_first_signal_does_not_stop_it_and_a_second_does() {
    for (signals, status) in [(1, 3), (2, 5)] {
        let shop = shop(Before::Usual, "ok");
        let row = no_after("[ {i} != 2 ] || exit 3");
        let undo = script(&row, "--gate 'sh $HOME/wait'", "back").replace("--undo --gate \"$GATE\"", "--undo");
        let running = shop.pipe(locked(&undo)).start();
        running.reaches(shop.path().join("there"));
        for number in 0..signals {
            running.signal("svc-restart", Signal::SIGTERM);
            // Two that are not yet taken would be one.
            running.has_taken("svc-restart", Signal::SIGTERM);
            assert!(number < 2);
        }
        if signals == 1 {
            shop.write("go", "");
        }
        let run = running.wait();
        run.exits(status).record();
        assert_eq!(shop.current().as_deref(), Some("v1"), "{run}");
        if signals == 1 {
            assert_eq!(versions(&shop), ["v1"; 3], "{run}");
        } else {
            assert_eq!(run.record()["error"]["cause"]["code"], "restart.gate", "{run}");
        }
    }
}

/// A deploy that failed, with no way back in its own pipe; its record.
fn failed(shop: &Shop) -> Run {
    let row = no_after("[ {i} != 2 ] || exit 3");
    let deploy = "release-mk --root $ROOT --from new --name new | release-switch | restart >failed.json";
    shop.pipe(functions(&row, "") + deploy).run().exits(3).clone()
}

#[test]
fn the_same_record_twice_is_taken_back_once() {
    let shop = shop(Before::Usual, "ok");
    failed(&shop);
    let before = so_far(&shop);
    let back = functions(&QUIET, "") + "release-switch --undo <failed.json | back";
    shop.pipe(&back).run().exits(3);
    assert_eq!(asked(&shop, &before), ["r", "r", ""]);
    for again in [back.as_str(), &(functions(&QUIET, "") + "back <failed.json")] {
        let run = shop.pipe(again).run();
        run.exits(3);
        assert_eq!(asked(&shop, &before), ["r", "r", ""], "{run}");
        assert_eq!(versions(&shop), ["v1"; 3], "{run}");
    }
}

#[test]
fn a_record_of_yesterday_is_not_taken_back_today() {
    let shop = shop(Before::Meanwhile, "ok");
    failed(&shop);
    let today = "release-switch -n --root $ROOT --to v3 | restart | release-switch --undo";
    shop.pipe(functions(&QUIET, "") + today).run().exits(0);
    let (before, pids) = (so_far(&shop), [1, 2, 3].map(|i| shop.services().pid(i)));
    for script in ["back <failed.json", "release-switch --undo <failed.json | back"] {
        let run = shop.pipe(functions(&QUIET, "") + script).run();
        let record = run.exits(3).record();
        assert!(
            record["warnings"].as_array().is_some_and(|all| all.iter().any(|one| one["code"] == "superseded")),
            "{run}"
        );
        assert_eq!(asked(&shop, &before), [""; 3], "{run}");
        assert_eq!([1, 2, 3].map(|i| shop.services().pid(i)), pids, "{run}");
    }
    // What is down is started all the same.
    shop.pipe("shop-manager stop shop@1").run().exits(0);
    shop.pipe(functions(&QUIET, "") + "back <failed.json").run().exits(3);
    assert_eq!(versions(&shop), ["v3"; 3]);
}

#[test]
fn only_those_named_go_back() {
    let shop = shop(Before::Usual, "ok");
    let before = so_far(&shop);
    let row = no_after("[ {i} != 2 ] || exit 3");
    let run = shop.pipe(locked(&script(&row, "shop@2", "back | act --undo"))).run();
    run.exits(3);
    assert_eq!(asked(&shop, &before), ["rr", "rr", ""], "the second stage takes the rest\n{run}");
    let order: Vec<_> = run.record()["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|stage| stage["tool"] == "svc-restart" && stage["undo"] == true)
        .map(|stage| stage["instances"].as_array().map(Vec::len))
        .collect();
    assert_eq!(order, [Some(1), Some(1)], "{run}");
}

#[test]
fn a_killed_run_is_taken_back_from_what_it_left() {
    let shop = shop(Before::Usual, "ok");
    let (before, live) = (versions(&shop), shop.current());
    let row = Row { gate: "[ {i} != 2 ] || sh $HOME/wait", ..QUIET };
    let running = shop
        .pipe(functions(&row, "") + "release-mk --root $ROOT --from new --name new | release-switch | restart")
        .start();
    running.reaches(shop.path().join("there"));
    running.signal("svc-restart", Signal::SIGKILL);
    shop.write("go", "");
    assert_ne!(running.wait().status, 0);
    assert_eq!((shop.current().as_deref(), &versions(&shop)[0][..]), (Some("new"), "new"));
    let run = shop.pipe("release-switch <root/.cutover/run.json").run();
    assert_eq!(run.exits(65).record()["error"]["code"], "input.unfinished", "{run}");
    let run = shop.pipe(functions(&QUIET, "") + "release-switch --undo <root/.cutover/run.json | back").run();
    assert_eq!(run.exits(66).record()["error"]["code"], "stage.died", "{run}");
    assert_eq!((shop.current(), versions(&shop)), (live, before), "{run}");
    assert!(!shop.kinds_of("new").contains(&"good".to_owned()), "{:?}", shop.kinds_of("new"));
}

#[test]
fn a_killed_run_is_told_and_the_same_command_goes_on_where_it_ended() {
    let shop = shop(Before::Usual, "ok");
    let row = Row { gate: "[ {i} != 2 ] || sh $HOME/wait", ..QUIET };
    let deploy = "release-mk --root $ROOT --from new --name new | release-switch | restart";
    let running = shop.pipe(functions(&row, "") + deploy).start();
    running.reaches(shop.path().join("there"));
    running.signal("svc-restart", Signal::SIGKILL);
    shop.write("go", "");
    assert_ne!(running.wait().status, 0);
    let told = shop.pipe("svc-restart --status --root $ROOT").run();
    told.exits(0)
        .says("was killed: run it again, or take it back: release-switch --undo <")
        .says("shop@2 ")
        .says("shop@3 untouched");
    let before = so_far(&shop);
    let again = shop.pipe(functions(&QUIET, "") + "release-switch --root $ROOT --to new | restart").run();
    assert_eq!(again.exits(0).record()["changed"], true, "{again}");
    assert_eq!(asked(&shop, &before), ["", "", "r"], "those that run it already are left alone\n{again}");
    assert_eq!(versions(&shop), ["new"; 3], "{again}");
}
