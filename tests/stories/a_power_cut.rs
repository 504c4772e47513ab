//! The power fails at any moment, on a real ext4 and a real xfs: what was acknowledged is there, and nothing is
//! half-visible.
//!
//! The file system is shut down as a power cut would (`FS_IOC_SHUTDOWN`, with its log flushed before and without) right
//! after the tool was killed at a system call, or had said that it was done; then it is mounted again, which replays its
//! log.

use std::fs;

use stories::faults::{CHANGING, Tier, tell};
use stories::{Checker, Run, Shop, skip};

/// A file system, and how its power is cut: the whole log is lost that had not reached the disk, or not even that.
#[derive(Debug, Clone, Copy)]
struct Cut {
    mkfs: &'static str,
    /// `EXT4_GOING_FLAGS_LOGFLUSH` is 1, `…_NOLOGFLUSH` 2, and so they are on xfs.
    flag: u32,
}

const CUTS: [Cut; 4] = [
    Cut { mkfs: "mkfs.ext4 -q -F", flag: 2 },
    Cut { mkfs: "mkfs.ext4 -q -F", flag: 1 },
    // No smaller one is to be had.
    Cut { mkfs: "mkfs.xfs -q -f", flag: 2 },
    Cut { mkfs: "mkfs.xfs -q -f", flag: 1 },
];

impl Cut {
    fn size(self) -> &'static str {
        if self.mkfs.starts_with("mkfs.xfs") { "320M" } else { "24M" }
    }

    /// `_IOR('X', 125, __u32)` on whatever is mounted at `disk`.
    fn command(self) -> String {
        format!(
            r#"perl -e 'sysopen(F, "disk", 0) or die; my $how = pack("L", {}); ioctl(F, 0x8004587d, $how) or die "cut: $!"'"#,
            self.flag
        )
    }
}

/// What is done when the power fails; `one` and `three` are releases, `three` is live.
const COMMANDS: [&str; 4] = [
    "release-mk -q --root disk/root --from v4 --name four",
    "release-switch -q --root disk/root --to one",
    "release-switch -q --root disk/root --rollback",
    "release-pin -q --root disk/root one --for 10days --reason audit",
];

/// A script in a mount namespace of its own.
fn mounting(shop: &Shop, script: &str) -> Run {
    shop.pipe(script).under(["unshare", "--mount", "--propagation=private"]).run()
}

/// A file system with three good releases, in the file `golden`, and a copy of its root; nothing where none can be had.
fn golden(cut: Cut) -> Option<Shop> {
    let shop = Shop::in_memory();
    for name in ["v1", "v4"] {
        shop.source(name);
    }
    let (mkfs, size) = (cut.mkfs, cut.size());
    let script = format!(
        "set -e; mkdir disk; truncate -s {size} golden; {mkfs} golden; mount -o loop golden disk; \
         for id in one two three; do release-mk -q --root disk/root --from v1 --name $id | release-switch -q \
         | release-switch -q --undo >/dev/null; done; cp -a disk/root root; umount disk; \
         cp --sparse=always golden image; mount -o loop image disk; {}; umount disk; rm image",
        cut.command()
    );
    let program = mkfs.split(' ').next().expect("a program");
    (skip::is_root() && skip::has("perl") && skip::has(program) && skip::has("strace"))
        .then(|| (mounting(&shop, &script).status == 0).then_some(shop))
        .flatten()
}

/// Runs a command, kills it at a call, cuts the power and leaves in `root` what a machine that starts again finds.
fn cut_at(shop: &Shop, cut: Cut, command: &str, call: &str, n: usize) -> Run {
    cut_with(shop, cut, command, &format!("-e trace={call} -e inject={call}:signal=KILL:when={n}"))
}

