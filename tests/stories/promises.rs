//! The promises of docs/contract.md, one test for each, named after it: what must hold after any fault, at any instant.
//!
//! Those that hold at every instant are asserted after a fault at every system call of every changing tool
//! (`stories::faults`); the others by a story of their own. `CUTOVER_FAULTS` widens all of these loops.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use stories::faults::{Operation, Tier, held_at_every_call, tell};
use stories::services::{locked, restart_of};
use stories::{Checker, Record, Shop, skip};

const ALL: &[Operation] = &Operation::ALL;
const SWITCHES: &[Operation] = &[Operation::Switch, Operation::Rollback, Operation::Undo];

#[test]
fn i1_every_visible_release_is_complete_by_its_manifest() {
    held_at_every_call("I1", ALL);
}

#[test]
fn i2_a_link_never_disappears_and_always_resolves() {
    held_at_every_call("I2", ALL);
}

#[test]
fn i3_what_was_acknowledged_survives_a_kill() {
    let rounds = Tier::asked().of(6, 40, 200);
    for round in 0..rounds {
        let shop = Shop::in_memory();
        shop.source("v1");
        // The shell that reads the record kills everything the moment it has it.
        let script = "release-mk --root $ROOT --from v1 | release-switch | release-switch --undo \
                      | { read -r record; printf '%s\\n' \"$record\" >record; kill -9 -$$; }";
        let run = shop.pipe(script).run();
        assert_eq!(run.status, 137, "{run}");
        let record = fs::read_to_string(shop.path().join("record")).expect("a record");
        let record = Record::parse(&record).expect("a whole record");
        assert_eq!(shop.current().as_deref(), Some(record.id()), "round {round}");
        assert_eq!(shop.kinds_of(record.id()), ["intent", "done", "good"], "round {round}");
        Checker::of_shop(&shop).holds(format!("round {round}\n{run}"));
    }
    tell("I3", rounds, 0);
    held_at_every_call("I3", ALL);
}

#[test]
fn i4_an_interrupted_switch_ends_in_the_old_or_the_new_release_and_the_status_says_which() {
    held_at_every_call("I4", SWITCHES);
}

#[test]
fn i5_a_collection_removes_nothing_that_a_rule_keeps() {
    held_at_every_call("I5", ALL);
}

#[test]
fn i6_the_history_is_append_only_gapless_and_of_one_mind_with_the_links() {
    held_at_every_call("I6", ALL);
}

#[test]
fn i7_a_rerun_and_one_collection_leave_no_debris() {
    held_at_every_call("I7", ALL);
}

#[test]
fn i8_nothing_outside_the_root_changes() {
    held_at_every_call("I8", ALL);
}

#[test]
fn i9_inside_the_root_only_names_of_the_id_at_hand_change() {
    held_at_every_call("I9", ALL);
}

