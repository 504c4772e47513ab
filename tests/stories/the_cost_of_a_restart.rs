//! What svc-restart costs over the manager's own command, for each instance. Printed, never judged: a busy machine is slow.

use std::time::Instant;

use stories::real::managed::Managed;
use stories::real::managers;
use stories::running::until;
use stories::{Shop, skip};

const ROUNDS: usize = 7;

/// Both ways in turn, the shell's own start taken off; the least of some rounds, since whatever else runs only adds.
fn least(managed: &Managed, ways: [&str; 2]) -> [f64; 2] {
    let time = |script: &str| {
        let pipe = managed.pipe(script);
        let started = Instant::now();
        pipe.run().exits(0);
        started.elapsed().as_secs_f64() * 1000.0
    };
    let mut least = [f64::MAX; 3];
    for _ in 0..ROUNDS {
        for (script, least) in ways.into_iter().chain(["true"]).zip(&mut least) {
            // Supervisor forgets a TERM that comes before the program's own start.
            until("all serve", || managed.versions() == ["v1"; 3]);
            *least = least.min(time(script));
        }
    }
    [least[0] - least[2], least[1] - least[2]]
}

fn compared(managed: &Managed, what: &str, bare: &str) {
    managed.source("v1");
    managed.deploy("v1").run().exits(0);
    let names = managed.names().join(" ");
    let bare = format!("for name in {names}; do {bare} \"$name\" >/dev/null; done");
    // The wait for a process to stay up is a decision, not a cost.
    let ours = format!("manage -n -q --stable 0s {names} >/dev/null");
    let [bare, ours] = least(managed, [&bare, &ours]);
    skip::measured(&format!(
        "{what}: three restarts {bare:.0} ms, by svc-restart {ours:.0} ms; {:+.1} ms for each, ratio {:.2}",
        (ours - bare) / 3.0,
        ours / bare
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
