//! Every recipe, killed with -9 at every stage of its pipe: somebody serves all the time, and the command that the
//! cookbook names brings it to its end.

use nix::sys::signal::Signal;
use stories::halts::Halt;
use stories::load::Load;
use stories::running::until;
use stories::skip;

use crate::blue_green::{asked_meanwhile, lost_nothing, street};
use crate::primary_backup::Pair;
use crate::pull::Mirror;
use crate::rolling::{BALANCED, Farm};
use crate::unicorn::{Classroom, Served};

type Row = (&'static str, Halt);

/// What every recipe's pipe begins with.
const MADE: Row = ("the release is made", Halt::after("release-mk"));
const SWITCHED: Row = ("the link is switched", Halt::after("release-switch").without("--undo"));
const GATE: Row = ("a gate asks", Halt::before("svc-health"));
/// And what it ends with.
const GOOD: Row = ("the release is good", Halt::after("release-switch").with("--undo"));
const COLLECTED: Row = ("all is done", Halt::after("release-gc"));

#[test]
fn blue_green() {
    let rows = [
        MADE,
        ("the slot is picked", Halt::after("svc-route").with("--pick").without("-n")),
        SWITCHED,
        GATE,
        ("the new slot is healthy", Halt::after("svc-restart").with("--gate").without("--undo")),
        ("nginx checks the file", Halt::before("nginx").with("-t -q")),
        ("nginx is to load the file", Halt::before("nginx").with("-s reload")),
        ("nginx has loaded the file", Halt::after("nginx").with("-s reload")),
        ("the traffic has moved", Halt::after("svc-route").with("--to idle")),
        GOOD,
        ("nothing is to be moved back", Halt::after("svc-route").with("--undo")),
        ("nothing is to be restarted back", Halt::after("svc-restart").with("--undo")),
        ("the old slot is stopped", Halt::after("svc-restart").with("--action stop")),
        COLLECTED,
    ];
    slots_change("blue-green", &rows);
}

#[test]
fn canary() {
    let rows = [
        ("it has a tenth", Halt::before("svc-health").nth(2)),
        ("it has a half", Halt::before("svc-health").nth(3)),
        ("it has all", Halt::before("svc-health").nth(4)),
    ];
    slots_change("canary", &rows);
}

/// The same command again ends in the new release alone, good, with all of the traffic.
fn slots_change(recipe: &str, rows: &[Row]) {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    let shop = &street.shop;
    for (at, (place, halt)) in rows.iter().enumerate() {
        let [old, new] = [at + 1, at + 2].map(|number| format!("v{number}"));
        shop.source(&new);
        let command = format!("RECIPES/{recipe} {new}");
        let (run, seen) = asked_meanwhile(&street.systemd, shop, [&old, &new], || {
            halt.kill(shop, street.script(&command));
            street.script(&command).run()
        });
        run.exits(0);
        lost_nothing(&format!("{recipe} killed when {place}"), &seen);
        let (live, idle) = if at % 2 == 0 { ("green", "blue") } else { ("blue", "green") };
        let id = shop.named(live).expect("the live slot has a link");
        assert_eq!(std::fs::read_to_string(shop.root().join(live).join("version")).expect("the version"), new);
        assert!(shop.kinds_of(&id).iter().any(|kind| kind == "good"), "killed when {place}: {run}");
        assert!(street.upstream_is(live), "killed when {place}: {run}");
        assert_ne!(street.pid(live), "0", "killed when {place}: {run}");
        assert_eq!(street.pid(idle), "0", "killed when {place}: {run}");
        assert!(seen.contains(&format!("{new} true")), "killed when {place}: {seen}\n{run}");
    }
}

/// Brings one row to its place, kills, runs what repairs, and tells what a client saw.
struct Killed<'k> {
    recipe: &'k str,
    place: &'k str,
}

impl Killed<'_> {
    fn lost_nothing(&self, seen: &str) {
        lost_nothing(&self.to_string(), seen);
    }
}

impl std::fmt::Display for Killed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} killed when {}", self.recipe, self.place)
    }
}

