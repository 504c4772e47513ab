//! What people mistype: a stage's name, an option, a program that is not there. Nothing must happen upstream or downstream.

use std::time::Duration;

use stories::Shop;
use stories::real::proxies::Proxy;
use stories::services::{deploy, locked};

use crate::traffic::through;

const STAGES: [&str; 6] =
    ["release-mk", "release-switch", "restart", "release-switch --undo", "restart --undo", "release-gc"];

/// A shop with v1 live, and v2 to deploy.
fn shop() -> (Shop, String, [Option<i32>; 2]) {
    let shop = Shop::new();
    shop.source("v1");
    let id = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source("v2");
    let pids = [1, 2].map(|i| shop.services().pid(i));
    (shop, id, pids)
}

/// The deploy of v2, built in a time that real builds take: a stage that never starts is known to be gone only once its
/// shell has tried.
fn deploy_v2() -> String {
    deploy("v2").replace("--from v2", "--from v2 --step build='sleep 0.3'")
}

/// The deploy of v2 with one stage replaced.
fn with_stage(n: usize, stage: &str) -> String {
    let whole = deploy_v2();
    let (function, pipe) = whole.split_once('\n').expect("a function, then the pipe");
    let mut stages: Vec<_> = pipe.split('|').map(|stage| stage.trim().to_owned()).collect();
    assert_eq!(stages.len(), STAGES.len());
    stages[n] = stage.to_owned();
    format!("{function}\n{}", stages.join(" | "))
}

/// The stage as it is, with a word added.
fn stage(n: usize) -> String {
    deploy_v2().split_once('\n').expect("a function").1.split('|').nth(n).expect("a stage").trim().to_owned()
}

fn nothing_happened(script: &str, shop: &Shop, v1: &str, pids: [Option<i32>; 2]) {
    let run = shop.pipe(script).deadline(Duration::from_secs(30)).run();
    assert_ne!(run.status, 0, "{run}");
    assert!(run.stdout.is_empty() || run.record()["ok"] == false, "{run}");
    assert_eq!(shop.current().as_deref(), Some(v1), "the link\n{run}");
    assert_eq!([1, 2].map(|i| shop.services().pid(i)), pids, "the instances\n{run}");
    assert_eq!([1, 2].map(|i| shop.services().version(i)), [Some("v1".to_owned()), Some("v1".to_owned())], "{run}");
}

#[test]
fn a_typo_in_the_name_of_any_stage_stops_the_whole_pipe() {
    let (shop, v1, pids) = shop();
    for n in 0..STAGES.len() {
        nothing_happened(&with_stage(n, &stage(n).replacen('e', "", 1)), &shop, &v1, pids);
    }
}

#[test]
fn a_misspelt_option_in_any_stage_stops_the_whole_pipe() {
    let (shop, v1, pids) = shop();
    for n in 0..STAGES.len() {
        nothing_happened(&with_stage(n, &format!("{} --bacth 2", stage(n))), &shop, &v1, pids);
    }
}

#[test]
fn a_missing_program_behind_the_pipe_stops_it() {
    let (shop, v1, pids) = shop();
    for gone in ["no-such-program", "/nonexistent/jq .", "exec 3</nonexistent"] {
        nothing_happened(&format!("{} | {gone}", deploy_v2()), &shop, &v1, pids);
    }
}

#[test]
fn under_release_lock_it_is_the_same() {
    let (shop, v1, pids) = shop();
    for n in 0..STAGES.len() {
        nothing_happened(&locked(&with_stage(n, &stage(n).replacen('e', "", 1))), &shop, &v1, pids);
        nothing_happened(&locked(&with_stage(n, &format!("{} --bacth 2", stage(n)))), &shop, &v1, pids);
    }
}

#[test]
fn a_wrong_command_line_exits_2_and_prints_nothing() {
    let shop = Shop::new();
    for line in [
        "release-mk --root $ROOT",
        "release-mk --root $ROOT --from v1 --keep-days",
        "release-switch --to '' --root $ROOT",
        "release-switch --rollback --to x --root $ROOT",
        "release-gc --keep many --root $ROOT -n",
        "svc-restart --via nobody shop@1 -n",
        "svc-restart -n",
        "svc-health -n",
        "svc-health http://127.0.0.1:1/ --wait soon -n",
        "release-lock --root $ROOT",
        "svc-restart --via exec --command 'restart=true {idle}' shop@1 -n",
    ] {
        let run = shop.pipe(line).run();
        run.exits(2).prints_nothing();
        assert!(!shop.root().exists(), "{run}");
    }
}

#[test]
fn a_mistyped_file_of_the_proxy_moves_nothing() {
    through(Proxy::nginx, |shop, proxy| {
        let typo = proxy.route().replace("/shop.upstream", "/shop.upstrean");
        let before = std::fs::read_to_string(proxy.dir().join("shop.upstream")).expect("read the upstream");
        let run = shop.pipe(format!("svc-route -n {typo} --to green")).run();
        run.exits(1).says("nginx does not read").says("shop.upstrean");
        assert_eq!(run.record().code(), "route.unread");
        assert!(!proxy.dir().join("shop.upstrean").exists(), "nothing is left of it");
        let after = std::fs::read_to_string(proxy.dir().join("shop.upstream")).expect("read the upstream");
        assert_eq!(after, before);
        // The file that it does include may be new: nginx was started with it, and it is gone since.
        std::fs::remove_file(proxy.dir().join("shop.upstream")).expect("remove the upstream");
        shop.pipe(format!("svc-route -n {} --to green", proxy.route())).run().exits(0);
    });
}
