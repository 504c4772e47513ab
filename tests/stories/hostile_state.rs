//! Roots nobody should work in: refused with the documented status, and nothing in them or beside them changes.

use std::fs;
use std::path::Path;

use stories::{Run, Shop, skip};

/// What is done to a good root, which commands must refuse it, and with which statuses.
struct Row {
    what: &'static str,
    damage: &'static str,
    commands: &'static [&'static str],
    statuses: &'static [i32],
}

const WRITERS: &[&str] = &[
    "release-mk --root $ROOT --from v3 --name three",
    "release-switch --root $ROOT --to $V1",
    "release-switch --root $ROOT --rollback",
    "release-gc --root $ROOT -n --keep 1",
];
const SWITCHES: &[&str] = &["release-switch --root $ROOT --to $V1", "release-switch --root $ROOT --rollback"];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { what: "releases is a symlink", damage: "mv root/releases elsewhere && ln -s ../elsewhere root/releases", commands: WRITERS, statuses: &[77] },
    Row { what: "the state is a symlink", damage: "mv root/.cutover elsewhere && ln -s ../elsewhere root/.cutover", commands: WRITERS, statuses: &[77] },
    Row { what: "the root is writable by all", damage: "chmod 777 root", commands: WRITERS, statuses: &[77] },
    Row { what: "the root is writable by a group with members", damage: "chgrp $GROUP root && chmod 775 root", commands: WRITERS, statuses: &[77] },
    Row { what: "releases is writable by all", damage: "chmod 777 root/releases", commands: WRITERS, statuses: &[77] },
    Row { what: "the state is writable by all", damage: "chmod 777 root/.cutover", commands: WRITERS, statuses: &[77] },
    Row { what: "a parent is writable by all", damage: "chmod 777 .", commands: WRITERS, statuses: &[77] },
    Row { what: "the link is a directory", damage: "rm root/current && mkdir root/current && touch root/current/precious", commands: SWITCHES, statuses: &[1, 77] },
    Row { what: "the link is a file", damage: "rm root/current && echo precious >root/current", commands: SWITCHES, statuses: &[1, 77] },
    Row { what: "the link leads out of the root", damage: "ln -sfn /etc root/current", commands: SWITCHES, statuses: &[77] },
    Row { what: "the lock is a symlink", damage: "rm root/.cutover/lock && ln -s ../../canary/kept/file root/.cutover/lock", commands: WRITERS, statuses: &[1, 77] },
    Row { what: "the lock is a FIFO", damage: "rm root/.cutover/lock && mkfifo root/.cutover/lock", commands: WRITERS, statuses: &[1, 77] },
    Row { what: "the lock is a directory", damage: "rm root/.cutover/lock && mkdir root/.cutover/lock", commands: WRITERS, statuses: &[1, 77] },
    Row { what: "the deploy lock is a symlink", damage: "rm -f root/.cutover/deploy && ln -s ../../canary/kept/file root/.cutover/deploy", commands: SWITCHES, statuses: &[1, 77] },
    Row { what: "the history is a symlink", damage: "mv root/.cutover/history.jsonl elsewhere && ln -s ../../elsewhere root/.cutover/history.jsonl", commands: SWITCHES, statuses: &[1, 77] },
    Row { what: "the release is not whole", damage: "rm root/.cutover/manifests/$V1.json", commands: &["release-switch --root $ROOT --to $V1"], statuses: &[69, 77] },
    Row { what: "the manifest is garbage", damage: "echo garbage >root/.cutover/manifests/$V1.json", commands: &["release-switch --root $ROOT --to $V1"], statuses: &[1, 65, 69, 77] },
    Row { what: "the root is a file", damage: "mv root kept && touch root", commands: WRITERS, statuses: &[1, 2, 77] },
    Row { what: "the root is missing", damage: "mv root kept", commands: SWITCHES, statuses: &[1, 2, 69, 77] },
];

