//! Somebody exchanges directories for links that lead outside (`renameat2` with `RENAME_EXCHANGE`), as fast as he can, while
//! a tree is deleted or made: nothing outside is created, changed or removed.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::path::Arg;
use stories::faults::{Tier, tell};
use stories::{Shop, skip};

/// Directories in each tree, and as many links to exchange them for.
const PAIRS: usize = 12;
/// Trees that one collection deletes.
const TREES: usize = 50;

/// What a name in the trash ends with.
const RANDOM: &str = "0123456789abcdef";

/// A place that looks like a tree of the release and is none: what is in it has the names that are deleted or written.
fn outside(shop: &Shop) {
    for n in 0..PAIRS {
        let deep = shop.path().join(format!("canary/d{n}/sub"));
        fs::create_dir_all(&deep).expect("make the place outside");
        fs::write(deep.join("file"), "precious").expect("write outside");
    }
    fs::create_dir_all(shop.path().join("canary/sub")).expect("make the place outside");
    fs::write(shop.path().join("canary/sub/file"), "precious").expect("write outside");
}

fn exchange(dir: impl AsFd + Copy, one: impl Arg, other: impl Arg) -> bool {
    renameat_with(dir, one, dir, other, RenameFlags::EXCHANGE).is_ok()
}

/// Lets somebody `attack` again and again while `work` is done; how often that succeeded.
fn attacked(attack: impl Fn() -> usize + Sync, work: impl FnOnce()) -> usize {
    let (over, hits) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                hits.fetch_add(attack(), Ordering::Relaxed);
            }
        });
        // Whatever the work ends with, the attacker ends with it.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    hits.into_inner()
}

/// Trees in the trash of a root, as a killed collection leaves them, and links to `canary` among them.
fn fill_the_trash(shop: &Shop, trash: &Path) {
    let canary = shop.path().join("canary");
    for tree in 0..TREES {
        let top = trash.join(format!("r{tree}.{RANDOM}"));
        for n in 0..PAIRS {
            fs::create_dir_all(top.join(format!("d{n}/sub"))).expect("make a tree");
            fs::write(top.join(format!("d{n}/sub/file")), "").expect("make a tree");
            symlink(&canary, top.join(format!("link{n}"))).expect("link outside");
        }
        symlink(&canary, trash.join(format!("l{tree}.{RANDOM}"))).expect("link outside");
    }
}

#[test]
fn whoever_exchanges_names_during_a_deletion_leads_it_nowhere() {
    let shop = Shop::in_memory();
    shop.deploy_well("v1");
    outside(&shop);
    let before = shop.surroundings();
    let (mut trials, mut hits) = (0, 0);
    let most = Tier::asked().of(200, 10_000, 10_000);
    while trials < most {
        let trash = shop.root().join(".cutover/trash");
        fill_the_trash(&shop, &trash);
        hits += attacked(
            // By paths: what is held open by a descriptor counts as in use and stays.
            || {
                let tops = (0..TREES).filter(|tree| {
                    let top = trash.join(format!("r{tree}.{RANDOM}"));
                    let inside = |n: &usize| exchange(CWD, top.join(format!("d{n}")), top.join(format!("link{n}")));
                    (0..PAIRS).filter(inside).count() > 0
                        || exchange(CWD, &top, trash.join(format!("l{tree}.{RANDOM}")))
                });
                tops.count()
            },
            || {
                let run = shop.pipe("release-gc -q -n --root $ROOT --keep 5").awaited().run();
                run.exits_one_of(&[0, 1]);
            },
        );
        before.assert_unchanged(&shop.surroundings(), "outside, during a deletion");
        shop.pipe("release-gc -q -n --root $ROOT --keep 5").awaited().run().exits(0);
        assert_eq!(shop.debris(), [] as [&str; 0], "the collection after it leaves nothing");
        trials += TREES;
    }
    tell("I8", trials, 0);
    skip::measured(&format!("{trials} deletions against {hits} exchanges"));
    assert!(hits > trials, "only {hits} exchanges during {trials} deletions");
}

/// Exchanges what is in every tree that is being built for links to `canary`.
fn attack_builds(staging: &Path, canary: &Path) -> usize {
    let mut hits = 0;
    for build in fs::read_dir(staging).into_iter().flatten().flatten() {
        // What he has exchanged already he does not go through himself.
        let Ok(top) = File::open(build.path()) else { continue };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(tree) = rustix::fs::openat(&top, "tree", flags, Mode::empty()) else { continue };
        for n in 0..PAIRS {
            let link = format!("evil{n}");
            let _ = rustix::fs::symlinkat(canary.join(format!("d{n}")), &tree, &link);
            hits += usize::from(exchange(&tree, format!("d{n}"), &link));
        }
        let _ = rustix::fs::symlinkat(canary, &top, "evil");
        hits += usize::from(exchange(&top, "tree", "evil"));
    }
    hits
}

#[test]
fn whoever_exchanges_names_while_a_release_is_made_leads_it_nowhere() {
    let shop = Shop::in_memory();
    shop.deploy_well("v1");
    outside(&shop);
    let source = shop.path().join("source");
    for n in 0..PAIRS {
        fs::create_dir_all(source.join(format!("d{n}/sub"))).expect("make a source");
        for file in ["file", "other"] {
            fs::write(source.join(format!("d{n}/sub/{file}")), "evil").expect("make a source");
        }
    }
    shop.pipe("tar -C source -cf source.tar . && tar -C source -czf source.tgz .").run().exits(0);
    let before = shop.surroundings();
    let (staging, canary) = (shop.root().join(".cutover/staging"), shop.path().join("canary"));
    let (mut trials, mut hits, mut rounds) = (0, 0, 0);
    let most = Tier::asked().of(60, 600, 10_000);
    while trials < most && rounds < most * 4 {
        let from = ["source.tar", "source", "source.tgz"][rounds % 3];
        rounds += 1;
        let hit = attacked(
            || attack_builds(&staging, &canary),
            || {
                let script = format!("release-mk -q --root $ROOT --from {from} --name r{rounds}");
                let run = shop.pipe(script).awaited().run();
                run.exits_one_of(&[0, 1, 77]);
            },
        );
        // A build that was over before the first exchange is no trial.
        trials += usize::from(hit > 0);
        hits += hit;
        if rounds % 10 == 0 {
            before.assert_unchanged(&shop.surroundings(), "outside, while releases were made");
            let collection = "release-gc -q -n --root $ROOT --keep 1 --keep-failed 0 --keep-unused 0s";
            shop.pipe(collection).awaited().deadline(Duration::from_secs(120)).run().exits(0);
        }
    }
    before.assert_unchanged(&shop.surroundings(), "outside, while releases were made");
    tell("I8", trials, 0);
    skip::measured(&format!("{trials} builds of {rounds} against {hits} exchanges"));
    assert!(trials * 4 > rounds, "only {trials} of {rounds} builds were met");
}
