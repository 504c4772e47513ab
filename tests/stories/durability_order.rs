//! The order of system calls, as strace saw it: content, then rename, then parents, then the record.
//!
//! The rules are functions over a trace, and a test takes essential calls out of a real trace to see that the rules notice.

use std::path::{Path, PathBuf};

use stories::trace::{self, Call};
use stories::{Shop, skip};

/// Runs a script under strace and returns its calls; `None` where strace cannot run.
fn traced(shop: &Shop, script: &str) -> Option<Vec<Call>> {
    let file = shop.path().join("trace");
    let output = file.display().to_string();
    let words = ["strace", "-f", "-y", "-qq", "-s", "256", "-o", &output, "-e", "trace=%file,%desc,sync"];
    shop.pipe(script).under(words).run().exits(0);
    Some(trace::read(&file))
}

fn is_sync(call: &Call) -> bool {
    ["fsync", "fdatasync", "syncfs"].contains(&call.name.as_str())
}

fn is_sync_of(call: &Call, path: &Path) -> bool {
    is_sync(call) && call.arguments.contains(&format!("<{}>", path.display()))
}

fn is_rename(call: &Call) -> bool {
    call.name.starts_with("rename")
}

/// Whether a rename's new name is this: its directory's descriptor and name, or the whole path.
fn renames_to(call: &Call, path: &Path) -> bool {
    let (dir, name) =
        (path.parent().expect("a parent"), path.file_name().expect("a name").to_string_lossy().into_owned());
    let by_descriptor = format!("<{}>, \"{name}\"", dir.display());
    let last = call.arguments.rsplit_once(&by_descriptor);
    is_rename(call)
        && (last.is_some_and(|(before, _)| before.contains(", "))
            || call.arguments.ends_with(&format!("\"{}\"", path.display())))
}

fn position(calls: &[Call], what: &str, is_it: impl Fn(&Call) -> bool) -> Result<usize, String> {
    calls.iter().position(is_it).ok_or_else(|| format!("there is no {what}"))
}

fn last_position(calls: &[Call], is_it: impl Fn(&Call) -> bool) -> Option<usize> {
    calls.iter().rposition(is_it)
}

/// The position of the record: the last write to descriptor 1.
fn record(calls: &[Call]) -> Result<usize, String> {
    last_position(calls, |call| call.name == "write" && call.arguments.starts_with("1<"))
        .ok_or_else(|| "no record".into())
}

/// A release is published: its content is synced before its manifest, that before the rename, the parents before the record.
fn a_release_is_published_in_order(calls: &[Call], root: &Path, id: &str) -> Result<(), String> {
    let (state, releases) = (root.join(".cutover"), root.join("releases"));
    let published = position(calls, "rename of the release", |call| renames_to(call, &releases.join(id)))?;
    let staging = format!("{}/", state.join("staging").display());
    let written = last_position(&calls[..published], |call| {
        ["write", "pwrite64", "copy_file_range", "sendfile", "ftruncate"].contains(&call.name.as_str())
            && call.arguments.contains(&staging)
    });
    let content = last_position(&calls[..published], |call| {
        call.name == "syncfs" || (is_sync(call) && call.arguments.contains(&staging))
    })
    .ok_or("the content is not synced before the rename")?;
    if written.is_some_and(|written| written > content) {
        return Err("something is written to the tree after it was synced".into());
    }
    let manifest = state.join("manifests");
    let named = last_position(&calls[..published], |call| renames_to(call, &manifest.join(format!("{id}.json"))))
        .ok_or("the manifest is not there before the release")?;
    last_position(&calls[..named], |call| {
        (is_sync(call) && call.arguments.contains(&format!("{}/", manifest.display()))) || call.name == "syncfs"
    })
    .ok_or("the manifest is not synced before it gets its name")?;
    if !calls[named..published].iter().any(|call| is_sync_of(call, &manifest)) {
        return Err("the manifest's directory is not synced before the release".into());
    }
    let record = record(calls)?;
    if !calls[published..record].iter().any(|call| is_sync_of(call, &releases)) {
        return Err("releases/ is not synced before the record".into());
    }
    Ok(())
}