/// A shop with two good releases and a source, after some damage. The ids of the releases, older first.
fn damaged(damage: &str) -> (Shop, Vec<String>) {
    let shop = Shop::new();
    let ids = vec![shop.deploy_well("v1"), shop.deploy_well("v2")];
    shop.source("v3");
    shop.pipe(damage).env("V1", &ids[0]).env("GROUP", group_with_members()).run().exits(0);
    (shop, ids)
}

/// A group that has members besides its owner; Debian's `users` is there, and the damage gives it one if need be.
fn group_with_members() -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let with_members = groups.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        (fields.len() == 4 && !fields[3].is_empty() && fields[0] != "root").then(|| fields[0].to_owned())
    });
    with_members.unwrap_or_default()
}

fn refuses(shop: &Shop, ids: &[String], row: &Row, command: &str) -> Run {
    let before = shop.listing();
    let around = shop.surroundings();
    let run = shop.pipe(command).env("V1", &ids[0]).run();
    let what = row.what;
    assert!(row.statuses.contains(&run.status), "{what}: the status should be one of {:?}\n{run}", row.statuses);
    assert!(!run.stdout.contains("\"ok\":true"), "{what}\n{run}");
    assert!(!run.stderr.trim().is_empty(), "{what}: nobody says why\n{run}");
    before.assert_unchanged(&shop.listing(), &format!("although {what}, by {command}\n{run}"));
    around.assert_unchanged(&shop.surroundings(), &format!("outside although {what}, by {command}"));
    run
}

/// A collection in sight of all processes, which the story has seen to be possible.
fn collected(shop: &Shop, script: &str) -> Run {
    shop.pipe(script).seeing_all_processes().expect("sight of all processes").run()
}

#[test]
fn a_root_nobody_should_work_in_is_refused_and_left_as_it_is() {
    if !skip::is_root() {
        skip!("giving files to groups needs root");
    }
    for row in TABLE {
        if row.damage.contains("$GROUP") && group_with_members().is_empty() {
            stories::skip::note(&format!("{}: no group on this machine has members", row.what));
            continue;
        }
        let (shop, ids) = damaged(row.damage);
        for command in row.commands {
            refuses(&shop, &ids, row, command);
        }
        shop.pipe("chmod 755 .").run();
    }
}

#[test]
fn a_link_that_leads_nowhere_is_put_right_by_name() {
    let (shop, ids) = damaged("ln -sfn releases/nowhere root/current");
    let run = shop.pipe(format!("release-switch --root $ROOT --to {}", ids[0])).run();
    run.exits(0).record();
    assert_eq!(shop.current().as_ref(), Some(&ids[0]), "{run}");
}

#[test]
fn a_missing_root_says_which_command_makes_one() {
    let shop = Shop::new();
    for command in ["release-switch --root $ROOT --rollback", "release-gc --root $ROOT -n", "release-ls --root $ROOT"] {
        let run = shop.pipe(command).run();
        assert_ne!(run.status, 0, "{run}");
        run.says("release-mk");
    }
}

#[test]
fn a_torn_last_line_and_a_tail_of_nul_are_ignored_and_repaired() {
    for tail in ["{\"seq\":99,\"at\":\"20", "\\000\\000\\000\\000", "garbage"] {
        let (shop, ids) = damaged(&format!("printf '{tail}' >>root/.cutover/history.jsonl"));
        let run = shop.pipe("release-switch --root $ROOT --rollback | release-switch --undo").run();
        run.exits(0).record();
        assert_eq!(shop.current().as_ref(), Some(&ids[0]), "{tail}\n{run}");
        let seqs: Vec<_> = shop.history().iter().map(|line| line["seq"].as_u64().expect("seq")).collect();
        let gapless: Vec<_> = (seqs[0]..seqs[0] + seqs.len() as u64).collect();
        assert_eq!(seqs, gapless, "{tail}");
    }
}

#[test]
fn with_a_lost_history_a_collection_deletes_nothing_it_cannot_prove_old() {
    let (shop, _) = damaged("rm root/.cutover/history.jsonl");
    let run = shop.pipe("release-gc --root $ROOT -n --keep 1").run();
    assert_eq!(shop.releases().len(), 2, "{run}");
}

