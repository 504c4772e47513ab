//! A first deploy that cannot be leaves nothing, and says what it would have made.

use stories::Shop;

#[test]
fn a_typo_behind_a_first_deploy_leaves_no_root() {
    let shop = Shop::new();
    shop.source("v1");
    for typo in ["release-swtich", "release-switch | release-gc --kep 5", "release-switch | no-such-program"] {
        let run = shop.pipe(format!("release-mk --root $ROOT --from v1 | {typo}")).run();
        assert_ne!(run.status, 0, "{run}");
        assert!(!shop.root().exists(), "a root was made: {run}");
    }
}

#[test]
fn a_lock_that_makes_a_root_says_so_once() {
    let shop = Shop::new();
    let lock = || shop.pipe("release-lock --root $ROOT -- true").run();
    let first = lock();
    assert!(first.exits(0).stderr.contains("is a new root"), "{first}");
    let second = lock();
    assert!(!second.exits(0).stderr.contains("is a new root"), "{second}");
}

#[test]
fn a_dry_run_refuses_what_is_sure_to_be_refused_and_tells_people_the_rest() {
    let shop = Shop::new();
    shop.source("v1");
    let fresh = shop.pipe("release-mk --root $ROOT --from v1 --dry-run").run();
    assert!(fresh.exits(0).stderr.contains("in the new root"), "{fresh}");
    assert!(!shop.root().exists(), "{fresh}");
    shop.pipe("release-mk --root $ROOT --from v1 --name one").run().exits(0);
    let taken = shop.pipe("release-mk --root $ROOT --from v1 --name one --dry-run").run();
    assert_eq!(taken.exits(1).record()["error"]["code"], "mk.exists", "{taken}");
}

#[test]
fn an_edited_history_leads_no_link_out_of_its_release() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    shop.deploy_well("v2");
    let history = shop.root().join(".cutover/history.jsonl");
    let text = std::fs::read_to_string(&history).expect("read the history");
    let edited = text.replace(&format!("releases/{v1}\""), &format!("releases/{v1}/../../../../etc/passwd\""));
    assert_ne!(text, edited);
    std::fs::write(&history, edited).expect("edit the history");
    let run = shop.pipe("release-switch -n --root $ROOT --rollback").run();
    let target = std::fs::read_link(shop.root().join("current")).expect("a link");
    assert!(!target.to_string_lossy().contains(".."), "{run}");
}

#[test]
fn no_root_is_made_within_another_one_nor_of_the_whole_machine() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    shop.source("v2");
    for place in ["$ROOT/current", "$ROOT/releases/new", "$ROOT/shared/x", "/"] {
        let run = shop.pipe(format!("release-mk --root {place} --from v2")).run();
        assert_ne!(run.status, 0, "{place}: {run}");
        assert!(!std::path::Path::new("/.cutover").exists(), "{place}: {run}");
    }
    shop.pipe("release-ls --verify $ROOT").run().exits(0);
    shop.deploy_well("v3");
}

/// A gate may call the tools again; what it does must not hide from an undo what its own stage was doing.
#[test]
fn a_gate_that_deploys_something_itself_does_not_hide_the_stage_that_runs_it() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    shop.source("v2");
    let script = stories::services::restart_of("shop@1")
        + "release-mk -q --root $ROOT --from v2 | release-switch -q | \
           svc-restart --via exec x --command restart=true --gate 'svc-restart -n -q --root $ROOT --via exec y --command restart=true; kill -9 $PPID' | \
           release-switch --undo";
    let file = shop.path().join("deploy");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("write the script");
    let run = shop.pipe("release-lock --root $ROOT -- sh ./deploy").run();
    assert_eq!(shop.current(), Some(v1), "{run}");
}
