//! Only a release's own answer marks it bad. What goes wrong around it blames nobody's release.

use stories::services::{deploy, restart};
use stories::{Run, Shop};

/// A shop with v1 live and a good source v2.
fn shop() -> (Shop, String) {
    let shop = Shop::new();
    shop.source("v1");
    let id = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source("v2");
    (shop, id)
}

fn nobody_is_blamed(shop: &Shop, v1: &str, run: &Run) {
    let record = run.record();
    assert_eq!(record["ok"], false, "{run}");
    assert_eq!(record["error"].get("blame"), None, "{run}");
    for release in shop.releases() {
        assert!(!shop.is_bad(&release), "{release} is marked bad\n{run}");
    }
    assert_eq!(shop.current().as_deref(), Some(v1), "the link is back\n{run}");
    for i in [1, 2] {
        assert_eq!(shop.services().version(i).as_deref(), Some("v1"), "instance {i}\n{run}");
    }
}

#[test]
fn a_missing_manager_marks_no_release_bad() {
    let (shop, v1) = shop();
    let script = deploy("v2").replace("shop-manager", "no-such-manager");
    let run = shop.pipe(script).run();
    // The undo needs the same manager, so it may fail as well when something was changed.
    run.exits_one_of(&[1, 5]);
    nobody_is_blamed(&shop, &v1, &run);
}

#[test]
fn a_systemd_that_is_not_there_marks_no_release_bad() {
    let (shop, v1) = shop();
    let script = "restart() { svc-restart --via systemd shop@1 shop@2 \"$@\"; }\n".to_owned();
    let run = shop
        .pipe(script + deploy("v2").split_once('\n').expect("a function").1)
        .env("PATH", path_without_systemctl(&shop))
        .run();
    run.exits(1);
    nobody_is_blamed(&shop, &v1, &run);
}

/// A PATH with the tools and a `systemctl` that says what it says where systemd does not run.
fn path_without_systemctl(shop: &Shop) -> String {
    std::fs::create_dir(shop.path().join("bin")).expect("make bin");
    shop.program("systemctl", "echo 'System has not been booted with systemd as init system' >&2; exit 1");
    format!("{}:{}:/usr/bin:/bin", shop.path().join("bin").display(), stories::binaries::directory().display())
}

#[test]
fn a_refused_sudo_marks_no_release_bad() {
    let (shop, v1) = shop();
    std::fs::create_dir(shop.path().join("bin")).expect("make bin");
    shop.program("refuse", "echo 'sudo: a password is required' >&2; exit 1");
    let refuse = shop.path().join("bin/refuse");
    let script = deploy("v2").replace("svc-restart", &format!("svc-restart --as '{}'", refuse.display()));
    let run = shop.pipe(script).run();
    run.exits_one_of(&[1, 5]);
    nobody_is_blamed(&shop, &v1, &run);
}

#[test]
fn a_mistyped_pid_file_marks_no_release_bad_and_is_named() {
    let (shop, v1) = shop();
    let restart = "svc-restart --via exec late@1 --command start=true --command stop=true --pidfile none.{i}.pid";
    let pipe = format!("release-mk --root $ROOT --from v2 | release-switch | {restart} | release-switch --undo");
    let run = shop.pipe(pipe).run();
    run.exits(1).says("none.1.pid");
    nobody_is_blamed(&shop, &v1, &run);
}

#[test]
fn a_manager_that_refuses_marks_no_release_bad() {
    let (shop, v1) = shop();
    shop.services().refuse(2, 7);
    let running = shop.pipe(deploy("v2")).start();
    let run = running.wait();
    assert_ne!(run.status, 0, "{run}");
    nobody_is_blamed(&shop, &v1, &run);
}

#[test]
fn a_gate_that_cannot_be_asked_marks_no_release_bad() {
    for gate in ["no-such-gate", "exit 1", "exit 7", "kill -9 $$"] {
        let (shop, v1) = shop();
        let run = shop.pipe(format!("GATE='[ $CUTOVER_RELEASE = {v1} ] || {gate}'\n{}", deploy("v2"))).run();
        run.exits(1);
        nobody_is_blamed(&shop, &v1, &run);
    }
}

#[test]
fn a_gate_that_takes_too_long_marks_no_release_bad() {
    let (shop, v1) = shop();
    let script = deploy("v2").replace("\"$GATE\"", "\"[ \\$CUTOVER_RELEASE = $V1 ] || sleep 60\" --gate-timeout 300ms");
    let run = shop.pipe(script).env("V1", v1.clone()).run();
    run.exits(1);
    nobody_is_blamed(&shop, &v1, &run);
}

#[test]
fn a_busy_lock_marks_no_release_bad_and_names_its_holder() {
    let (shop, v1) = shop();
    let holder =
        shop.pipe("release-lock --root $ROOT -- dash -c 'touch held; until [ -e go ]; do sleep 0.01; done'").start();
    holder.reaches(shop.path().join("held"));
    let pipe = "release-mk --root $ROOT --from v2 --lock-wait 0s | release-switch --lock-wait 0s";
    let run = shop.pipe(format!("{}{pipe} | restart --lock-wait 0s", restart())).run();
    run.exits(75).says("release-lock");
    nobody_is_blamed(&shop, &v1, &run);
    shop.write("go", "");
    holder.wait().exits(0);
}

#[test]
fn a_gate_that_says_no_marks_its_release_bad() {
    let (shop, v1) = shop();
    let run = shop.pipe(format!("GATE='[ $CUTOVER_RELEASE = {v1} ] || exit 3'\n{}", deploy("v2"))).run();
    let record = run.exits(3).record();
    assert_eq!(record["error"]["blame"], "release", "{run}");
    assert!(shop.is_bad(record.id()), "{run}");
    assert!(!shop.is_bad(&v1), "{run}");
}
