//! Whatever goes wrong while three instances are restarted, and whatever was so before: each combination is a row, and what
//! the manager was asked to do tells whether only what this pipe changed went back, once, and nothing else was touched.

use nix::sys::signal::Signal;
use stories::running::until;
use stories::services::{locked, restart_of};
use stories::{Run, Shop};

const THREE: &str = "shop@1 shop@2 shop@3";

/// What was so before the deploy, or came between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// All three run v1.
    Usual,
    /// The second was stopped.
    Stopped,
    /// There was no release, and nothing runs.
    First,
    /// All three run v1, and another pipe switches the link to v3 before this one is taken back.
    Meanwhile,
}

/// What goes wrong with the second instance.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// How the second instance of the new release behaves.
    pub(crate) mode: &'static str,
    /// What the gate does first where it is asked about the new release.
    pub(crate) gate: &'static str,
    /// What a command does first, and last, while the new release is live.
    pub(crate) command: [&'static str; 2],
    pub(crate) options: &'static str,
    /// The stage behind.
    pub(crate) behind: &'static str,
    /// What comes from outside once the file `there` is written.
    pub(crate) then: Option<Signal>,
    pub(crate) status: i32,
    pub(crate) code: &'static str,
    /// Whether it is the release's own no.
    pub(crate) bad: bool,
    /// What the three are asked for, in each circumstance: `s`tart, sto`p`, `r`estart.
    pub(crate) asked: [[&'static str; 3]; 4],
}

pub(crate) const QUIET: Row = Row {
    name: "",
    mode: "ok",
    gate: "",
    command: ["", ""],
    options: "",
    behind: "",
    then: None,
    status: 1,
    code: "",
    bad: false,
    asked: TWO,
};

/// The first two were changed, and go back.
pub(crate) const TWO: [[&str; 3]; 4] = [["rr", "rr", ""], ["rr", "sp", ""], ["sp", "sp", ""], ["r", "r", ""]];
/// The second was not reached.
const ONE: [[&str; 3]; 4] = [["rr", "", ""], ["rr", "", ""], ["sp", "", ""], ["r", "", ""]];
/// The second is down: it is started if it ran before, whoever switched the link.
const DOWN: [[&str; 3]; 4] = [["rr", "rs", ""], ["rr", "s", ""], ["sp", "s", ""], ["r", "rs", ""]];
const ALL: [[&str; 3]; 4] = [["rr", "rr", "rr"], ["rr", "sp", "rr"], ["sp", "sp", "sp"], ["r", "r", "r"]];

const WAIT_AT_TWO: &str = "[ {i} != 2 ] || sh $HOME/wait";

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { name: "the gate says no", gate: "[ {i} != 2 ] || exit 3", status: 3, code: "restart.gate", bad: true, ..QUIET },
    Row { name: "the process ends at once", mode: "exit", status: 3, code: "restart.down", bad: true, asked: DOWN, ..QUIET },
    Row { name: "the manager refuses", command: ["[ {i} != 2 ] || exit 7", ""], code: "restart.manager", asked: ONE, ..QUIET },
    Row { name: "the manager hangs", command: ["[ {i} != 2 ] || sleep 60", ""], options: "--timeout 2s", code: "restart.timeout", asked: ONE, ..QUIET },
    Row { name: "the gate cannot be asked", gate: "[ {i} != 2 ] || exit 7", code: "restart.gate_failed", ..QUIET },
    Row { name: "the gate is missing", gate: "[ {i} != 2 ] || exec no-such-gate", code: "restart.gate_failed", ..QUIET },
    Row { name: "the gate takes too long", gate: "[ {i} != 2 ] || sleep 60", options: "--gate-timeout 2s", code: "restart.gate_failed", ..QUIET },
    Row { name: "it cannot be taken out of the balancer", options: "--before '[ {i} != 2 ]'", code: "restart.before", asked: ONE, ..QUIET },
    Row { name: "it cannot be put into the balancer", options: "--after '[ {i} != 2 ]'", code: "restart.after", ..QUIET },
    Row { name: "a stage behind fails", behind: "svc-health exec:false |", status: 3, code: "health.unhealthy", bad: true, asked: ALL, ..QUIET },
    Row { name: "kill -9 while the gate is asked", gate: WAIT_AT_TWO, then: Some(Signal::SIGKILL), status: 66, code: "stage.died", ..QUIET },
    Row { name: "kill -9 while the manager is at it", command: ["", WAIT_AT_TWO], then: Some(Signal::SIGKILL), status: 66, code: "stage.died", ..QUIET },
    Row { name: "INT while the gate is asked", gate: WAIT_AT_TWO, then: Some(Signal::SIGINT), status: 130, code: "interrupted", ..QUIET },
    Row { name: "HUP while the gate is asked", gate: WAIT_AT_TWO, then: Some(Signal::SIGHUP), status: 129, code: "interrupted", ..QUIET },
    Row { name: "TERM while the gate is asked", gate: WAIT_AT_TWO, then: Some(Signal::SIGTERM), status: 143, code: "interrupted", ..QUIET },
    Row { name: "TERM while the manager is at it", command: ["", WAIT_AT_TWO], then: Some(Signal::SIGTERM), status: 143, code: "interrupted", ..QUIET },
];

/// `restart` for the three: what goes wrong does so for the release `new` only, before and behind what is usual.
pub(crate) fn functions(row: &Row, undo_options: &str) -> String {
    let command = |verb: &str| {
        let [first, last] = row.command;
        let is_new = "[ $(readlink $ROOT/current) = releases/new ]";
        // Only a command that has done its work waits.
        format!(
            "--command {verb}='{{ ! {is_new} || {{ {}; }}; }} && shop-manager {verb} {{instance}} && \
             {{ ! {is_new} || {{ {}; }}; }}'",
            or_true(first),
            or_true(last)
        )
    };
    let gate = format!("[ $CUTOVER_RELEASE != new ] || {{ {}; }}; $ASK", or_true(row.gate));
    let commands = ["start", "restart"].map(command).join(" ");
    format!(
        "ASK='svc-health '$ADDRESS' --wait 30s --interval 20ms'\nGATE='{}'\n\
         act() {{ svc-restart --via exec --command stop='shop-manager stop {{instance}}' \
         --command status='shop-manager status {{instance}}' {commands} --stable 50ms \"$@\"; }}\n\
         restart() {{ act {THREE} --gate \"$GATE\" {}; }}\nback() {{ act --undo --gate \"$GATE\" {undo_options}; }}\n",
        gate.replace("$ASK", "'\"$ASK\"'"),
        row.options
    )
}

fn or_true(script: &str) -> &str {
    if script.is_empty() { ":" } else { script }
}

const WAIT: &str = "[ -e $HOME/go ] || { touch $HOME/there; until [ -e $HOME/go ]; do sleep 0.01; done; }";

/// The shop as it was before, and its source `new`.
pub(crate) fn shop(before: Before, mode: &str) -> Shop {
    let shop = Shop::new();
    shop.write("wait", WAIT);
    shop.source("v1");
    let new = shop.source("new");
    std::fs::write(new.join("mode.2"), mode).expect("write a source");
    if before != Before::First {
        let script = "release-mk --root $ROOT --from v1 --name v1 | release-switch | restart | release-switch --undo";
        shop.pipe(restart_of(THREE) + script).run().exits(0);
    }
    match before {
        Before::Stopped => drop(shop.pipe("shop-manager stop shop@2").run()),
        Before::Meanwhile => {
            shop.source("v3");
            shop.pipe("release-mk --root $ROOT --from v3 --name v3").run().exits(0);
        }
        Before::Usual | Before::First => {}
    }
    shop
}

/// What each was asked for since, in letters.
pub(crate) fn asked(shop: &Shop, before: &[usize; 3]) -> [String; 3] {
    let letter = |action: &String| if action == "stop" { "p" } else { action.get(..1).unwrap_or("?") }.to_owned();
    [1, 2, 3].map(|i| shop.services().asked(i)[before[i as usize - 1]..].iter().map(letter).collect())
}

pub(crate) fn so_far(shop: &Shop) -> [usize; 3] {
    [1, 2, 3].map(|i| shop.services().asked(i).len())
}

fn deploy(shop: &Shop, before: Before, row: &Row) -> Run {
    let meanwhile = match before {
        Before::Meanwhile => {
            "{ cat >held; release-switch -n --root $ROOT --to v3 --lock-wait 30s >/dev/null; cat held; } |"
        }
        _ => "",
    };
    let script = functions(row, "")
        + &format!(
            "release-mk --root $ROOT --from new --name new | release-switch | restart | {} {meanwhile} \
             release-switch --undo | back",
            row.behind
        );
    // Without it a killed stage is not taken back; with it nobody else could switch meanwhile.
    let script = if before == Before::Meanwhile { script } else { locked(&script) };
    let running = shop.pipe(script).start();
    if let Some(signal) = row.then {
        running.reaches(shop.path().join("there"));
        running.signal_acting("svc-restart", signal);
        shop.write("go", "");
    }
    running.wait()
}

fn goes_back(before: Before, row: &Row) {
    let shop = shop(before, row.mode);
    let (so_far, pids) = (so_far(&shop), [1, 2, 3].map(|i| shop.services().pid(i)));
    let run = deploy(&shop, before, row);
    let what = format!("{}, {before:?}\n{run}", row.name);
    let code = if before == Before::Meanwhile && row.code == "stage.died" { "input.empty" } else { row.code };
    assert!(run.status == row.status, "{} should end with {}: {what}", row.name, row.status);
    let record = run.record();
    assert_eq!(record.code(), code, "{what}");
    assert_eq!(record["error"]["blame"] == "release", row.bad, "{what}");
    let expected = row.asked[before as usize];
    // What a killed run had begun may still be at it.
    until(&format!("all has ended: {what}"), || {
        asked(&shop, &so_far).iter().map(String::len).sum::<usize>() >= expected.concat().len()
    });
    assert_eq!(asked(&shop, &so_far), expected, "{what}");
    let (link, versions) = match before {
        Before::Usual => ("v1", ["v1", "v1", "v1"]),
        Before::Stopped => ("v1", ["v1", "", "v1"]),
        Before::First => ("new", ["", "", ""]),
        // Only what is down is started, from where the link leads now.
        Before::Meanwhile => {
            let version = |asked: &str| match asked {
                "" => "v1",
                "rs" => "v3",
                _ => "new",
            };
            ("v3", expected.map(version))
        }
    };
    assert_eq!(shop.current().as_deref(), Some(link), "{what}");
    until(&format!("the instances are as they should be: {what}"), || {
        [1, 2, 3].map(|i| shop.services().version(i).unwrap_or_default()) == versions
    });
    for at in (0..3).filter(|at| expected[*at].is_empty()) {
        assert_eq!(shop.services().pid(at as u32 + 1), pids[at], "instance {} was touched: {what}", at + 1);
    }
    assert_eq!(shop.is_bad("new"), row.bad && before != Before::Meanwhile, "{what}");
}

fn all_go_back(before: Before) {
    for row in TABLE {
        goes_back(before, row);
    }
}

#[test]
fn to_three_that_ran() {
    all_go_back(Before::Usual);
}

#[test]
fn to_one_that_was_stopped() {
    all_go_back(Before::Stopped);
}

#[test]
fn to_nothing_where_it_is_the_first_deploy() {
    all_go_back(Before::First);
}

#[test]
fn nowhere_where_another_pipe_has_switched_since() {
    all_go_back(Before::Meanwhile);
}