#[test]
fn i10_a_stage_behind_a_killed_or_truncated_one_has_no_effect() {
    let shop = Shop::in_memory();
    let live = shop.deploy_well("v1");
    for _ in 0..3 {
        shop.deploy_well("v2");
    }
    shop.pipe(format!("release-switch --root $ROOT --to {live}")).run().exits(0);
    let checker = Checker::of_shop(&shop);
    let before = shop.releases();
    shop.pipe("cp -a root template").run().exits(0);
    let nothing_happened = |context: &str| {
        assert_eq!(shop.current().as_ref(), Some(&live), "{context}");
        let still = shop.releases();
        assert!(before.iter().all(|id| still.contains(id)), "{context}");
        checker.holds(context);
    };
    let mut points = 0;
    if skip::has("strace") {
        let step = Tier::asked().of(3, 1, 1);
        for call in ["write", "renameat2", "fsync", "mkdirat", "ftruncate", "syncfs"] {
            for n in (1..60).step_by(step) {
                let script = format!(
                    "strace -f -qq -o calls -e trace={call} -e inject={call}:signal=KILL:when={n} \
                     release-mk -q --root $ROOT --from v2 | release-switch | release-switch --undo | release-gc --keep 1"
                );
                let run = shop.pipe(script).run();
                if !fs::read_to_string(shop.path().join("calls")).unwrap_or_default().contains("killed by") {
                    shop.pipe("rm -rf root; cp -a template root").run().exits(0);
                    break;
                }
                // The stages behind a killed one see the end of an empty record.
                run.exits(66);
                nothing_happened(&run.to_string());
                points += 1;
            }
        }
    } else {
        skip::note("I10, killed stages: strace is missing");
    }
    let whole = shop.pipe("release-mk --root $ROOT --from v2").run().exits(0).stdout.clone();
    let step = Tier::asked().of(97, 11, 1);
    for length in (0..whole.len()).step_by(step) {
        let run = shop.pipe("release-switch | release-gc --keep 1").stdin(&whole.as_bytes()[..length]).run();
        run.exits_one_of(&[65, 66]);
        nothing_happened(&format!("a record cut to {length} bytes\n{run}"));
        points += 1;
    }
    tell("I10", points, 0);
    assert!(points > 10, "only {points} points");
}

#[test]
fn i11_status_and_record_tell_the_truth() {
    held_at_every_call("I11", ALL);
}

#[test]
fn i12_of_two_makers_one_wins_and_switches_have_one_order() {
    let shop = Shop::in_memory();
    let ids: Vec<_> = (1..4).map(|n| shop.deploy_well(&format!("v{n}"))).collect();
    let checker = Checker::of_shop(&shop);
    let rounds = Tier::asked().of(3, 30, 200);
    for round in 0..rounds {
        let many =
            "{ release-mk -q --root $ROOT --from v1 --name r$ROUND >/dev/null 2>&1; echo made $?; } &\n".repeat(6);
        let switches = ids.iter().chain(&ids).map(|id| {
            format!("{{ release-switch -q --root $ROOT --to {id} >{id}.$ROUND 2>&1; echo switched $?; }} &\n")
        });
        let script = format!("{many}{}wait; rm -f *.$ROUND", switches.collect::<String>());
        let run = shop.pipe(script).env("ROUND", round.to_string()).run();
        let said = |line: &str| run.stdout.lines().filter(|said| *said == line).count();
        assert_eq!((said("made 0"), said("switched 0")), (1, 6), "{run}");
        checker.holds(&run);
    }
    assert_eq!(checker.debris(), []);
    tell("I12", rounds, 0);
    held_at_every_call("I12", ALL);
}

/// The same without locks, which strace makes succeed without asking the kernel: it must be noticed.
#[test]
fn i12_is_seen_to_break_without_locks() {
    if !skip::succeeds(&["strace", "-qq", "-o", "/dev/null", "-e", "trace=flock", "true"]) {
        skip!("strace cannot trace here");
    }
    for _ in 0..20 {
        let shop = Shop::in_memory();
        let ids: Vec<_> = (1..4).map(|n| shop.deploy_well(&format!("v{n}"))).collect();
        let checker = Checker::of(&shop.root());
        let unlocked = "strace -f -qq -o /dev/null -e trace=flock -e inject=flock:retval=0";
        let switches = ids.iter().cycle().take(9);
        let switches =
            switches.map(|id| format!("{unlocked} release-switch -q --root $ROOT --to {id} >/dev/null 2>&1 &\n"));
        shop.pipe(format!("{}wait", switches.collect::<String>())).run();
        if !checker.violations().is_empty() {
            return;
        }
    }
    panic!("nine switches at once without locks, twenty times, and nothing is wrong");
}