#[test]
fn an_unreadable_pin_keeps() {
    for pin in ["garbage", "{}", "{\"id\":\"x\",\"until\":\"someday\"}", ""] {
        let (shop, ids) =
            damaged(&format!("mkdir -p root/.cutover/pins; printf '%s' '{pin}' >root/.cutover/pins/$V1.json"));
        for _ in 0..4 {
            shop.deploy_well("v3");
        }
        let run = shop.pipe("release-gc --root $ROOT -n --keep 1").run();
        assert!(shop.releases().contains(&ids[0]), "{pin:?}\n{run}");
    }
}

#[test]
fn strangers_are_reported_and_never_touched() {
    let (shop, _) =
        damaged("mkdir root/releases/stranger && touch root/releases/stranger/file && mkfifo root/releases/fifo");
    for _ in 0..3 {
        shop.deploy_well("v3");
    }
    let run = shop.pipe("release-gc --root $ROOT -n --keep 1").run();
    run.exits(0);
    assert!(run.stdout.contains("stranger"), "{run}");
    assert!(shop.root().join("releases/stranger/file").exists(), "{run}");
    assert!(shop.root().join("releases/fifo").symlink_metadata().is_ok(), "{run}");
}

#[test]
fn a_collection_never_follows_a_link_out_of_the_root() {
    let shop = Shop::new();
    if shop.pipe("true").seeing_all_processes().is_none() {
        skip!("there are processes here that may not be looked at");
    }
    let source = shop.source("v1");
    std::os::unix::fs::symlink(shop.path().join("canary"), source.join("out")).expect("link out");
    let first = shop.pipe("release-mk --root $ROOT --from v1 | release-switch | release-switch --undo").run();
    let around = shop.surroundings();
    for _ in 0..3 {
        shop.deploy_well("v2");
    }
    let run = collected(&shop, "release-gc --root $ROOT -n --keep 1");
    run.exits(0);
    assert!(first.status == 0 || first.status == 77, "{first}");
    assert_eq!(shop.releases().len(), 2, "current and previous\n{run}");
    around.assert_unchanged(&shop.surroundings().without("v2"), "outside the root");
}

#[test]
fn what_cannot_be_removed_is_reported_and_the_rest_goes() {
    if !skip::is_root() || !skip::has("chattr") {
        skip!("a file that cannot be removed needs root and chattr");
    }
    let shop = Shop::new();
    if shop.pipe("true").seeing_all_processes().is_none() {
        skip!("there are processes here that may not be looked at");
    }
    let ids: Vec<_> = (1..6).map(|n| shop.deploy_well(&format!("v{n}"))).collect();
    let stuck = shop.root().join("releases").join(&ids[0]).join("version");
    let immutable = shop.pipe(format!("chattr +i {}", stuck.display())).run();
    if immutable.status != 0 {
        skip!("this file system has no immutable files");
    }
    let run = collected(&shop, "release-gc --root $ROOT -n --keep 1");
    let in_a_pipe =
        collected(&shop, "release-switch --root $ROOT --to $(readlink root/current | cut -d/ -f2) | release-gc");
    shop.pipe("find root -type f -exec chattr -i {} +").run();
    assert_eq!(run.exits(1).record().stage("release-gc")["counts"]["left"], 1, "{run}");
    let warnings = in_a_pipe.exits(0).record()["warnings"].as_array().map_or(0, Vec::len);
    assert_eq!(warnings, 1, "in a pipe it is a warning\n{in_a_pipe}");
    assert!(!shop.releases().contains(&ids[1]), "the rest goes\n{run}");
    let again = collected(&shop, "release-gc --root $ROOT -n --keep 1");
    again.exits(0);
    assert_eq!(shop.debris(), [] as [&str; 0], "{again}");
}

