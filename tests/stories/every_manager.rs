//! Three instances under each manager there is: in order behind a gate, taken back when the second one is broken, started
//! when stopped, unknown, and stopping for ever.

use nix::sys::signal::Signal;
use stories::real::managed::{Managed, Seen};
use stories::real::managers;
use stories::running::until;
use stories::{Run, Shop, skip};

/// The instances that an entry's outcome names, in the order in which they were taken.
fn outcomes(run: &Run) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let record = run.record();
    let instances = record.stage("svc-restart")["instances"].as_array().cloned().unwrap_or_default();
    instances.iter().map(|entry| (text(&entry["name"]), text(&entry["outcome"]))).collect()
}

fn all(managed: &Managed, outcomes: [&str; 3]) -> Vec<(String, String)> {
    managed.names().iter().cloned().zip(outcomes.map(str::to_owned)).collect()
}

fn are_in_order(seen: &[Seen; 3]) -> bool {
    seen.is_sorted_by_key(|seen| seen.started)
}

/// All of it, one after the other under one manager.
fn the_whole_story(managed: &Managed) {
    what_is_stopped_is_started(managed);
    all_are_restarted_in_order(managed);
    the_second_one_is_broken(managed, "500");
    the_second_one_is_broken(managed, "exit");
    one_was_stopped_before(managed);
}

fn what_is_stopped_is_started(managed: &Managed) {
    managed.source("v1");
    let run = managed.deploy("v1").run();
    run.exits(0);
    assert_eq!(outcomes(&run), all(managed, ["started"; 3]), "{run}");
    assert_eq!(managed.versions(), ["v1"; 3], "{run}");
}

fn all_are_restarted_in_order(managed: &Managed) {
    let before = managed.look();
    managed.source("v2");
    let run = managed.deploy("v2").run();
    run.exits(0);
    assert_eq!(outcomes(&run), all(managed, ["restarted"; 3]), "{run}");
    let after = managed.look();
    let stage = run.record().stage("svc-restart").clone();
    assert_eq!(stage["gates"].as_array().map(Vec::len), Some(3), "each behind its gate\n{run}");
    for at in 0..3 {
        assert_eq!(after[at].version, "v2", "{run}");
        assert_ne!((after[at].pid, after[at].started), (before[at].pid, before[at].started), "{run}");
        assert_eq!(stage["instances"][at]["pid_before"], before[at].pid, "{run}");
        assert_eq!(stage["instances"][at]["pid_after"], after[at].pid, "{run}");
    }
    assert!(are_in_order(&after), "{after:?}\n{run}");
}

/// The third is not touched, and the undo brings the first two back.
fn the_second_one_is_broken(managed: &Managed, mode: &str) {
    let (before, live) = (managed.look(), managed.shop().current());
    let name = format!("broken-{mode}");
    managed.source_with(&name, 2, mode);
    let run = managed.deploy(&name).run();
    let record = run.exits(3).record();
    assert_eq!(outcomes(&run), all(managed, ["restarted", "failed", "untouched"]), "{mode}\n{run}");
    assert_eq!(record["error"]["blame"], "release", "{mode}\n{run}");
    assert!(managed.shop().is_bad(record.id()), "{mode}\n{run}");
    assert_eq!(managed.shop().current(), live, "{mode}\n{run}");
    let after = managed.look();
    assert_eq!(after[2], before[2], "the third was never touched, {mode}\n{run}");
    // A server that starts its own successors has never ended the old second one.
    assert_ne!(after[0].started, before[0].started, "{mode}\n{run}");
    for at in [0, 1] {
        assert_eq!(after[at].version, before[at].version, "{mode}\n{run}");
    }
}

fn one_was_stopped_before(managed: &Managed) {
    let second = &managed.names()[1];
    let run = managed.pipe(&format!("manage -n --action stop {second}")).run();
    assert_eq!(outcomes(&run.exits(0).clone()), [(second.clone(), "stopped".to_owned())], "{run}");
    assert_eq!(managed.look()[1].version, "", "{run}");
    let run = managed.pipe("restart -n").run();
    assert_eq!(outcomes(run.exits(0)), all(managed, ["restarted", "started", "restarted"]), "{run}");
    assert_eq!(managed.versions(), ["v2"; 3], "{run}");
}