#[test]
fn i13_a_restart_has_never_more_than_a_batch_down_and_says_what_is_where_when_it_is_killed() {
    let count = "n=0; for i in 1 2 3 4; do shop-manager status shop@$i >/dev/null || n=$((n+1)); done; echo $n >>down";
    let restart = restart_of("shop@1 shop@2 shop@3 shop@4").replace(
        "'shop-manager restart {instance}'",
        &format!("'shop-manager stop {{instance}}; {count}; shop-manager start {{instance}}'"),
    );
    for batch in [1, 2] {
        let shop = Shop::new();
        shop.source("v1");
        shop.pipe(format!("{restart}release-mk --root $ROOT --from v1 | release-switch | restart")).run().exits(0);
        shop.write("down", "");
        shop.source("v2");
        let deploy = format!("release-mk --root $ROOT --from v2 | release-switch | restart --batch {batch}");
        let run = shop.pipe(format!("{restart}{deploy}")).run();
        run.exits(0);
        let down = fs::read_to_string(shop.path().join("down")).expect("what was down");
        let counts: Vec<usize> = down.lines().map(|line| line.parse().expect("a number")).collect();
        assert_eq!(counts.len(), 4, "{counts:?}\n{run}");
        assert!(counts.iter().all(|down| (1..=batch).contains(down)), "batch {batch}: {counts:?}\n{run}");

        // The gate of the first batch stops, and there it is killed.
        shop.source("v3");
        let gate = r#"GATE='touch asked; until [ -e go ]; do sleep 0.01; done'"#;
        let script = format!("{gate}\n{restart}{}", deploy.replace("v2", "v3"));
        let running = shop.pipe(locked(&script)).start();
        running.reaches(shop.path().join("asked")).signal("svc-restart", Signal::SIGKILL);
        shop.write("go", "");
        running.wait();
        let told = fs::read_to_string(shop.root().join(".cutover/run.json")).expect("run.json");
        let versions: Vec<_> = (1..=4).map(|i| shop.services().version(i).unwrap_or_default()).collect();
        let new = versions.iter().filter(|version| *version == "v3").count();
        assert_eq!(new, batch, "{versions:?}");
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let stages = told["stages"].as_array().expect("stages");
        let instances = stages.iter().find_map(|stage| stage["instances"].as_array()).expect("instances");
        for (instance, version) in instances.iter().zip(&versions) {
            let untouched = instance["outcome"] == "untouched";
            assert_eq!(untouched, version == "v2", "run.json says {instance}, but it serves {version}");
        }
    }
    tell("I13", 8, 0);
}

#[test]
fn i14_no_secret_is_in_a_record_a_log_or_a_state_file() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    let secret = "hunter2-very-secret";
    let checker = Checker::of(&shop.root()).secret(secret);
    let scripts = [
        "release-mk --root $ROOT --from https://user:$PASSWORD@127.0.0.1:1/shop.git --ref main",
        "release-mk --root $ROOT --from v1 --step build='true $PASSWORD'",
        "release-mk --root $ROOT --from v1 --step build=\"false $PASSWORD\"",
        "release-mk --root $ROOT --from v1 | svc-health http://user:$PASSWORD@127.0.0.1:1/?token=$PASSWORD --header \"Authorization: $PASSWORD\"",
        "release-mk --root $ROOT --from v1 | release-switch | svc-restart --via exec --command restart=\"true $PASSWORD\" shop@1",
        "release-mk --root $ROOT --from v1 | release-switch | svc-restart --via exec --command restart=true --gate \"echo $PASSWORD; exit 3\" shop@1 | release-switch --undo",
        "release-lock --root $ROOT -- dash -c \": $PASSWORD; release-switch --rollback\"",
    ];
    for script in scripts {
        let run = shop.pipe(script).env("PASSWORD", secret).run();
        assert!(!run.stdout.contains(secret), "{run}");
        checker.holds(&run);
    }
    tell("I14", scripts.len(), 0);
}

