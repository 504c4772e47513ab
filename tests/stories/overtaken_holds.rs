//! A pipe that waits for a person, and pipes that come after another in one deploy: none is taken for another.

use stories::Shop;
use stories::services::{restart, restart_of};

#[test]
fn a_hold_is_not_lost_to_the_next_deploy() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    for version in ["v2", "v3"] {
        shop.source(version);
    }
    let held = restart_of("shop@1 shop@2 shop@3")
        + "release-mk --root $ROOT --from v2 | release-switch | restart --hold > held.json";
    shop.pipe(held).run().exits(6);
    let v2 = shop.current();
    let next = shop.pipe("release-mk --root $ROOT --from v3 | release-switch").run();
    assert_eq!(next.exits(75).record()["error"]["code"], "held", "{next}");
    assert_eq!(shop.current(), v2, "{next}");
    let promoted = shop.pipe(restart_of("") + "restart --promote held.json | release-switch --undo").run();
    promoted.exits(0);
    assert_eq!(shop.services().version(3).as_deref(), Some("v2"), "{promoted}");
}

#[test]
fn a_person_may_overtake_a_hold() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    for version in ["v2", "v3"] {
        shop.source(version);
    }
    shop.pipe(restart() + "release-mk --root $ROOT --from v2 | release-switch | restart --hold > held.json")
        .run()
        .exits(6);
    let next = shop.pipe("release-mk --root $ROOT --from v3 | release-switch --supersede").run();
    next.exits(0);
    let late = shop.pipe(restart_of("") + "restart --promote held.json").run();
    assert_eq!(late.exits(75).record()["error"]["code"], "superseded", "{late}");
}

#[test]
fn a_hold_is_overtaken_also_by_a_switch_to_what_is_live_already() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    for version in ["v2", "v3"] {
        shop.source(version);
    }
    let held = "release-mk --root $ROOT --from v2 | release-switch | restart --hold > held.json";
    shop.pipe(restart() + held).run().exits(6);
    let live = shop.current().expect("v2 is live");
    let same = shop.pipe(format!("release-switch --root $ROOT --to {live} --supersede")).run();
    assert_eq!(same.exits(0).record()["changed"], false, "{same}");
    let late = shop.pipe(restart_of("") + "restart --promote held.json").run();
    assert_eq!(late.exits(75).record()["error"]["code"], "superseded", "{late}");
    shop.pipe("release-mk --root $ROOT --from v3 | release-switch").run().exits(0);
}

#[test]
fn the_death_of_a_second_pipe_does_not_take_back_the_first_one_of_the_same_deploy() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    let script = format!(
        "release-switch -q --to {v1} | svc-health exec:true >/dev/null; release-switch </dev/null 2>/dev/null; \
         printf '' | release-switch -q | release-switch --undo"
    );
    let run = shop.pipe(format!("release-lock --root $ROOT -- sh -c \"{script}\"")).run();
    run.exits(66);
    assert_eq!(shop.current(), Some(v1), "{run}\nv2 is {v2}");
}

#[test]
fn a_mistake_that_only_the_record_shows_is_taken_back_too() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    shop.source("v2");
    let run = shop
        .pipe(
            "release-mk --root $ROOT --from v2 | release-switch | svc-health 'http://{live}/' | release-switch --undo",
        )
        .run();
    assert_eq!(run.exits(2).record()["ok"], false, "{run}");
    assert_eq!(shop.current(), Some(v1), "{run}");
}