#[test]
fn the_clock_decides_nothing() {
    let shop = Shop::new();
    if shop.pipe("true").seeing_all_processes().is_none() {
        skip!("there are processes here that may not be looked at");
    }
    let ids: Vec<_> = (1..5).map(|n| shop.deploy_well(&format!("v{n}"))).collect();
    // The newest looks oldest and the oldest newest.
    for (n, id) in ids.iter().enumerate() {
        let time = format!(
            "touch -h -d @{} root/releases/{id} root/.cutover/manifests/{id}.json",
            2_000_000_000 - n * 400_000_000
        );
        shop.pipe(time).run().exits(0);
    }
    collected(&shop, "release-gc --root $ROOT -n --keep 2").exits(0);
    let mut kept = ids[2..].to_vec();
    kept.sort();
    assert_eq!(shop.releases(), kept);
    assert!(Path::new(&shop.root()).join("current/version").exists());
}

#[test]
fn with_a_part_of_the_state_lost_nothing_is_collected_before_a_person_has_looked() {
    for (part, status) in [("pins", 1), ("manifests", 1), ("tree", 1), ("trash", 0), ("staging", 0)] {
        let (shop, _) = damaged(&format!("mkdir lost && mv root/.cutover/{part} lost"));
        let before = shop.releases();
        let run = shop.pipe("release-gc -n --root $ROOT --keep 1 --keep-unused 0s").run();
        run.exits(status);
        if status == 1 {
            assert_eq!(run.record()["error"]["code"], "gc.unclear", "{part}: {run}");
            run.says(&format!(".cutover/{part} is missing"));
            assert_eq!(shop.releases(), before, "{part}");
            shop.pipe("release-ls --root $ROOT").run().says(&format!(".cutover/{part} is missing"));
        }
    }
}

#[test]
fn a_rollback_that_the_history_cannot_decide_is_left_to_a_person() {
    let shop = Shop::new();
    let ids = ["v1", "v2", "v3"].map(|name| shop.deploy_well(name));
    let done = format!(
        "grep -n '\"done\".*{}\\|{}.*\"done\"' root/.cutover/history.jsonl | head -n 1 | cut -d : -f 1",
        ids[1], ids[1]
    );
    shop.pipe(format!(
        "line=$({done}) && [ -n \"$line\" ] && sed -i \"${{line}}s/.*/garbage/\" root/.cutover/history.jsonl"
    ))
    .run()
    .exits(0);
    for dry in ["", "--dry-run"] {
        let run = shop.pipe(format!("release-switch -n --root $ROOT --rollback {dry}")).run();
        assert_eq!(run.exits(1).record()["error"]["code"], "switch.unknown", "{run}");
        run.says(&format!("--to {}", ids[0]));
        assert_eq!(shop.current().as_ref(), Some(&ids[2]), "{run}");
    }
    shop.pipe(format!("release-switch -n --root $ROOT --to {}", ids[1])).run().exits(0);
    assert_eq!(shop.current().as_ref(), Some(&ids[1]));
}

#[test]
fn nobody_takes_the_papers_of_a_pinned_release_that_was_moved_away() {
    let shop = Shop::new();
    shop.source("source");
    let make = |options: &str| shop.pipe(format!("release-mk -n -q --root $ROOT --from source {options}")).run();
    // An earlier build of that name, which failed and is kept.
    make("--name kept --step no=false").exits(1);
    make("--name kept").exits(0);
    make("--name live").exits(0);
    shop.pipe("release-switch -n -q --root $ROOT --to live").run().exits(0);
    shop.pipe("release-pin -n -q --root $ROOT kept --for 30days --reason audit").run().exits(0);
    shop.pipe("mv root/releases/kept aside").run().exits(0);
    let collect = || shop.pipe("release-gc -n --root $ROOT --keep 1").run();
    assert_eq!(collect().exits(0).record()["warnings"][0]["code"], "gc.missing");
    for options in ["--name kept", "--name kept --dry-run", "--name kept --step no=false", "--resume kept"] {
        let run = make(options);
        assert_eq!(run.exits(1).record()["error"]["code"], "mk.exists", "{options}: {run}");
        run.says("release-pin kept --remove");
    }
    assert_eq!(collect().exits(0).record()["warnings"][0]["code"], "gc.missing");
    shop.pipe("mv aside root/releases/kept").run().exits(0);
    shop.pipe("release-ls --root $ROOT --verify kept").run().exits(0);
    assert!(shop.root().join(".cutover/pins/kept.json").is_file());
}

