//! Taking over what another tool made: its releases, its log, its promises to keep; nothing in it changes.

use stories::{Shop, skip};

/// A root in the style of a deploy script: dated releases, an absolute link, a log of those that came through.
fn made_by_a_script(shop: &Shop) {
    let script = r#"
        mkdir -p "$ROOT/releases" && cd "$ROOT"
        for d in 2026-01-01_10.00 2026-01-02_10.00 2026-01-03_10.00; do
            mkdir releases/$d && echo $d > releases/$d/version
            ln -nfs "$ROOT/releases/$d" current
            echo "$ROOT/releases/$d" >> RELEASES.txt
        done
        mkdir releases/2025-12-31_10.00 && touch releases/2025-12-31_10.00/KEEP_UNTIL__2126-01-01_00.00
        touch releases/2026-01-01_10.00/KEEP_UNTIL__soon
        mkdir "releases/not a release" && echo notes > releases/notes.txt
    "#;
    shop.pipe(script).run().exits(0);
}

#[test]
fn a_layout_of_another_tool_is_no_place_for_a_first_release() {
    let shop = Shop::new();
    made_by_a_script(&shop);
    for tool in ["release-ls $ROOT", "release-gc -n --root $ROOT", "release-switch -n --root $ROOT --rollback"] {
        let run = shop.pipe(tool).run();
        assert!(run.status != 0 && run.stderr.contains("--adopt takes over"), "{run}");
        assert!(!run.stderr.contains("release-mk"), "{run}");
    }
}

#[test]
fn a_lost_link_is_told_and_how_it_comes_back() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    shop.pipe("rm $ROOT/current").run().exits(0);
    let listed = shop.pipe("release-ls $ROOT").run();
    assert!(listed.exits(0).stderr.contains(&format!("the link current is missing; {v2} was live")), "{listed}");
    let back = shop.pipe("release-switch -n --root $ROOT --rollback").run();
    assert!(back.exits(69).stderr.contains(&format!("--to {v2} puts the link back")), "{back}");
    let listed = shop.pipe("release-ls $ROOT").run();
    assert!(listed.exits(0).stderr.contains("is missing"), "{listed}");
    shop.pipe(format!("release-switch -n --root $ROOT --to {v2}")).run().exits(0);
    let listed = shop.pipe("release-ls $ROOT").run();
    assert!(!listed.exits(0).stderr.contains("is missing"), "{listed}");
    shop.pipe("rm $ROOT/current && mkdir $ROOT/current").run().exits(0);
    let listed = shop.pipe("release-ls $ROOT").run();
    assert!(listed.exits(0).stderr.contains("current is a directory, no link"), "{listed}");
}

#[test]
fn releases_log_and_promises_are_taken_over_and_nothing_in_them_changes() {
    let shop = Shop::new();
    made_by_a_script(&shop);
    let before = shop.pipe("cd \"$ROOT\" && find releases current -printf '%p %l %s %T@ %m\\n' | sort").run();
    let run = shop.pipe("release-switch -n --root $ROOT --adopt").run();
    let stage = run.exits(0).record().stage("release-switch").clone();
    assert_eq!(stage["adopted"]["layout"], "commcare", "{run}");
    assert!(run.stderr.contains("layout: 4 releases, "), "{run}");
    assert_eq!(stage["adopted"]["releases"].as_array().map(Vec::len), Some(4), "{run}");
    assert_eq!(stage["adopted"]["strangers"].as_array().map(Vec::len), Some(2), "{run}");
    assert_eq!(stage["adopted"]["pins"], 2, "a date that does not read keeps too\n{run}");
    let after = shop.pipe("cd \"$ROOT\" && find releases current -printf '%p %l %s %T@ %m\\n' | sort").run();
    assert_eq!(before.stdout, after.stdout);
    let sums = "cd $ROOT/releases/2026-01-03_10.00 && sha256sum --quiet -c ../../.cutover/tree/2026-01-03_10.00";
    shop.pipe(sums).run().exits(0);
    let again = shop.pipe("release-switch -n --root $ROOT --adopt").run();
    assert_eq!(again.exits(0).record()["changed"], false, "{again}");
}

#[test]
fn a_rollback_follows_the_log_that_was_taken_over() {
    let shop = Shop::new();
    made_by_a_script(&shop);
    shop.pipe("release-switch -n --root $ROOT --adopt").run().exits(0);
    for expected in ["2026-01-02_10.00", "2026-01-01_10.00"] {
        shop.pipe("release-switch -n --root $ROOT --rollback").run().exits(0);
        assert_eq!(shop.current().as_deref(), Some(expected));
    }
    shop.pipe("release-switch -n --root $ROOT --rollback").run().exits(69);
    let next = shop.deploy_well("v1");
    assert_eq!(shop.current(), Some(next), "the first deploy of our own");
}

