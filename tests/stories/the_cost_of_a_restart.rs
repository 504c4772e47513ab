//! What svc-restart costs over the manager's own command, for each instance. Printed, never judged: a busy machine is slow.

use std::time::{Duration, Instant};

use stories::real::managed::Managed;
use stories::real::managers;
use stories::{Shop, skip};

const ROUNDS: usize = 5;

/// The median of the script's time over some rounds, the shell's own start taken off.
fn median(managed: &Managed, script: &str) -> Duration {
    let time = |script: &str| {
        let pipe = managed.pipe(script);
        let started = Instant::now();
        pipe.run().exits(0);
        started.elapsed()
    };
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| time(script).saturating_sub(time("true"))).collect();
    rounds.sort();
    rounds[ROUNDS / 2]
}

fn compared(managed: &Managed, what: &str, bare: &str) {
    managed.source("v1");
    managed.deploy("v1").run().exits(0);
    let [first, second, third] = managed.names();
    let alone = median(managed, &format!("for name in {first} {second} {third}; do {bare} \"$name\" >/dev/null; done"));
    // The wait for a process to stay up is a decision, not a cost.
    let ours = median(managed, &format!("manage -n -q --stable 0s {first} {second} {third} >/dev/null"));
    let difference = (ours.as_secs_f64() - alone.as_secs_f64()) * 1000.0 / 3.0;
    skip::measured(&format!(
        "{what}: three restarts {:.0} ms, by svc-restart {:.0} ms; {difference:+.0} ms for each, ratio {:.2}",
        alone.as_secs_f64() * 1000.0,
        ours.as_secs_f64() * 1000.0,
        ours.as_secs_f64() / alone.as_secs_f64()
    ));
}

#[test]
fn over_systemctl() {
    match managers::systemd(Shop::new()) {
        Ok(managed) => compared(&managed, "systemctl restart", "systemctl restart"),
        Err(why) => skip!("{why}"),
    }
}

#[test]
fn over_supervisorctl() {
    match managers::supervisor(Shop::new()) {
        Ok(managed) => {
            let bare = format!("supervisorctl -c {}/supervisord.conf restart", managed.shop().path().display());
            compared(&managed, "supervisorctl restart", &bare);
        }
        Err(why) => skip!("{why}"),
    }
}

#[test]
fn over_a_command() {
    compared(&managers::exec(Shop::new()), "a command of its own", "shop-manager restart");
}
