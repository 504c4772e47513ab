use record::sections::LsHostOutcome::{
    Deployed, Failed, Held, InDoubt, NotReached, TakenBack, Unchanged, Unreachable, WouldChange,
};
use serde_json::{Value, json};

use super::*;

/// A stage of release-switch.
fn switch(from: &str, to: &str) -> Value {
    json!({"tool": "release-switch", "version": "0.1.0", "ok": true, "changed": from != to, "elapsed_ms": 10,
        "started_at": "2026-11-21T07:10:00Z", "link": "/srv/shop/current", "from": from, "to": to})
}

/// A stage of svc-restart in which two instances were restarted.
fn restart() -> Value {
    json!({"tool": "svc-restart", "version": "0.1.0", "ok": true, "changed": true, "elapsed_ms": 400,
        "started_at": "2026-11-21T07:10:01Z", "via": "systemd", "counts": {"done": 2, "failed": 0, "untouched": 0}})
}

fn with(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// A record of `host` with these stages and members.
fn record(host: &str, stages: &[Value], more: &Value) -> Record {
    let changed = stages.iter().any(|stage| stage["changed"] == true);
    let record = json!({"schema": "cutover.record/1", "ok": more.get("error").is_none(), "changed": changed, "pipe": "p",
        "host": host, "root": "/srv/shop", "release": {"id": "v2"}, "stages": stages});
    record::parse(format!("{}\n", with(record, more)).as_bytes()).unwrap()
}

fn error(code: &str, exit: u8) -> Value {
    json!({"error": {"tool": "svc-restart", "code": code, "message": "the gate says no", "exit": exit, "retryable": false}})
}

#[test]
fn every_end_of_a_pipe_has_its_outcome() {
    let deployed = || record("a", &[switch("v1", "v2"), restart()], &json!({}));
    let back = || record("a", &[switch("v2", "v1"), restart()], &json!({}));
    let undone = with(switch("v2", "v1"), &json!({"undo": true}));
    let marks = with(switch("v2", "v1"), &json!({"marked_bad": "v2"}));
    let cases = [
        (Deployed, vec![deployed()]),
        (TakenBack, vec![deployed(), back()]),
        (TakenBack, vec![record("a", &[marks], &json!({}))]),
        (TakenBack, vec![record("a", &[switch("v1", "v2"), undone.clone()], &error("restart.gate", 3))]),
        (Failed, vec![record("a", &[], &error("mk.source", 1))]),
        (InDoubt, vec![record("a", &[switch("v1", "v2"), undone], &error("restart.gate", 5))]),
        (InDoubt, vec![deployed(), record("a", &[], &error("switch.sync", 4))]),
        (Unreachable, vec![record("a", &[], &error("fleet.unreachable", 1))]),
        (NotReached, vec![record("a", &[], &error("fleet.not_reached", 1))]),
        (WouldChange, vec![record("a", &[switch("v1", "v2")], &json!({"dry_run": true}))]),
        (Unchanged, vec![record("a", &[switch("v2", "v2")], &json!({"dry_run": true}))]),
        (Unchanged, vec![record("a", &[switch("v2", "v2")], &json!({}))]),
        (Held, vec![record("a", &[switch("v1", "v2")], &json!({"held": true}))]),
    ];
    for (number, (wanted, records)) in cases.iter().enumerate() {
        assert_eq!(fold(records)[0].outcome, *wanted, "case {number}");
    }
}

#[test]
fn the_records_of_a_host_are_one_entry_and_hosts_keep_their_order() {
    let records = [
        record("vm", &[switch("v1", "v2"), restart()], &json!({"known_as": "web2"})),
        record("vm", &[switch("v1", "v2"), restart()], &json!({"known_as": "web1"})),
        record("vm", &[switch("v2", "v1"), restart()], &json!({"known_as": "web2", "pipe": "q"})),
        record("db", &[], &error("fleet.not_reached", 1)),
    ];
    let hosts = fold(&records);
    let names: Vec<&str> = hosts.iter().map(|host| host.host.as_str()).collect();
    assert_eq!(names, ["web2", "web1", "db"]);
    let web2 = &hosts[0];
    assert_eq!(
        (web2.from.as_deref(), web2.release.as_deref(), web2.now.as_deref()),
        (Some("v1"), Some("v2"), Some("v1"))
    );
    assert_eq!((web2.instances, web2.elapsed_ms), (4, 820));
    assert_eq!(web2.pipes, ["p", "q"]);
    assert_eq!(hosts[2].reason.as_deref(), Some("the gate says no"));
}

#[test]
fn a_line_that_is_no_record_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report");
    let good = serde_json::to_string(&record("a", &[switch("v1", "v2")], &json!({}))).unwrap();
    for bad in ["", "{}\n", "not json\n", "\u{feff}{}\n", &good] {
        // The last one is a record that was cut off before its line feed.
        #[expect(clippy::disallowed_methods, reason = "a test writes what it reads")]
        std::fs::write(&file, format!("{good}\n{bad}")).unwrap();
        let read = read(&file);
        if bad.is_empty() {
            assert_eq!(read.unwrap().len(), 1);
        } else {
            assert!(format!("{:#}", read.unwrap_err()).contains("line 2 of "), "{bad}");
        }
    }
}
