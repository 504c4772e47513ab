//! Records nobody should believe: each tool that reads one refuses it with the documented status and changes nothing.

use serde_json::{Value, json};
use stories::Shop;

const READERS: [&str; 6] = [
    "release-switch --root $ROOT",
    "release-switch --root $ROOT --undo",
    "release-gc --root $ROOT --keep 1",
    "svc-restart --via exec --command restart='touch acted' --command start='touch acted' shop@1",
    "svc-restart --undo --via exec --command restart='touch acted' --command start='touch acted' shop@1",
    "svc-health tcp://127.0.0.1:1",
];

/// A shop with three releases, and the record that made the last one.
fn shop() -> (Shop, Value) {
    let shop = Shop::new();
    shop.deploy_well("v1");
    shop.deploy_well("v2");
    shop.source("v3");
    let record = shop.pipe("release-mk --root $ROOT --from v3").run().exits(0).record().json().clone();
    (shop, record)
}

/// Feeds the bytes to a reader; they must be refused with this status, with a failed record and without any effect.
fn refused(shop: &Shop, reader: &str, what: &str, bytes: Vec<u8>, status: i32) {
    let before = shop.listing();
    let run = shop.pipe(reader).stdin(bytes).run();
    assert!(run.status == status, "{what} into {reader}: the status should be {status}\n{run}");
    assert_eq!(run.record()["ok"], false, "{what}\n{run}");
    assert!(!run.stderr.trim().is_empty(), "{what}: nobody says why\n{run}");
    assert!(!run.stderr.contains('\x1b'), "{what}: control characters reach the terminal\n{run}");
    before.assert_unchanged(&shop.listing(), &format!("by {what} into {reader}"));
    assert!(!shop.path().join("acted").exists(), "{what} into {reader} acted\n{run}");
}

fn line(record: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(record).expect("a record");
    bytes.push(b'\n');
    bytes
}

#[test]
fn what_is_no_record_is_refused_with_65() {
    let (shop, record) = shop();
    let good = String::from_utf8(line(&record)).expect("UTF-8");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("a truncated record", good.as_bytes()[..good.len() / 2].to_vec()),
        ("a record without its line feed", good.trim_end().as_bytes().to_vec()),
        ("two records", good.repeat(2).into_bytes()),
        ("trailing bytes", format!("{good} ").into_bytes()),
        ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (
            "bad UTF-8",
            good.replacen("cutover", "cut\u{fffd}over", 1).into_bytes().into_iter().filter(|b| *b != 0xbf).collect(),
        ),
        ("duplicate keys", good.replacen("{", "{\"ok\":true,", 1).into_bytes()),
        ("nesting 200 deep", good.replacen("{", &format!("{{\"x\":{deep},"), 1).into_bytes()),
        ("more than 1 MiB", good.replacen("{", &format!("{{\"x\":\"{}\",", "y".repeat(1 << 20)), 1).into_bytes()),
        ("an array", b"[]\n".to_vec()),
        ("null", b"null\n".to_vec()),
        ("a number", b"1\n".to_vec()),
        ("an empty object", b"{}\n".to_vec()),
        ("a line feed", b"\n".to_vec()),
        ("a NUL byte", b"\0\n".to_vec()),
        ("words", b"deployed\n".to_vec()),
        ("an escape sequence", b"\x1b[31m{}\n".to_vec()),
    ];
    for (what, bytes) in table {
        for reader in READERS {
            refused(&shop, reader, what, bytes.clone(), 65);
        }
    }
}

#[test]
fn an_empty_stdin_is_refused_with_66() {
    let (shop, _) = shop();
    for reader in READERS {
        refused(&shop, reader, "nothing", Vec::new(), 66);
    }
}

/// Changes one member of a record, by its JSON pointer.
fn with(record: &Value, pointer: &str, value: Value) -> Vec<u8> {
    let mut record = record.clone();
    let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
    record.pointer_mut(parent).expect("a member").as_object_mut().expect("an object").insert(member.to_owned(), value);
    line(&record)
}