fn cut_with(shop: &Shop, cut: Cut, command: &str, inject: &str) -> Run {
    let script = format!(
        "cp --sparse=always golden image && mount -o loop image disk || exit 99\n\
         strace -f -qq -o calls {inject} {command} >record; status=$?\n\
         {}; umount disk && mount -o loop image disk || exit 99\n\
         rm -rf root; cp -a disk/root root; umount disk; exit $status",
        cut.command()
    );
    mounting(shop, &script)
}

/// Whether what a command said that it did is there.
fn is_done(shop: &Shop, command: &str) -> bool {
    match command {
        _ if command.contains("--name four") => shop.releases().contains(&"four".to_owned()),
        _ if command.contains("--to one") => shop.current().as_deref() == Some("one"),
        _ if command.contains("--rollback") => shop.current().as_deref() == Some("two"),
        _ => shop.root().join(".cutover/pins/one.json").is_file(),
    }
}

/// What the machine finds: whole releases, links that resolve, and whatever was acknowledged.
fn holds_after(shop: &Shop, checker: &Checker, command: &str, run: &Run) {
    let at_once = checker.violations();
    // Which line of the history reached the disk together with a link is told by the next tool that takes the lock.
    let broken: Vec<_> = at_once.iter().filter(|violation| violation.promise != "I6").collect();
    assert!(broken.is_empty(), "{broken:?}\n{run}");
    let live = shop.current().expect("a link");
    if run.status == 0 {
        assert!(is_done(shop, command), "it said that it was done, but after the cut {live} is live\n{run}");
    } else {
        run.exits(137);
        assert!(
            live == "three" || command.contains("--to one") && live == "one" || command.contains("--rollback"),
            "{run}"
        );
    }
    shop.pipe("release-gc --root $ROOT -n -q --keep 5 --keep-failed 0 --keep-unused 0s").awaited().run().exits(0);
    checker.holds(format!("after a collection\n{run}"));
    assert_eq!(checker.debris(), [], "after a collection\n{run}");
}

/// Cuts the power when each command has ended, and at every `step`th call of it.
fn survives(cut: Cut, step: Option<usize>) {
    let Some(shop) = golden(cut) else {
        skip::note(&format!("I3, {cut:?}: a power cut needs root, strace, perl, a loop device and the file system"));
        return;
    };
    let checker = Checker::of(&shop.root());
    let mut points = 0;
    for command in COMMANDS {
        for call in CHANGING.into_iter().filter(|_| step.is_some()) {
            for n in (1..).step_by(step.unwrap_or(1)) {
                let run = cut_at(&shop, cut, command, call, n);
                let came_in_time =
                    fs::read_to_string(shop.path().join("calls")).is_ok_and(|calls| calls.contains("killed by"));
                if !came_in_time {
                    break;
                }
                holds_after(&shop, &checker, command, &run);
                points += 1;
            }
        }
        let run = cut_at(&shop, cut, command, "write", 10_000);
        run.exits(0);
        holds_after(&shop, &checker, command, &run);
        points += 1;
    }
    tell("I3", points, 0);
    assert!(points >= 4, "only {points} points");
}

#[test]
fn what_was_acknowledged_survives_it_and_nothing_is_half_visible() {
    let [first, others @ ..] = CUTS;
    survives(first, Some(Tier::asked().of(8, 3, 1)));
    for cut in others {
        survives(cut, Tier::asked().of(None, Some(8), Some(1)));
    }
}

/// A disk that says yes and does nothing is what a tool without its syncs would be.
#[test]
fn a_tool_that_did_not_sync_would_be_noticed() {
    let cut = CUTS[0];
    let Some(shop) = golden(cut) else { skip!("a power cut needs root, strace, perl and a loop device with ext4") };
    for command in COMMANDS {
        let syncs = "fsync,fdatasync,syncfs";
        let run = cut_with(&shop, cut, command, &format!("-e trace={syncs} -e inject={syncs}:retval=0"));
        run.exits(0);
        assert!(!is_done(&shop, command), "without a sync it is there all the same\n{run}");
    }
}
