//! A guarded child ends with whoever runs it, also when that one is killed and can do nothing about it any more.
#![expect(clippy::disallowed_methods, reason = "the one that is killed must be another process")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use process::command::{Outcome, Spec};
use process::{Waited, Watched};

#[test]
#[ignore = "run by the tests that kill it"]
fn one_that_runs_a_guarded_child() {
    Spec::shell("the gate", std::env::var("SCRIPT").unwrap()).guarded().run(None).unwrap();
}

/// This very program with a guarded child that runs `script`.
fn one_that_runs(script: &str, directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["--ignored", "--exact", "one_that_runs_a_guarded_child"]).env("SCRIPT", script);
    command.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start ourselves")
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let soon = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < soon, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The processes that have this word in their command line.
fn living(word: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc")
        .expect("list /proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(word)
    })
    .collect()
}

#[test]
fn it_ends_with_all_it_started_even_if_it_is_deaf() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; sleep 300 & echo $! >>pids; echo $$ >>pids; mv pids noted; while :; do sleep 0.1; done";
    let mut runner = one_that_runs(script, directory.path());
    until("the child runs", || directory.path().join("noted").exists());
    runner.kill().unwrap();
    runner.wait().unwrap();
    let noted = fs::read_to_string(directory.path().join("noted")).unwrap();
    for pid in noted.lines() {
        if let Some(left) = Watched::of(pid.parse().unwrap()).unwrap() {
            let soon = Instant::now() + Duration::from_secs(60);
            assert_eq!(left.wait_end(soon, None).unwrap(), Waited::Ended, "process {pid} was left behind");
        }
    }
}

#[test]
fn no_instant_of_a_kill_leaves_it_behind() {
    let directory = tempfile::tempdir().unwrap();
    // A word of its own, to be found by.
    let word = format!("left-behind-{}", std::process::id());
    for after in (0..30).chain((30..90).step_by(10)) {
        let mut runner = one_that_runs(&format!(": {word}; sleep 301; :"), directory.path());
        std::thread::sleep(Duration::from_millis(after));
        runner.kill().unwrap();
        runner.wait().unwrap();
    }
    until("none of them is left", || living(&word).is_empty());
}

#[test]
fn what_it_prints_and_how_it_ends_are_those_of_the_command() {
    let guarded = |script: &str| Spec::shell("the gate", script).captured(1000).guarded().run(None).unwrap();
    let ended = guarded("readlink /proc/self/fd/0; echo no >&2; exit 3");
    assert_eq!(ended.outcome, Outcome::Exited(3));
    assert_eq!((ended.stdout, ended.stderr), (b"/dev/null\n".to_vec(), b"no\n".to_vec()));
    assert_eq!(guarded("kill -9 $$").outcome, Outcome::Signalled(9));
    let missing = Spec::program("the prober", ["no-such-program-at-all"]).guarded().run(None).unwrap();
    assert_eq!(missing.outcome, Outcome::NotFound);
    let words = Spec::program("the prober", ["printf", "%s|", "a b", "$x"]).guarded().captured(100);
    assert_eq!(words.run(None).unwrap().stdout, b"a b|$x|");
}

#[test]
fn what_has_ended_by_itself_is_not_ended_again() {
    // A group whose number is free again may be anybody's; here what was left behind on purpose shows it.
    let directory = tempfile::tempdir().unwrap();
    let script = "sleep 302 & echo $! >pid; mv pid left";
    let mut runner = one_that_runs(script, directory.path());
    runner.wait().unwrap();
    let pid = fs::read_to_string(directory.path().join("left")).unwrap().trim().parse().unwrap();
    let left = Watched::of(pid).unwrap().expect("it lives on after a normal end");
    let moment = Instant::now() + Duration::from_millis(300);
    assert_eq!(left.wait_end(moment, None).unwrap(), Waited::TimedOut);
    left.signal(rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_shells_command_begins_on_a_line_of_its_own() {
    let ended = Spec::shell("the gate", "# a comment\necho \"$0 $# <$(readlink /proc/self/fd/0)>\"").captured(1000);
    assert_eq!(ended.guarded().run(None).unwrap().stdout, b"/bin/sh 0 </dev/null>\n");
}