#[test]
fn a_record_that_lies_is_refused_with_65() {
    let (shop, record) = shop();
    let elsewhere = shop.path().join("canary").display().to_string();
    let table = [
        ("an unknown major", "/schema", json!("cutover.record/2")),
        ("another schema", "/schema", json!("somebody.else/1")),
        ("an id that is a number", "/release/id", json!(7)),
        ("an id that is null", "/release/id", Value::Null),
        ("an id that is an array", "/release/id", json!(["v1"])),
        ("an empty id", "/release/id", json!("")),
        ("the id .", "/release/id", json!(".")),
        ("the id ..", "/release/id", json!("..")),
        ("an id that climbs", "/release/id", json!("../canary")),
        ("an absolute id", "/release/id", json!("/etc")),
        ("an id with a slash", "/release/id", json!("a/b")),
        ("an id like an option", "/release/id", json!("-rf")),
        ("an id with a NUL", "/release/id", json!("a\0b")),
        ("an id with a line feed", "/release/id", json!("a\nb")),
        ("an id with an escape", "/release/id", json!("a\u{1b}[2Jb")),
        ("an id of 129 bytes", "/release/id", json!("x".repeat(129))),
        ("an id that turns the text around", "/release/id", json!("a\u{202e}b")),
        ("a size beyond 2^53", "/release/bytes", json!(9_007_199_254_740_993_u64)),
        ("a negative size", "/release/bytes", json!(-1)),
        ("another host", "/host", json!("somewhere-else")),
        ("stages that are no list", "/stages", json!({})),
        ("ok that is a word", "/ok", json!("true")),
    ];
    for (what, pointer, value) in table {
        for reader in READERS {
            refused(&shop, reader, what, with(&record, pointer, value.clone()), 65);
        }
    }
    let of_the_root = [
        ("a path outside the root", "/release/path", json!(elsewhere)),
        ("another root", "/root", json!(elsewhere)),
        ("a digest that is not the disk's", "/release/digest", json!(format!("sha256:{}", "0".repeat(64)))),
        ("another sequence number", "/release/seq", json!(999)),
    ];
    for (what, pointer, value) in of_the_root {
        for reader in READERS.iter().filter(|reader| !reader.contains("--undo")) {
            refused(&shop, reader, what, with(&record, pointer, value.clone()), 65);
        }
    }
    let mut nowhere = record.clone();
    nowhere["release"] = json!({"id": "nope"});
    for reader in READERS.iter().filter(|reader| !reader.contains("--undo") && !reader.starts_with("release-switch")) {
        refused(&shop, reader, "a release that is not there", line(&nowhere), 65);
    }
}

#[test]
fn an_undo_acts_on_no_record_of_another_release() {
    let (shop, record) = shop();
    let acting = "svc-restart --via exec --command restart='touch acted-before' --gate 'exit 3' shop@1";
    let failed = shop.pipe(acting).stdin(line(&record)).run().exits(3).record().json().clone();
    for (what, pointer, value) in [
        ("another digest", "/release/digest", json!(format!("sha256:{}", "0".repeat(64)))),
        ("another number", "/release/seq", json!(7)),
    ] {
        refused(&shop, READERS[4], what, with(&failed, pointer, value), 5);
    }
    shop.pipe(READERS[4]).stdin(line(&failed)).run().exits(3);
    assert!(shop.path().join("acted").exists(), "the record as it was is taken back");
}

#[test]
fn a_failed_record_passes_through_with_its_own_status() {
    let (shop, record) = shop();
    let error = json!({"tool": "release-mk", "code": "mk.failed", "message": "no", "exit": 42, "retryable": false});
    let mut failed = record.clone();
    failed["ok"] = json!(false);
    failed["error"] = error;
    for reader in READERS {
        let before = shop.listing();
        let run = shop.pipe(reader).stdin(line(&failed)).run();
        assert_eq!(run.exits(42).record()["error"]["code"], "mk.failed", "{run}");
        before.assert_unchanged(&shop.listing(), reader);
        assert!(!shop.path().join("acted").exists(), "{run}");
    }
}

#[test]
fn members_that_a_tool_does_not_know_pass_through_unchanged() {
    let (shop, record) = shop();
    let unknown = json!({"deep": [1, 2.50, "\u{e9}", null, {"a": 12345678901234567890_u64}], "empty": {}});
    let mut bytes = with(&record, "/future", unknown.clone());
    let text = String::from_utf8(bytes).expect("UTF-8");
    bytes = text.replacen("\"stages\":[{", "\"stages\":[{\"later\":{\"n\":1e400},", 1).into_bytes();
    let script = "release-switch --root $ROOT | release-switch --undo | release-gc --keep 5";
    let run = shop.pipe(script).stdin(bytes).run();
    let printed = run.exits(0).record();
    assert_eq!(printed["future"], unknown, "{run}");
    assert!(run.stdout.contains("\"later\":{\"n\":1e400}") || run.stdout.contains("1e+400"), "{run}");
}

#[test]
fn without_a_record_on_a_terminal_a_tool_explains_itself_in_two_lines() {
    let (shop, _) = shop();
    for tool in ["release-switch", "release-gc"] {
        let run = shop.pipe(format!("script -qec '{tool}' /dev/null </dev/null")).run();
        assert_ne!(run.status, 0, "{run}");
        let said: Vec<_> = run.stdout.lines().collect();
        assert!((1..=3).contains(&said.len()), "{run}");
    }
}