/// `repair` brings both instances to what the link names and the traffic to the primary.
#[test]
fn primary_backup() {
    let deploying = [
        ("the tests run", Halt::before("checkpoint")),
        MADE,
        SWITCHED,
        GATE,
        ("the backup waits for a person", Halt::after("svc-restart").with("--hold")),
    ];
    let promoting = [
        ("the backup is asked first", GATE.1),
        ("the backup has the traffic", Halt::after("svc-route").with("--to backup")),
        ("the primary is restarted", GATE.1.with("--wait")),
        ("the primary is to have the traffic", Halt::before("svc-route").with("--to primary")),
        ("the primary has the traffic", Halt::after("svc-route").with("--to primary")),
        ("both run the release", Halt::after("svc-restart").with("--promote")),
        GOOD,
        ("nothing is to be taken back", Halt::after("svc-restart").with("--undo")),
        COLLECTED,
    ];
    let pair = match Pair::deployed() {
        Ok(pair) => pair,
        Err(why) => skip!("{why}"),
    };
    let rows = deploying.iter().map(|row| ("deploy", row)).chain(promoting.iter().map(|row| ("promote", row)));
    for (at, (command, (place, halt))) in rows.enumerate() {
        let killed = Killed { recipe: "primary-backup", place };
        let [old, _] = pair.versions();
        let new = format!("v{}", at + 3);
        pair.commit(&new, 200);
        let deploy = format!("deploy {new}");
        let (run, seen) = asked_meanwhile(&pair.systemd, &pair.shop, [&old, &new], || {
            if command == "promote" {
                pair.run(&deploy).exits(6);
            }
            let words = if command == "promote" { "promote" } else { &deploy };
            halt.kill(&pair.shop, pair.script(words).env("TESTS", "checkpoint && make test"));
            pair.run("repair")
        });
        run.exits(0);
        killed.lost_nothing(&seen);
        let is_switched = command == "promote" || !["the tests run", MADE.0].contains(place);
        let live = if is_switched { &new } else { &old };
        assert_eq!(pair.versions(), [live.as_str(), live.as_str()], "{killed}\n{run}");
        let upstream = std::fs::read_to_string(pair.shop.path().join("proxy/shop.upstream")).expect("the upstream");
        assert!(upstream.contains("weight=100; # primary"), "{killed}: {upstream}\n{run}");
    }
}

/// The same command again.
#[test]
fn rolling() {
    let socat = Halt::before("socat");
    let rows = [
        ("the build runs", Halt::before("checkpoint")),
        MADE,
        SWITCHED,
        ("the first is to leave the balancer", socat),
        ("the first is drained", socat.nth(2)),
        ("the first is restarted", GATE.1),
        ("the second batch is restarted", GATE.1.nth(2)),
        ("the last batch is restarted", GATE.1.nth(4)),
        ("the last is up", GATE.1.nth(5)),
        ("all are restarted", Halt::after("svc-restart").without("--undo")),
        GOOD,
        ("nothing is to be taken back", Halt::after("svc-restart").with("--undo")),
        COLLECTED,
    ];
    let farm = match Farm::new() {
        Ok(farm) => farm,
        Err(why) => skip!("{why}"),
    };
    for (at, (place, halt)) in rows.iter().enumerate() {
        let killed = Killed { recipe: "rolling", place };
        let new = format!("v{}", at + 2);
        farm.commit(&new, "ok");
        let load = Load::on(farm.shop.services().port(BALANCED));
        load.for_requests(30);
        let deploy = farm.script(&format!("ROLLING deploy {new}")).env("BUILD", "checkpoint");
        halt.kill(&farm.shop, deploy);
        load.for_requests(30);
        let run = farm.script(&format!("ROLLING deploy {new}")).run();
        run.exits(0);
        load.for_requests(30);
        let tally = load.stop();
        skip::measured(&format!("{killed}: {tally}"));
        assert_eq!(tally.failures(), 0, "{killed}: {:?}\n{run}", tally.failed);
        assert_eq!(farm.versions(), [new.as_str(); 5], "{killed}\n{run}");
    }
}

/// The same command again, with gunicorn and with unicorn.
#[test]
fn unicorn() {
    handed_over(Served::Gunicorn, "USR2,2m,wait-new,WINCH,TERM", "USR2,wait-new,WINCH,2m,TERM");
}

