//! Makers, switchers, collectors, pinners and readers at once, with and without some of them killed: no reader ever sees
//! an error, who holds a release open loses nothing of it, the history has one order, and afterwards there is no debris.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stories::faults::{Tier, tell};
use stories::{Checker, Shop, skip};

/// What each of them does again and again. `KILLED` runs what follows and kills it soon, most times too late.
const ACTORS: [&str; 7] = [
    "release-mk -q --root $ROOT --from v1 | release-switch -q | release-switch -q --undo",
    "KILLED release-mk -q --root $ROOT --from v2 | release-switch -q | release-switch -q --undo",
    "KILLED release-switch -q --root $ROOT --rollback",
    "release-switch -q --root $ROOT --to $(ls root/releases | tail -n 1)",
    "KILLED release-gc -q --root $ROOT -n --keep 3 --keep-failed 0 --keep-unused 0s",
    "release-pin -q --root $ROOT $(ls root/releases | head -n 1) --for 1h --reason storm; \
     KILLED release-pin -q --root $ROOT $(ls root/releases | tail -n 2 | head -n 1) --remove",
    // Holds what is live open while others switch away from it and collect.
    "exec 9<root/current/.; for n in 1 2 3 4 5 6 7 8; do sleep 0.03; \
     cat /proc/self/fd/9/version /proc/self/fd/9/assets/deep/page >/dev/null || exit 9; done",
];

/// Lets an actor do its work until the file `end` is there; prints each status.
fn again_and_again(actor: &str, kills: bool) -> String {
    // Between 10 and 90 ms, by the process's number: a moment that nobody chose.
    let actor = actor.replace("KILLED", if kills { "timeout -s KILL 0.0$(($$ % 9 + 1))" } else { "" });
    format!("until [ -e end ]; do dash -c '{actor}' >/dev/null 2>>errors; echo $?; done")
}

#[test]
fn no_reader_sees_an_error_and_afterwards_all_is_in_order() {
    storm(false);
}

#[test]
fn nor_when_tools_are_killed_at_random() {
    storm(true);
}

fn storm(kills: bool) {
    let shop = Shop::in_memory();
    for name in ["v1", "v2", "v1"] {
        shop.deploy_well(name);
    }
    let checker = Checker::of_shop(&shop);
    let (reads, seconds) = Tier::asked().of((20_000, 5), (300_000, 20), (1_500_000, 300));
    let (done, counted) = (AtomicBool::new(false), AtomicU64::new(0));
    let file = shop.root().join("current/version");
    let started = Instant::now();
    let runs: Vec<_> = std::thread::scope(|scope| {
        let running = ACTORS.map(|actor| {
            shop.pipe(again_and_again(actor, kills)).deadline(Duration::from_secs(3 * seconds + 60)).start()
        });
        let reader = scope.spawn(|| {
            let mut errors = Vec::new();
            while !done.load(Ordering::Relaxed) {
                match fs::read_to_string(&file) {
                    Ok(version) if version == "v1" || version == "v2" => {}
                    other => errors.push(format!("{other:?}")),
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
            errors
        });
        while started.elapsed() < Duration::from_secs(seconds) || counted.load(Ordering::Relaxed) < reads {
            std::thread::sleep(Duration::from_millis(20));
        }
        shop.write("end", "");
        let runs = running.into_iter().map(stories::Running::wait).collect();
        done.store(true, Ordering::Relaxed);
        let errors = reader.join().expect("the reader");
        assert!(errors.is_empty(), "{} reads failed: {:?}", errors.len(), &errors[..errors.len().min(5)]);
        runs
    });
    let statuses: Vec<&str> = runs.iter().flat_map(|run| run.stdout.lines()).collect();
    let documented = ["0", "1", "4", "65", "66", "69", "75", "137"];
    let others: Vec<_> = statuses.iter().filter(|status| !documented.contains(status)).collect();
    let errors = fs::read_to_string(shop.path().join("errors")).unwrap_or_default();
    assert!(others.is_empty(), "{others:?}, and somebody said\n{errors}");
    // A release that was made and collected before its own pipe switched to it: its record contradicts the disk.
    let contradicted = statuses.iter().filter(|status| **status == "65").count();
    let collected = errors.lines().filter(|line| line.contains("there is no release ")).count();
    assert!(contradicted <= collected, "{contradicted} times 65, and somebody said\n{errors}");
    fs::remove_file(shop.path().join("end")).expect("remove a file of the story");
    fs::remove_file(shop.path().join("errors")).expect("remove a file of the story");
    shop.pipe("release-gc --root $ROOT -n -q --keep 3 --keep-failed 0 --keep-unused 0s").run().exits(0);
    checker.holds("after the storm and a collection");
    assert_eq!(checker.debris(), []);
    let reads = counted.load(Ordering::Relaxed);
    tell("I2", usize::try_from(reads).unwrap_or(usize::MAX), 0);
    let killed = statuses.iter().filter(|status| **status == "137").count();
    skip::measured(&format!("{reads} reads through the link during {} runs, {killed} of them killed", statuses.len()));
    assert_eq!(killed > 0, kills, "{killed} were killed");
}
