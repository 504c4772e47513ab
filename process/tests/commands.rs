//! Children end when they must, with all they started, and at once.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use process::command::{Outcome, Spec};
use process::{Waited, Watched};

fn sh(script: &str) -> Spec {
    Spec::shell("the command", script)
}

#[test]
fn output_is_captured_up_to_its_cap_and_kept_apart() {
    let ended = sh("echo out; echo err >&2; exit 3").captured(100).run(None).unwrap();
    assert_eq!(ended.outcome, Outcome::Exited(3));
    assert_eq!((ended.stdout.as_slice(), ended.stderr.as_slice()), (b"out\n".as_slice(), b"err\n".as_slice()));
    assert!(!ended.truncated);

    let ended = sh("head -c 1000000 /dev/zero").captured(10).run(None).unwrap();
    assert_eq!((ended.outcome, ended.stdout.len(), ended.truncated), (Outcome::Exited(0), 10, true));
}

#[test]
fn the_hook_sees_both_streams_in_order() {
    let mut seen = Vec::new();
    let ended =
        sh("echo a; echo b >&2; echo c").run_watching(None, &mut |piece| seen.extend_from_slice(piece)).unwrap();
    assert!(ended.outcome.is_success());
    assert_eq!(seen, b"a\nb\nc\n");
}

#[test]
fn a_child_has_no_stdin_and_a_group_of_its_own() {
    let ended = sh("readlink /proc/self/fd/0; ps -o pgid= -p $$; echo $$").captured(1000).run(None).unwrap();
    let text = String::from_utf8(ended.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "/dev/null");
    assert_eq!(lines[1], lines[2], "the child leads its group");
}

#[test]
fn a_service_left_behind_does_not_hold_us_by_its_output() {
    let started = Instant::now();
    let ended = sh("sleep 30 & echo $!").captured(100).run(None).unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    let pid: u32 = String::from_utf8(ended.stdout).unwrap().trim().parse().unwrap();
    let service = Watched::of(pid).unwrap().expect("what the command left behind lives on");
    service.signal(rustix::process::Signal::KILL).unwrap();
    assert_eq!(service.wait_end(Instant::now() + Duration::from_secs(10), None).unwrap(), Waited::Ended);
    assert!(service.has_ended().unwrap(), "although nobody may have collected it yet");
}

#[test]
fn at_its_deadline_a_command_ends_with_all_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let script = "sleep 100 & echo $! > pids; (trap '' TERM; sleep 100 & echo $! >> pids; wait; wait) & sleep 100";
    let limit = Duration::from_millis(300);
    let spec = sh(script).directory(directory.path()).time_limit(limit).grace(Duration::from_millis(200));
    let started = Instant::now();
    assert_eq!(spec.run(None).unwrap().outcome, Outcome::TimedOut(limit));
    assert!(started.elapsed() < Duration::from_secs(10));
    let pids = fs::read_to_string(directory.path().join("pids")).unwrap();
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        if let Some(left) = Watched::of(pid.parse().unwrap()).unwrap() {
            let soon = Instant::now() + Duration::from_secs(2);
            assert_eq!(left.wait_end(soon, None).unwrap(), Waited::Ended, "process {pid} was left behind");
        }
    }
}

#[test]
fn a_deaf_command_is_killed_after_the_grace() {
    let spec = sh("trap '' TERM; while :; do sleep 0.05; done");
    let spec = spec.time_limit(Duration::from_millis(100)).grace(Duration::from_millis(100));
    let ended = spec.run(None).unwrap();
    assert!(matches!(ended.outcome, Outcome::TimedOut(_)) && ended.elapsed < Duration::from_secs(5), "{ended:?}");
}

#[test]
fn an_interrupt_ends_it_at_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let interrupter = std::thread::spawn(move || {
        writer.write_all(b"!").unwrap();
        writer
    });
    let ended = sh("sleep 100").run(Some(reader.as_fd())).unwrap();
    assert_eq!(ended.outcome, Outcome::Interrupted);
    assert!(ended.elapsed < Duration::from_secs(5));
    drop(interrupter.join().unwrap());
}

#[test]
fn a_missing_program_is_no_exit_status_and_its_arguments_are_told_to_nobody() {
    let run = |argv: &[&str]| Spec::program("deploy hook", argv).run(None).unwrap().outcome;
    assert_eq!(run(&["no-such-program-at-all", "s3cret"]), Outcome::NotFound);
    assert_eq!(run(&["/etc/passwd"]), Outcome::NotExecutable);
    let error = Spec::program("deploy hook", ["true", "s3cret"]).directory("/no/such").run(None).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("deploy hook") && !text.contains("s3cret"), "{text}");
}

#[test]
fn the_environment_is_ours_but_for_what_was_said() {
    let spec = sh("echo \"$ADDED-${PATH:+set}-${CARGO_MANIFEST_DIR:-gone}\"");
    let ended = spec.env("ADDED", "x y").env_remove("CARGO_MANIFEST_DIR").captured(100).run(None).unwrap();
    assert_eq!(ended.stdout, b"x y-set-gone\n");
}

#[test]
fn what_it_leaves_in_its_group_is_ended_where_nothing_is_to_be_left() {
    for (left, killed) in [("sleep 303", "15"), ("sh -c 'trap \"\" TERM; sleep 303 & wait; wait'", "9")] {
        let spec = sh(&format!("{left} >/dev/null 2>&1 & echo $!")).captured(100).grace(Duration::from_millis(300));
        let ended = spec.leaving_nothing().run(None).unwrap();
        assert!(ended.rest_ended && ended.outcome.is_success(), "{left}: {ended:?}");
        let pid = String::from_utf8(ended.stdout).unwrap().trim().parse().unwrap();
        assert!(process::Watched::of(pid).unwrap().is_none(), "{left} lives on after signal {killed}");
    }
    let nothing = sh("sleep 0 & wait; exit 3").leaving_nothing().run(None).unwrap();
    assert_eq!((nothing.outcome, nothing.rest_ended), (Outcome::Exited(3), false));
}

#[test]
fn services_are_started_without_the_deploy_lock_and_others_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let script = "exec 9>\"$2\"; CUTOVER_DEPLOY_FD=9 exec \"$1\" --ignored --exact inside_a_deploy --nocapture";
    let own = std::env::current_exe().unwrap();
    let words = ["/bin/sh".as_ref(), "-c".as_ref(), script.as_ref(), "sh".as_ref(), own.as_os_str()];
    let lock = directory.path().join("lock");
    let ended =
        Spec::program("itself", words.into_iter().chain([lock.as_os_str()])).captured(10_000).run(None).unwrap();
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.outcome.is_success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by services_are_started_without_the_deploy_lock_and_others_with_it"]
fn inside_a_deploy() {
    let script = "if [ -e /proc/self/fd/9 ]; then echo open; else echo closed; fi; echo \"${CUTOVER_DEPLOY_FD-gone}\"";
    let kept = sh(script).captured(100).run(None).unwrap();
    assert_eq!(kept.stdout, b"open\n9\n");
    let closed = sh(script).without_deploy_fd().captured(100).run(None).unwrap();
    assert_eq!(closed.stdout, b"closed\ngone\n");
    let missing = Spec::program("hook", ["no-such-program-at-all"]).without_deploy_fd().run(None).unwrap();
    assert_eq!(missing.outcome, Outcome::NotFound);
    let words =
        Spec::program("hook", ["printf", "%s|", "a b", "$x"]).without_deploy_fd().captured(100).run(None).unwrap();
    assert_eq!(words.stdout, b"a b|$x|");
}