#[test]
fn unicorn_itself() {
    handed_over(Served::Unicorn, "USR2,2m,wait-new,WINCH,QUIT", "USR2,wait-new,WINCH,2m,QUIT");
}

/// The two sequences rest where the new main process is called for, and where the old one's workers are sent away.
fn handed_over(served: Served, called: &str, sent_away: &str) {
    let rows = [
        ("the build runs", Halt::before("checkpoint")),
        MADE,
        SWITCHED,
        GATE,
        ("the new one serves", Halt::after("svc-restart").without("--undo")),
        GOOD,
        ("nothing is to be taken back", Halt::after("svc-restart").with("--undo")),
        COLLECTED,
    ];
    let classroom = match Classroom::with(served) {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    classroom.settings();
    classroom.run("deploy v1").exits(0);
    let row = |at: usize, place: &str, kill: &dyn Fn(stories::Pipe)| {
        let killed = Killed { recipe: "unicorn", place: &format!("{place} ({served:?})") };
        let [old, new] = [at + 1, at + 2].map(|number| format!("v{number}"));
        classroom.commit(&new, "200 OK");
        let command = format!("{} deploy {new}", crate::unicorn::recipe());
        let (run, seen) = asked_meanwhile(&classroom.systemd, &classroom.shop, [&old, &new], || {
            kill(classroom.as_user(&command));
            classroom.as_user(&command).run()
        });
        run.exits(0);
        killed.lost_nothing(&seen);
        assert_eq!(classroom.version(), new, "{killed}\n{run}");
    };
    for (at, (place, halt)) in rows.iter().enumerate() {
        row(at, place, &|pipe| halt.kill(&classroom.shop, pipe.env("BUILD", "checkpoint")));
    }
    let rest = [("the new one is called", called, "v10"), ("the old one's workers go", sent_away, "v11")];
    for (at, (place, signals, new)) in rest.into_iter().enumerate() {
        row(rows.len() + at, place, &|pipe| {
            let running = pipe.env("SIGNALS", signals).start();
            // Both answer in turn; only the new one does so all the time once the old one has no workers.
            let times = if at == 0 { 1 } else { 20 };
            until(place, || (0..times).all(|_| classroom.version() == new));
            running.signal_all(Signal::SIGKILL);
        });
    }
}

/// The next run of the timer.
#[test]
fn pull() {
    let socat = Halt::before("socat");
    let rows = [
        MADE,
        SWITCHED,
        ("the first is to leave the balancer", socat),
        ("the first is drained", socat.nth(2)),
        ("the first is restarted", GATE.1.with("--wait")),
        ("the second is restarted", GATE.1.with("--wait").nth(2)),
        ("both are restarted", Halt::after("svc-restart").without("--undo")),
        GOOD,
        ("nothing is to be taken back", Halt::after("svc-restart").with("--undo")),
        COLLECTED,
    ];
    let mirror = match Mirror::new() {
        Ok(mirror) => mirror,
        Err(why) => skip!("{why}"),
    };
    mirror.pull().exits(0);
    mirror.start_balancer();
    for (at, (place, halt)) in rows.iter().enumerate() {
        let killed = Killed { recipe: "pull", place };
        let [old, new] = [at + 1, at + 2].map(|number| format!("v{number}"));
        mirror.commit(&new, "ok");
        let before = mirror.pids();
        let (run, seen) = asked_meanwhile(&mirror.systemd, &mirror.shop, [&old, &new], || {
            halt.kill(&mirror.shop, mirror.balanced());
            mirror.balanced().run()
        });
        run.exits(0);
        killed.lost_nothing(&seen);
        let now = mirror.pids();
        assert!(now.iter().zip(&before).all(|(now, before)| now != before && now != "0"), "{killed}\n{run}");
        let id = mirror.shop.current().expect("something is live");
        assert!(mirror.shop.kinds_of(&id).iter().any(|kind| kind == "good"), "{killed}\n{run}");
        let live = std::fs::read_to_string(mirror.shop.root().join("current/version")).expect("the version");
        assert_eq!(live, new, "{killed}\n{run}");
    }
}
