//! The tool as a stage: what comes in goes on, nothing is left running, and a signal ends it truthfully.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{OK, Ran, Service, command};

/// A record of this host, with `from` replaced by `to`.
fn record(from: &str, to: &str) -> String {
    let host = record::host::host_name();
    let text = r#"{"schema":"cutover.record/1","ok":true,"changed":true,"dry_run":false,"pipe":"p1","#;
    format!(r#"{text}"host":"{host}","later":{{"a":1}},"stages":[]}}"#).replacen(from, to, 1)
}

fn piped(record: &str, words: &[&str]) -> Ran {
    let mut child = command(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{record}\n").as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn a_record_goes_on_with_a_stage_more() {
    let service = Service::saying(OK);
    let ran = piped(&record("", ""), &[&service.url("/")]);
    let record = ran.record();
    assert_eq!((ran.status, record.pipe.as_str(), record.changed, record.stages.len()), (0, "p1", true, 1), "{ran:?}");
    assert!(!record.stages[0].changed && record.rest.contains_key("later"), "{ran:?}");
}

#[test]
fn a_failed_record_goes_on_and_nobody_is_asked() {
    let service = Service::saying(OK);
    let error = r#""ok":false,"error":{"tool":"t","code":"t.x","message":"m","exit":75,"retryable":false}"#;
    let ran = piped(&record("\"ok\":true", error), &[&service.url("/")]);
    assert_eq!((ran.status, ran.record().stages.len(), service.asked()), (75, 0, 0), "{ran:?}");
}

#[test]
fn a_dry_run_lists_and_asks_nobody() {
    let service = Service::saying(OK);
    let ran = piped(&record("\"dry_run\":false", "\"dry_run\":true"), &[&service.url("/"), "exec:touch /x"]);
    let plan = ran.stage().plan;
    assert_eq!((ran.status, service.asked(), plan.len()), (0, 0, 2), "{ran:?}");
    assert_eq!((plan[1].action.as_str(), plan[1].target.as_str()), ("probe", "exec:touch"));
}

/// Starts a wait for a command that notes its own process number, and waits for that.
#[expect(clippy::zombie_processes, reason = "the caller waits")]
fn waiting(folder: &std::path::Path, stdout: Stdio) -> (Child, u32) {
    let noted = folder.join("pid");
    let check = format!("exec:echo $$ > {0}.new; mv {0}.new {0}; sleep 300", noted.display());
    let mut command = command(&["-n", &check, "--wait", "5m", "--timeout", "5m"]);
    let child = command.stdout(stdout).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(pid) = std::fs::read_to_string(&noted) {
            return (child, pid.trim().parse().unwrap());
        }
        assert!(Instant::now() < give_up, "the check never ran");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lives(pid: u32) -> bool {
    process::stat(pid).unwrap().is_some_and(|process| !process.has_ended())
}

#[test]
fn a_signal_ends_the_wait_and_the_check_with_it() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = tempfile::tempdir().unwrap();
        let (child, check) = waiting(folder.path(), Stdio::piped());
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.status, ran.code().as_str()), (status, "interrupted"), "{signal}: {ran:?}");
        assert!(ran.record().error.unwrap().blame.is_none());
        assert!(!lives(check), "{signal}: the check still runs");
    }
}

#[test]
fn a_later_stage_that_is_gone_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, check) = waiting(folder.path(), Stdio::piped());
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!lives(check), "the check still runs");
}

#[test]
fn a_gate_begins_a_record_of_its_own() {
    let service = Service::saying(OK);
    let gate = format!("'{}' {} --wait 5s", env!("CARGO_BIN_EXE_svc-health"), service.url("/"));
    let output = Command::new("sh").args(["-c", &gate]).stdin(Stdio::null()).output().unwrap();
    let ran = Ran::of(output);
    assert_eq!((ran.status, ran.record().stages.len()), (0, 1), "{ran:?}");
}

#[test]
fn what_is_not_a_target_prints_nothing_and_exits_2() {
    let mut child =
        command(&["ftp://x/"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    // Stdin was never closed: a wrong command line ends before it is read.
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(2), ""));
}

#[test]
fn placeholders_get_their_values_from_the_record() {
    let service = Service::new(|_, connection| {
        drop(connection.write_all(b"HTTP/1.1 200 OK\r\nX-Release: v2\r\n\r\nI am v2"));
    });
    let port = service.address.port();
    let slots =
        format!(r#"[{{"name":"blue","address":"127.0.0.1:1"}},{{"name":"green","address":"127.0.0.1:{port}"}}]"#);
    let route = format!(
        r#""stages":[{{"tool":"svc-route","version":"0.1.0","ok":true,"changed":false,"started_at":"2026-11-21T07:10:00Z","elapsed_ms":1,"via":"nginx","slots":{slots},"live":"blue","idle":"green"}}]"#
    );
    let with_route = record("\"stages\":[]", &format!(r#""release":{{"id":"v2"}},{route}"#));
    let words =
        ["http://127.0.0.1:{idle.port}/", "--expect-body", "I am {release}", "--expect-header", "x-release: {release}"];
    let ran = piped(&with_route, &words);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.target().target, format!("http://127.0.0.1:{port}/"));
    assert_eq!(piped(&with_route, &["tcp://{live.address}"]).status, 3);
    let without = piped(&record("", ""), &["http://127.0.0.1:{idle.port}/"]);
    assert!(without.status == 2 && without.stderr.contains("{idle.port} has no value"), "{without:?}");
}