#[test]
fn a_failed_deploy_goes_back_to_a_tree_that_nobody_took_over() {
    let shop = Shop::new();
    made_by_a_script(&shop);
    shop.source("v1");
    let run = shop
        .pipe("release-mk --root $ROOT --from v1 | release-switch | svc-health exec:false | release-switch --undo")
        .run();
    assert_ne!(run.status, 0, "{run}");
    assert_eq!(shop.current().as_deref(), Some("2026-01-03_10.00"), "{run}");
}

/// A root in which the real Capistrano deployed `count` times and then went back once; it needs no ssh to this machine.
fn made_by_capistrano(shop: &Shop, count: usize) {
    let script = r#"
        mkdir -p repository site/config/deploy && cd repository && git init -q -b main .
        cd ../site
        cat >Capfile <<'END'
require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/git"
install_plugin Capistrano::SCM::Git
END
        cat >config/deploy.rb <<'END'
set :application, "shop"
set :repo_url, ENV["REPOSITORY"]
set :branch, "main"
set :deploy_to, ENV["ROOT"]
set :keep_releases, 5
set :linked_dirs, ["log"]
set :sshkit_backend, SSHKit::Backend::Local
END
        echo 'server "localhost", roles: %w[app]' >config/deploy/production.rb
        for n in $(seq "$COUNT"); do
            (cd ../repository && echo "$n" >version && git add -A && git -c user.name=n -c user.email=e commit -qm "$n")
            # Its releases are named by the second.
            cap production deploy && sleep 1.1 || exit 1
        done
        cap production deploy:rollback
    "#;
    let repository = shop.path().join("repository");
    shop.pipe(script)
        .env("COUNT", count.to_string())
        .env("REPOSITORY", repository.display().to_string())
        .run()
        .exits(0);
}

#[test]
fn what_the_real_capistrano_made_is_taken_over_with_its_history() {
    if !skip::has("cap") || !skip::has("git") {
        skip!("capistrano or git is missing (packages capistrano and git)");
    }
    let shop = Shop::new();
    made_by_capistrano(&shop, 3);
    let releases = shop.releases();
    assert_eq!(releases.len(), 2, "Capistrano archives and removes what it rolled back from: {releases:?}");
    let listing = "cd \"$ROOT\" && find releases current shared repo revisions.log -printf '%p %l %s %T@ %m\\n' | sort";
    let before = shop.pipe(listing).run().exits(0).stdout.clone();
    let run = shop.pipe("release-switch -n --root $ROOT --adopt").run();
    let stage = run.exits(0).record().stage("release-switch").clone();
    assert_eq!(stage["adopted"]["layout"], "capistrano", "{run}");
    assert_eq!(shop.pipe(listing).run().exits(0).stdout, before, "something of Capistrano's has changed");
    let listed = shop.pipe("release-ls --root $ROOT --json").run();
    let listed: Vec<serde_json::Value> =
        listed.exits(0).stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[0]["current"][0], "current", "{listed:?}");
    assert_eq!(listed[1]["previous"][0], "current", "{listed:?}");
    let revision = listed[0]["source"]["revision"].as_str().unwrap_or_default();
    assert_eq!(revision.len(), 40, "the REVISION file tells what was built: {listed:?}");
    // From here on it is a root like any other.
    shop.pipe("release-switch -n --root $ROOT --rollback").run().exits(0);
    assert_eq!(shop.current().as_deref(), Some(releases[0].as_str()));
    let next = shop.deploy_well("v1");
    assert_eq!(shop.current(), Some(next));
}

#[test]
fn a_collection_in_a_root_that_nobody_took_over_names_the_way_to() {
    let shop = Shop::new();
    shop.source("v1");
    shop.pipe("mkdir -p root/releases/20260101 && echo 1 >root/releases/20260101/version && ln -s releases/20260101 root/current")
        .run()
        .exits(0);
    shop.pipe("release-mk -n -q --root $ROOT --from v1 --name v1").run().exits(0);
    let run = shop.pipe("release-switch -n -q --root $ROOT --to v1 && ln -sfn releases/20260101 root/current && release-gc -n --root $ROOT").run();
    run.exits(1).says("20260101, which is no release of ours").says("--adopt");
}
