//! The order of system calls, as strace saw it: content, then rename, then parents, then the record.
//!
//! The rules are in `stories::order`; a test takes essential calls out of a real trace to see that they notice.

use std::path::PathBuf;

use stories::order::{
    a_link_is_switched_in_order, a_release_is_published_in_order, changes_are_made_under_the_lock, is_rename, is_sync,
    is_sync_of, nothing_is_done_before_stdin_has_ended, renames_to, temporary_names,
};
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

#[test]
fn what_others_see_is_changed_under_the_lock() {
    if without_strace() {
        skip!("strace cannot trace here");
    }
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    for n in 2..5 {
        shop.deploy_well(&format!("v{n}"));
    }
    for (script, changes) in [
        ("release-mk --root $ROOT --from v1".to_owned(), 1),
        (format!("release-switch --root $ROOT --to {v1}"), 3),
        ("release-gc --root $ROOT -n --keep 1 --keep-unused 0s".to_owned(), 2),
    ] {
        let Some(calls) = traced(&shop, &script) else { return };
        let root = real_root(&shop);
        let rule = |calls: &[Call]| changes_are_made_under_the_lock(calls, &root);
        let seen = rule(&calls).unwrap_or_else(|why| panic!("{script}: {why}\n{}", shown(&calls)));
        assert!(seen >= changes, "{script}: only {seen} changes\n{}", shown(&calls));
        the_rule_notices(&calls, |calls| rule(calls).map(drop), |call| call.name == "flock");
    }
}

#[test]
fn nothing_is_done_before_the_record_has_ended() {
    if without_strace() {
        skip!("strace cannot trace here");
    }
    let shop = Shop::new();
    shop.deploy("v1");
    shop.source("v2");
    shop.pipe("release-mk --root $ROOT --from v2 >made").run().exits(0);
    let root = real_root(&shop);
    for script in ["exec release-switch <made", "exec release-gc --keep 1 <made"] {
        let Some(calls) = traced(&shop, script) else { return };
        let rule = |calls: &[Call]| nothing_is_done_before_stdin_has_ended(calls, &root);
        rule(&calls).unwrap_or_else(|why| panic!("{script}: {why}\n{}", shown(&calls)));
        the_rule_notices(&calls, rule, |call| call.name == "read" && call.arguments.starts_with("0<"));
    }
}

/// Process ids come again, in every container from 1 on: what a killed run left must not be in another one's way.
#[test]
fn two_runs_with_one_process_id_share_no_temporary_name() {
    let alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if without_strace() || !skip::succeeds(&[&alone[..], &["true"]].concat()) {
        skip!("strace or a namespace for processes cannot be had here");
    }
    let shop = Shop::new();
    let ids = [shop.deploy("v1"), shop.deploy("v2")];
    let root = real_root(&shop);
    let names = ids.map(|id| {
        let file = shop.path().join("trace").display().to_string();
        let script =
            format!("strace -f -y -qq -s 256 -o {file} -e trace=%file,%desc release-switch --root $ROOT --to {id}");
        shop.pipe(script).under(alone).run().exits(0);
        temporary_names(&trace::read(std::path::Path::new(&file)), &root)
    });
    assert!(names[0].len() >= 2, "{names:?}");
    let shared: Vec<_> = names[0].intersection(&names[1]).collect();
    assert!(shared.is_empty(), "both used the names {shared:?}");
}