/// A link is switched: its intent is written before (for a kill, which needs no sync); the root and the end of the
/// intent are durable before the record.
fn a_link_is_switched_in_order(calls: &[Call], root: &Path) -> Result<(), String> {
    let flipped = position(calls, "rename of the link", |call| renames_to(call, &root.join("current")))?;
    let history = format!("<{}>", root.join(".cutover/history.jsonl").display());
    let is_history = |call: &Call| call.arguments.contains(&history);
    position(&calls[..flipped], "intent before the link", |call| is_history(call) && call.name.contains("write"))?;
    let record = record(calls)?;
    let after = &calls[flipped..record];
    position(after, "sync of the root after the link", |call| is_sync_of(call, root))?;
    let done = position(after, "end of the intent", |call| is_history(call) && call.name.contains("write"))?;
    position(&after[done..], "sync of the end of the intent", |call| is_history(call) && is_sync(call))?;
    let unlinked = calls.iter().any(|call| {
        call.name.starts_with("unlink") && call.arguments.contains(&format!("<{}>, \"current\"", root.display()))
    });
    if unlinked { Err("the link is removed".into()) } else { Ok(()) }
}

/// The canonical root: strace prints what a descriptor really names.
fn real_root(shop: &Shop) -> PathBuf {
    shop.root().canonicalize().expect("resolve the root")
}

fn without_strace() -> bool {
    let run = std::process::Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    !run.is_ok_and(|status| status.success())
}

/// Takes each call that `matters` out of the trace, and expects the rule to break at least once in a kind of call.
fn the_rule_notices(calls: &[Call], rule: impl Fn(&[Call]) -> Result<(), String>, matters: impl Fn(&Call) -> bool) {
    let without: Vec<_> = calls.iter().filter(|call| !matters(call)).cloned().collect();
    assert_ne!(without.len(), calls.len(), "nothing was taken out");
    assert!(rule(&without).is_err(), "the rule does not notice what is missing");
}

#[test]
fn no_tree_is_renamed_with_unsynced_content_and_no_success_comes_before_the_parents_are_synced() {
    if without_strace() {
        skip!("strace cannot trace here");
    }
    let shop = Shop::new();
    shop.source("v1");
    shop.deploy("v0");
    let Some(calls) = traced(&shop, "release-mk --root $ROOT --from v1 --name one") else { return };
    let root = real_root(&shop);
    let rule = |calls: &[Call]| a_release_is_published_in_order(calls, &root, "one");
    rule(&calls).unwrap_or_else(|why| panic!("{why}\n{}", shown(&calls)));
    the_rule_notices(&calls, rule, |call| {
        call.name == "syncfs" || call.arguments.contains("/staging/") && is_sync(call)
    });
    the_rule_notices(&calls, rule, |call| is_sync_of(call, &root.join("releases")));
    the_rule_notices(&calls, rule, |call| is_sync(call) && call.arguments.contains("/manifests"));
}

#[test]
fn a_switch_is_intended_done_and_recorded_in_that_order() {
    if without_strace() {
        skip!("strace cannot trace here");
    }
    let shop = Shop::new();
    let v1 = shop.deploy("v1");
    shop.deploy("v2");
    let Some(calls) = traced(&shop, &format!("release-switch --root $ROOT --to {v1}")) else { return };
    let root = real_root(&shop);
    let rule = |calls: &[Call]| a_link_is_switched_in_order(calls, &root);
    rule(&calls).unwrap_or_else(|why| panic!("{why}\n{}", shown(&calls)));
    the_rule_notices(&calls, rule, |call| is_sync_of(call, &root));
    the_rule_notices(&calls, rule, |call| is_sync(call) && call.arguments.contains("history.jsonl"));
    the_rule_notices(&calls, rule, |call| renames_to(call, &root.join("current")));
}

fn shown(calls: &[Call]) -> String {
    let shown = calls.iter().filter(|call| is_sync(call) || is_rename(call) || call.name.contains("write"));
    shown.map(|call| format!("{} {}({:.200})\n", call.pid, call.name, call.arguments)).collect()
}