#[test]
fn a_build_takes_nothing_of_a_release_that_was_adopted_under_its_name_meanwhile() {
    let shop = Shop::new();
    shop.source("source");
    let make = |options: &str| shop.pipe(format!("release-mk -n -q --root $ROOT --from source {options}")).run();
    make("--name first").exits(0);
    // The step puts a tree where the build's own is to be, and makes it a release.
    shop.write(
        "adopt",
        "cp -a source root/releases/second && ln -s releases/second root/current && \
         release-switch -n -q --root $ROOT --adopt && \
         release-pin -n -q --root $ROOT second --for 30days --reason audit",
    );
    let run = make("--name second --keep-days 3 --reason mine --step adopt='cd ../../../../.. && sh adopt'");
    assert_eq!(run.exits(1).record()["error"]["code"], "mk.exists", "{run}");
    shop.pipe("release-ls --root $ROOT --verify second").run().exits(0);
    let pin = std::fs::read_to_string(shop.root().join(".cutover/pins/second.json")).expect("read the pin");
    assert!(pin.contains("audit"), "{pin}");
    shop.pipe("release-gc -n -q --root $ROOT --keep 1 --keep-failed 0").run().exits(0);
    assert_eq!(shop.current().as_deref(), Some("second"));
}

/// Somebody copies a pinned release to another disk and puts it back: its papers must still be there.
#[test]
fn a_pinned_release_that_was_moved_away_keeps_its_papers_until_it_is_put_back() {
    let (shop, ids) = damaged("true");
    shop.deploy_well("v3");
    let v1 = &ids[0];
    shop.pipe(format!("release-pin --root $ROOT {v1} --for 10days --reason audit")).run().exits(0);
    shop.pipe(format!("mv root/releases/{v1} elsewhere")).run().exits(0);
    let run = shop.pipe("release-gc -n --root $ROOT --keep 1 --keep-unused 0s").run().exits(0).record();
    assert_eq!(run["warnings"][0]["code"], "gc.missing");
    shop.pipe(format!("mv elsewhere root/releases/{v1}")).run().exits(0);
    let run = shop.pipe("release-gc -n -v --root $ROOT --keep 1 --keep-unused 0s").run();
    run.exits(0).says(&format!("{v1} stays: pinned"));
    assert!(run.record()["warnings"].is_null(), "{run}");
    shop.pipe(format!("release-ls --root $ROOT --verify {v1}")).run().exits(0);
    // Without its pin the papers of a missing release are debris.
    shop.pipe(format!("mv root/releases/{v1} elsewhere; release-pin --root $ROOT {v1} --remove")).run().exits(0);
    let run = shop.pipe("release-gc -n --root $ROOT --keep 1 --keep-unused 0s").run().exits(0).record();
    assert!(run["stages"][0]["counts"]["debris_removed"].as_u64() >= Some(2));
}

#[test]
fn what_somebody_wrote_into_a_release_is_told_file_by_file() {
    let (shop, ids) = damaged("true");
    let (v1, v2) = (&ids[0], &ids[1]);
    shop.pipe("release-ls --root $ROOT --verify").run().exits(0);
    let script = format!(
        "cd root/releases/{v1} && file=$(find . -type f | sort | head -n 1) && echo more >>$file && touch new && echo $file"
    );
    let changed = shop.pipe(script).run().exits(0).stdout.trim().trim_start_matches("./").to_owned();
    let run = shop.pipe("release-ls --root $ROOT --verify").run();
    run.exits(1);
    for told in [changed.as_str(), "new", v1.as_str()] {
        assert!(run.stdout.contains(told), "{told} is not told: {run}");
    }
    shop.pipe(format!("release-ls --root $ROOT --verify {v2}")).run().exits(0);
}