/// Nobody is touched for a name that the manager does not know.
fn an_unknown_name_stops_everything(managed: &Managed, unknown: &str) {
    let before = managed.look();
    let run = managed.pipe(&format!("manage -n {} {unknown}", managed.names()[0])).run();
    let record = run.exits(1).record();
    assert_eq!(record.code(), "restart.unknown", "{run}");
    assert!(
        record["error"]["message"].as_str().is_some_and(|message| message.contains(&unknown.replace('@', " N="))),
        "{run}"
    );
    assert_eq!(record["changed"], false, "{run}");
    assert_eq!(managed.look(), before, "{run}");
}

/// A process that does not end when it is told to: said in time, blamed on nobody, and the next one stays as it is.
fn one_never_stops(managed: &Managed, timeout: &str) {
    let before = managed.look();
    managed.signal(2, Signal::SIGSTOP);
    let [_, second, third] = managed.names();
    let run = managed.pipe(&format!("manage -n {second} {third} --timeout {timeout}")).run();
    let record = run.exits(1).record();
    assert_eq!(record.code(), "restart.timeout", "{run}");
    assert_eq!(record["error"].get("blame"), None, "{run}");
    assert_eq!(outcomes(&run)[0], (second.clone(), "failed".to_owned()), "{run}");
    assert_eq!(outcomes(&run)[1], (third.clone(), "untouched".to_owned()), "{run}");
    // It would outlive the story.
    managed.signal(2, Signal::SIGKILL);
    let after = managed.look();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]), "{run}");
    // The manager needs a moment to see that it is gone.
    until("the second can be started again", || {
        managed.pipe(&format!("manage -n --action start {second}")).run().status == 0
    });
    until("the second serves", || managed.look()[1].version == "v2");
}

fn under(managed: Result<Managed, String>, story: impl FnOnce(&Managed)) {
    match managed {
        Ok(managed) => story(&managed),
        Err(why) => skip!("{why}"),
    }
}

#[test]
fn three_units_of_a_real_systemd() {
    under(managers::systemd(Shop::new()), |managed| {
        the_whole_story(managed);
        an_unknown_name_stops_everything(managed, "nosuch");
        one_never_stops(managed, "1s");
    });
}

#[test]
fn three_programs_of_a_real_supervisor() {
    under(managers::supervisor(Shop::new()), |managed| {
        the_whole_story(managed);
        let run = managed.pipe("manage -n shop --batch 2").run();
        assert_eq!(outcomes(run.exits(0)), all(managed, ["restarted"; 3]), "a group is all of its programs\n{run}");
        an_unknown_name_stops_everything(managed, "nosuch");
        one_never_stops(managed, "1s");
    });
}

#[test]
fn three_services_of_a_real_compose_project() {
    under(managers::compose(Shop::new()), |managed| {
        what_is_stopped_is_started(managed);
        all_are_restarted_in_order(managed);
        the_second_one_is_broken(managed, "500");
        an_unknown_name_stops_everything(managed, "nosuch");
        one_never_stops(managed, "6s");
    });
}

#[test]
fn three_jobs_of_upstart_as_it_was() {
    let managed = managers::upstart(Shop::new());
    the_whole_story(&managed);
    an_unknown_name_stops_everything(&managed, "nosuch@1");
    one_never_stops(&managed, "1s");
}

#[test]
fn three_instances_by_commands_of_their_own() {
    let managed = managers::exec(Shop::new());
    the_whole_story(&managed);
    one_never_stops(&managed, "1s");
}

/// A name nobody wrote a pid file for is one that is stopped; what cannot be started is refused before anything else,
/// and so are two names for one pid file.
#[test]
fn three_real_gunicorns_that_start_their_own_successors() {
    under(managers::gunicorn(Shop::new()), |managed| {
        what_is_stopped_is_started(managed);
        all_are_restarted_in_order(managed);
        the_second_one_is_broken(managed, "exit");
        one_was_stopped_before(managed);
        let before = managed.look();
        let options = managed.options().split(" --command").next().unwrap_or_default();
        for (unknown, why) in [
            ("shop@4", "shop@4 does not run, and a signal cannot start it".to_owned()),
            (
                "web@1",
                format!(
                    "shop@1 and web@1 have the same pid file {}/shop@1.pid",
                    managed.shop().services().dir().display()
                ),
            ),
        ] {
            let run = managed.pipe(&format!("svc-restart -n {options} {} {unknown}", managed.names()[0])).run();
            let record = run.exits(1).record();
            let message = record["error"]["message"].as_str().unwrap_or_default();
            assert!(message.starts_with(&why), "{run}");
            assert_eq!(managed.look(), before, "{run}");
        }
        one_never_stops(managed, "1s");
    });
}
