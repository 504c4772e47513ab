//! What may be asked of a restart besides its gate: something healthy first, a while to stay up, a person's word in time,
//! or nothing at all.

use stories::services::restart_of;
use stories::{Run, Shop};

const THREE: &str = "shop@1 shop@2 shop@3";

/// A shop whose three instances run v1, and a source v2 that behaves as `mode` says.
fn shop(mode: &str) -> Shop {
    let shop = Shop::new();
    shop.source("v1");
    let script = "release-mk --root $ROOT --from v1 | release-switch | restart | release-switch --undo";
    shop.pipe(restart_of(THREE) + script).run().exits(0);
    shop.source_that("v2", mode);
    shop
}

/// A deploy of v2 with these options and the way back.
fn deploy(shop: &Shop, options: &str) -> Run {
    let script = format!(
        "release-mk --root $ROOT --from v2 | release-switch | restart {options} | release-switch --undo | restart --undo"
    );
    shop.pipe(restart_of(THREE) + &script).run()
}

fn versions(shop: &Shop) -> [Option<String>; 3] {
    [1, 2, 3].map(|i| shop.services().version(i))
}

fn all(version: &str) -> [Option<String>; 3] {
    [1, 2, 3].map(|_| Some(version.to_owned()))
}

#[test]
fn something_else_must_be_healthy_first() {
    let shop = shop("ok");
    let pids = [1, 2, 3].map(|i| shop.services().pid(i));
    let run = deploy(&shop, "--require http://127.0.0.1:${PORTS}1/ --require tcp://127.0.0.1:${PORTS}9");
    let record = run.exits(1).record();
    assert_eq!(record.code(), "restart.require", "{run}");
    assert_eq!(record["error"].get("blame"), None, "{run}");
    assert_eq!([1, 2, 3].map(|i| shop.services().pid(i)), pids, "nobody was touched\n{run}");
    deploy(&shop, "--require http://127.0.0.1:${PORTS}1/ --require tcp://127.0.0.1:${PORTS}2").exits(0);
    assert_eq!(versions(&shop), all("v2"));
}

#[test]
fn a_new_process_must_stay_up_for_as_long_as_is_said() {
    let shop = shop("dies 700");
    let pids = [2, 3].map(|i| shop.services().pid(i));
    let run = deploy(&shop, "--stable 2s");
    let record = run.exits(3).record();
    assert_eq!(record.code(), "restart.down", "{run}");
    assert_eq!(record["error"]["blame"], "release", "{run}");
    assert_eq!(versions(&shop), all("v1"), "{run}");
    assert_eq!([2, 3].map(|i| shop.services().pid(i)), pids, "{run}");
}

#[test]
fn a_best_effort_warns_and_the_pipe_goes_on() {
    let shop = shop("500");
    let pids = [2, 3].map(|i| shop.services().pid(i));
    let script = "release-mk --root $ROOT --from v2 | release-switch | restart --best-effort | release-gc";
    let run = shop.pipe(restart_of(THREE) + "GATE='exit 3'; " + script).run();
    let record = run.exits(0).record();
    assert!(record["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()), "{run}");
    assert_eq!(record.stages(), ["release-mk", "release-switch", "svc-restart", "release-gc"], "{run}");
    assert_eq!([2, 3].map(|i| shop.services().pid(i)), pids, "what comes behind a failure is not touched\n{run}");
}

/// A deploy of v2 that waits for a person behind its first instance; its record is in `held.json`.
fn hold(shop: &Shop, options: &str) {
    let script = format!("release-mk --root $ROOT --from v2 | release-switch | restart --hold {options} >held.json");
    shop.pipe(restart_of(THREE) + &script).run().exits(6);
    assert_eq!(versions(shop)[1..], all("v1")[1..]);
    assert_eq!(shop.services().version(1).as_deref(), Some("v2"));
}

#[test]
fn a_person_says_yes_and_the_others_follow() {
    let shop = shop("ok");
    hold(&shop, "--hold-for 1h");
    let run = shop.pipe("svc-restart --status --root $ROOT").run();
    run.exits(0).says("waits for a promotion");
    let run = shop.pipe(restart_of("") + "restart --promote held.json | release-switch --undo").run();
    let record = run.exits(0).record();
    assert_eq!(versions(&shop), all("v2"), "{run}");
    assert!(shop.kinds_of(record.id()).contains(&"good".to_owned()), "{run}");
    let again = shop.pipe(restart_of("") + "restart --promote held.json").run();
    assert_eq!(again.exits(75).record().code(), "superseded", "{again}");
}

#[test]
fn a_person_says_no_and_the_first_one_goes_back() {
    let shop = shop("ok");
    let v1 = shop.current();
    hold(&shop, "");
    let script = "svc-restart --abort held.json | release-switch --undo | restart --undo";
    let run = shop.pipe(restart_of(THREE) + script).run();
    let record = run.exits(1).record();
    assert_eq!(record.code(), "held.aborted", "{run}");
    assert!(!shop.is_bad(record.id()), "a person's no is not the release's\n{run}");
    assert_eq!(shop.current(), v1, "{run}");
    assert_eq!(versions(&shop), all("v1"), "{run}");
}

#[test]
fn a_person_says_yes_too_late() {
    let shop = shop("ok");
    hold(&shop, "--hold-for 0s");
    // The hold's end is told in whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let run = shop.pipe(restart_of("") + "restart --promote held.json").run();
    assert_eq!(run.exits(75).record().code(), "held.expired", "{run}");
    assert_eq!(versions(&shop)[1..], all("v1")[1..], "{run}");
    let script = "svc-restart --abort held.json | release-switch --undo | restart --undo";
    shop.pipe(restart_of(THREE) + script).run().exits(1);
    assert_eq!(versions(&shop), all("v1"));
}

#[test]
fn a_command_is_told_the_root_and_its_instance_and_no_release_that_it_would_outlive() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    shop.source("v2");
    let tell = r#"echo "$CUTOVER_ROOT $CUTOVER_INSTANCE ${CUTOVER_RELEASE-none} ${CUTOVER_RELEASE_PATH-none}" >>told"#;
    let script = format!(
        "export CUTOVER_RELEASE=outer CUTOVER_RELEASE_PATH=/outer; release-mk --root $ROOT --from v2 | release-switch \
         | svc-restart --via exec shop@1 --command restart='{tell}' --command status='{tell}'"
    );
    shop.pipe(script).run().exits(0);
    let told = std::fs::read_to_string(shop.path().join("told")).expect("read what the commands were told");
    let expected = format!("{} shop@1 none none", shop.root().display());
    assert!(told.lines().count() > 1 && told.lines().all(|line| line == expected), "{told}");
}
