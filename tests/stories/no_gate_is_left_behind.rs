//! A gate ends with all it started: when its time is over, when the restart is interrupted or killed, when what it asks
//! about dies. So do a probe and a build step.

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

#[test]
fn when_the_restart_is_killed() {
    let shop = shop("ok");
    for (who, all) in [("svc-restart alone", false), ("the whole pipe", true)] {
        let _ = std::fs::remove_file(shop.path().join("gate"));
        let _ = std::fs::remove_file(shop.path().join("asked"));
        let running = shop.pipe(deploy("")).start();
        running.reaches(shop.path().join("asked"));
        if all {
            running.signal_all(Signal::SIGKILL);
            drop(running);
        } else {
            running.signal("svc-restart", Signal::SIGKILL);
            assert_ne!(running.wait().status, 0, "{who}");
        }
        nothing_is_left(&shop);
    }
}

/// A gate that is svc-health with a probe that never ends: two askers one below the other.
#[test]
fn nor_is_the_probe_of_a_gate_whose_restart_is_killed() {
    let shop = shop("ok");
    let probe = "echo $$ >>$HOME/gate; sleep 300 & echo $! >>$HOME/gate; touch $HOME/asked; wait";
    shop.write("probe", probe);
    let gate = "GATE='svc-health \"exec:. $HOME/probe\" --timeout 100s'; ";
    let running = shop.pipe(deploy("").replace(GATE, gate)).start();
    running.reaches(shop.path().join("asked"));
    running.signal("svc-restart", Signal::SIGKILL);
    running.wait();
    nothing_is_left(&shop);
}

/// Whoever resumes its build runs it again, in the same tree.
#[test]
fn nor_is_a_build_step_whose_build_is_killed() {
    let shop = Shop::new();
    shop.source("v1");
    let step = "echo $$ >>$HOME/gate; sleep 300 & echo $! >>$HOME/gate; touch $HOME/asked; wait";
    let build = format!("release-mk --root $ROOT --from v1 --name one --step 'slow={step}'");
    let running = shop.pipe(build).start();
    running.reaches(shop.path().join("asked"));
    running.signal("release-mk", Signal::SIGKILL);
    assert_ne!(running.wait().status, 0);
    nothing_is_left(&shop);
    shop.pipe("release-mk --root $ROOT --from v1 --resume one --step slow=true").run().exits(0);
}

#[test]
fn nor_is_a_probe_whose_asker_is_killed_or_that_takes_too_long() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path().join("bin")).expect("make a directory for programs");
    shop.program("systemctl", "echo $$ >>$HOME/gate; sleep 300 & echo $! >>$HOME/gate; touch $HOME/asked; wait");
    let path = format!("{}/bin:{}:/usr/bin:/bin", shop.path().display(), stories::binaries::directory().display());
    for target in ["'exec:systemctl; :'", "systemd:shop@1"] {
        for kill in [true, false] {
            let _ = std::fs::remove_file(shop.path().join("gate"));
            let _ = std::fs::remove_file(shop.path().join("asked"));
            let timeout = if kill { "100s" } else { "500ms" };
            let script = format!("svc-health -n {target} --timeout {timeout}");
            let running = shop.pipe(script).env("PATH", &path).start();
            running.reaches(shop.path().join("asked"));
            if kill {
                running.signal("svc-health", Signal::SIGKILL);
            }
            assert_ne!(running.wait().status, 0, "{target}");
            nothing_is_left(&shop);
        }
    }
}
