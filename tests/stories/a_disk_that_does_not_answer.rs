//! Reads and waits that fail, as on a disk that is dying: what cannot be told counts neither as absent nor as undone.

use stories::faults::can_inject;
use stories::{Record, Run, Shop, skip};

/// Three good releases, a fourth that is live and failed, its record in `failed`, and a copy of the root.
fn shop() -> Shop {
    let shop = Shop::in_memory();
    for version in ["v1", "v2", "v3"] {
        shop.deploy_well(version);
    }
    shop.source("v4");
    let deploy = "release-mk --root $ROOT --from v4 | release-switch | svc-health tcp://127.0.0.1:1 >failed";
    shop.pipe(deploy).run().exits(3);
    shop.pipe("cp -a root template").run().exits(0);
    shop
}

/// A command with its question what stdin is answered by an error; the root is as it was before.
fn deaf(shop: &Shop, command: &str) -> Run {
    let calls = "fstat,newfstatat,statx";
    shop.pipe(format!("strace -qq -o calls -e trace={calls} {command} <failed")).run();
    let trace = std::fs::read_to_string(shop.path().join("calls")).expect("read the trace");
    let lines: Vec<_> = trace.lines().collect();
    let at = lines.iter().position(|line| line.contains("(0, "));
    let at = at.unwrap_or_else(|| panic!("{command} never asks what stdin is\n{trace}"));
    let (name, _) = lines[at].split_once('(').expect("a call");
    let nth = lines[..=at].iter().filter(|line| line.starts_with(&format!("{name}("))).count();
    shop.pipe("rm -rf root && cp -a template root").run().exits(0);
    let before = shop.listing();
    let inject = format!("-e trace={name} -e inject={name}:error=EIO:when={nth}");
    let run = shop.pipe(format!("exec strace -qq -o calls {inject} {command} <failed")).run();
    before.assert_unchanged(&shop.listing(), &format!("by {command}\n{run}"));
    run
}

#[test]
fn where_stdin_cannot_be_asked_no_tool_acts_as_if_there_were_no_record() {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    let shop = shop();
    for command in [
        "release-switch --undo",
        "release-switch --root $ROOT",
        "release-gc --root $ROOT --keep 1 --keep-failed 0 --keep-unused 0s",
        "svc-restart --root $ROOT --via exec --command restart='touch acted' --command start='touch acted' shop@1",
    ] {
        let run = deaf(&shop, command);
        run.exits(1).fails_with("input.unread");
        assert!(!shop.path().join("acted").exists(), "{run}");
    }
}

#[test]
fn a_link_that_does_not_read_is_not_taken_for_removed() {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    let shop = shop();
    for command in [
        "release-gc --root $ROOT -n --keep 1 --keep-failed 0 --keep-unused 0s",
        "release-switch --root $ROOT -n --rollback",
        "release-pin --root $ROOT -n $(ls root/releases | head -n 1) --for 1h --reason audit",
    ] {
        let before = shop.listing();
        let unread = "strace -f -qq -o calls -e trace=readlinkat -e inject=readlinkat:error=EIO";
        let run = shop.pipe(format!("exec {unread} {command}")).run();
        assert!(run.status != 0, "{run}");
        before.assert_unchanged(&shop.listing(), &format!("by {command}\n{run}"));
    }
}

#[test]
fn an_undo_that_the_disk_did_not_confirm_says_that_the_link_is_back() {
    if !can_inject() {
        skip!("strace cannot inject faults here");
    }
    let shop = shop();
    let old = shop.releases()[2].clone();
    let unconfirmed = "strace -f -qq -o calls -e trace=fsync -e inject=fsync:error=EIO";
    let run = shop.pipe(format!("exec {unconfirmed} release-switch --undo <failed")).run();
    let record: Record = run.exits(5).fails_with("switch.durability").record();
    assert_eq!(shop.current(), Some(old.clone()), "{run}");
    let stages = record["stages"].as_array().expect("stages");
    let undo = stages.last().expect("a stage");
    assert_eq!((&undo["changed"], &undo["links"][0]["outcome"]), (&true.into(), &"restored".into()), "{run}");
    assert_eq!(undo["to"], *old, "{run}");
}