#[test]
fn i15_memory_and_descriptors_are_bounded_and_nothing_recurses() {
    let shop = Shop::in_memory();
    let files = Tier::asked().of(3_000, 30_000, 1_000_000);
    let source = shop.source("v1");
    // All in one directory, and most of them empty: it is their number that counts.
    fs::create_dir(source.join("flat")).expect("make a directory");
    for n in 0..files {
        let content = if n % 100 == 0 { "x" } else { "" };
        fs::write(source.join(format!("flat/a-file-with-a-name-{n}")), content).expect("write a file");
    }
    // The data segment, which counts every private page and thread's stack: 64 MiB; a stack that no recursion over
    // 4,000 directories would fit into; 64 descriptors.
    let bounds = "ulimit -d 65536; ulimit -s 1024; ulimit -n 64";
    let deep = "perl -e 'for (1..4000) { mkdir \"d\" or die; chdir \"d\" or die }'";
    let script = format!(
        "{bounds}\nrelease-mk --root $ROOT --from v1 --name big >/dev/null || exit\n\
         release-switch --root $ROOT --to big >/dev/null && release-mk --root $ROOT --from v1 --if-changed >/dev/null || exit\n\
         release-mk --root $ROOT --from v1 --name again --link-unchanged >/dev/null || exit\n\
         release-mk --root $ROOT --from v1/assets --name deep --step deep=\"$DEEP\" >/dev/null || exit\n\
         release-mk --root $ROOT --from v1/assets --name last | release-switch | release-switch --undo >/dev/null || exit\n\
         release-ls --root $ROOT --verify >/dev/null || exit"
    );
    let run = shop.pipe(script).env("DEEP", deep).deadline(Duration::from_secs(400)).run();
    run.exits(0);
    let collection = format!("{bounds}\nexec release-gc --root $ROOT -n --keep 1 --keep-unused 0s");
    let run = shop.pipe(collection).deadline(Duration::from_secs(400)).run();
    run.exits(0);
    // A rollback goes to the one that was live; the one with as many names that never was is gone, and the deep one.
    assert_eq!(shop.releases(), ["big", "last"], "{run}");
    assert_eq!(shop.debris(), [] as [&str; 0], "{run}");
    tell("I15", 6, 0);
    skip::measured(&format!("{files} files and a depth of 4,000 within 64 MiB, 1 MiB of stack and 64 descriptors"));
}

#[test]
fn i16_where_the_state_is_unclear_a_collection_removes_nothing_and_fails() {
    let unclear = [
        "echo garbage >root/.cutover/history.jsonl",
        "sed -i 2s/^./x/ root/.cutover/history.jsonl",
        "sed -i 2d root/.cutover/history.jsonl",
        "rm root/.cutover/history.jsonl && mkdir root/.cutover/history.jsonl",
        "sed -i 's/\"at\":\"20../\"at\":\"2901/' root/.cutover/history.jsonl",
        "sed -i 's/\"at\":\"20../\"at\":\"2001/' root/.cutover/history.jsonl",
        "rm -r root/.cutover/manifests && touch root/.cutover/manifests",
        "ln -sfn releases/nothing root/current",
        "ln -sfn /etc root/current",
        "ln -sfn current root/current",
        "rm root/current",
        "rm root/current && cp -a root/releases/$(ls root/releases | head -n 1) root/current",
    ];
    let shop = Shop::in_memory();
    for n in 1..6 {
        shop.deploy_well(&format!("v{n}"));
    }
    let whole = shop.releases();
    shop.pipe("cp -a root template").run().exits(0);
    let mut wrong = Vec::new();
    for damage in unclear {
        shop.pipe(format!("rm -rf root; cp -a template root; {damage}")).run().exits(0);
        let script = "exec release-gc --root $ROOT -n --keep 1";
        let run = shop.pipe(script).seeing_all_processes().unwrap_or_else(|| shop.pipe(script)).run();
        if shop.releases() != whole || run.status == 0 {
            wrong.push(format!("{damage}: {} releases are left, status {}", shop.releases().len(), run.status));
        }
    }
    tell("I16", unclear.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
