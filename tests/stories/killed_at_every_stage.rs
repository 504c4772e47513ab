//! Every recipe, killed with -9 at every stage of its pipe: somebody serves all the time, and the command that the
//! cookbook names brings it to its end.

use stories::halts::Halt;
use stories::skip;

use crate::blue_green::{asked_meanwhile, lost_nothing, street};

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
