//! A gate ends with all it started: when its time is over, when the restart is interrupted, when what it asks about dies.

use nix::sys::signal::Signal;
use stories::Shop;
use stories::running::until;
use stories::services::restart;

/// A gate that never ends, with a child in the background; it notes both.
const GATE: &str = "GATE='echo $$ >>$HOME/gate; sleep 300 & echo $! >>$HOME/gate; touch $HOME/asked; wait'; ";

/// A shop with v1 live, and a source v2 of this mode to be restarted to behind the gate.
fn shop(mode: &str) -> Shop {
    let shop = Shop::new();
    shop.source("v1");
    let script = restart() + "release-mk --root $ROOT --from v1 | release-switch | restart";
    shop.pipe(script).run().exits(0);
    shop.source_that("v2", mode);
    shop
}

fn deploy(options: &str) -> String {
    format!("{}{GATE}release-mk --root $ROOT --from v2 | release-switch | restart {options}", restart())
}

fn nothing_is_left(shop: &Shop) {
    let noted = std::fs::read_to_string(shop.path().join("gate")).expect("read what the gate noted");
    let pids: Vec<_> = noted.lines().map(|pid| pid.parse::<i32>().expect("a pid")).collect();
    assert_eq!(pids.len(), 2, "{noted}");
    until("the gate and its child are gone", || pids.iter().all(|pid| has_ended(*pid)));
}

fn has_ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn when_its_time_is_over() {
    let shop = shop("ok");
    let run = shop.pipe(deploy("--gate-timeout 300ms")).run();
    let record = run.exits(1).record();
    assert_eq!(record["error"].get("blame"), None, "{run}");
    nothing_is_left(&shop);
}

#[test]
fn when_the_restart_is_interrupted() {
    let shop = shop("ok");
    let running = shop.pipe(deploy("")).start();
    running.reaches(shop.path().join("asked"));
    running.signal("svc-restart", Signal::SIGTERM);
    let run = running.wait();
    assert_eq!(run.exits(143).record().code(), "interrupted", "{run}");
    nothing_is_left(&shop);
}

#[test]
fn when_what_it_asks_about_dies() {
    let shop = shop("dies 500");
    let run = shop.pipe(deploy("")).run();
    let record = run.exits(3).record();
    assert_eq!((record.code(), &record["error"]["blame"]), ("restart.down", &"release".into()), "{run}");
    nothing_is_left(&shop);
}
