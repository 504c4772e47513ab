//! The power fails at any moment, on a real ext4: what was acknowledged is there, and nothing is half-visible.
//!
//! The file system is shut down as a power cut would (`EXT4_IOC_SHUTDOWN` without flushing its log) right after the
//! tool was killed at a system call, or had said that it was done; then it is mounted again, which replays its log.

use std::fs;

use stories::faults::{CHANGING, Tier, tell};
use stories::{Checker, Run, Shop, skip};

/// `_IOR('X', 125, __u32)` with `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const CUT: &str =
    r#"perl -e 'sysopen(F, "disk", 0) or die; my $how = pack("L", 2); ioctl(F, 0x8004587d, $how) or die "cut: $!"'"#;

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
fn golden() -> Option<Shop> {
    let shop = Shop::in_memory();
    for name in ["v1", "v4"] {
        shop.source(name);
    }
    let script = format!(
        "set -e; mkdir disk; truncate -s 24M golden; mkfs.ext4 -q -F golden; mount -o loop golden disk; \
         for id in one two three; do release-mk -q --root disk/root --from v1 --name $id | release-switch -q \
         | release-switch -q --undo >/dev/null; done; cp -a disk/root root; umount disk; \
         cp golden image; mount -o loop image disk; {CUT}; umount disk; rm image"
    );
    (skip::is_root() && skip::has("perl") && skip::has("mkfs.ext4") && skip::has("strace"))
        .then(|| (mounting(&shop, &script).status == 0).then_some(shop))
        .flatten()
}

/// Runs a command, kills it at a call, cuts the power and leaves in `root` what a machine that starts again finds.
fn cut(shop: &Shop, command: &str, call: &str, n: usize) -> Run {
    cut_with(shop, command, &format!("-e trace={call} -e inject={call}:signal=KILL:when={n}"))
}

fn cut_with(shop: &Shop, command: &str, inject: &str) -> Run {
    let script = format!(
        "cp --sparse=always golden image && mount -o loop image disk || exit 99\n\
         strace -f -qq -o calls {inject} {command} >record; status=$?\n\
         {CUT}; umount disk && mount -o loop image disk || exit 99\n\
         rm -rf root; cp -a disk/root root; umount disk; exit $status"
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
    shop.pipe("release-gc --root $ROOT -n -q --keep 5 --keep-failed 0 --keep-unused 0s").run().exits(0);
    checker.holds(format!("after a collection\n{run}"));
    assert_eq!(checker.debris(), [], "after a collection\n{run}");
}

#[test]
fn what_was_acknowledged_survives_it_and_nothing_is_half_visible() {
    let Some(shop) = golden() else { skip!("a power cut needs root, strace, perl and a loop device with ext4") };
    let checker = Checker::of(&shop.root());
    let mut points = 0;
    for command in COMMANDS {
        for call in CHANGING {
            let step = Tier::asked().of(8, 1, 1);
            for n in (1..).step_by(step) {
                let run = cut(&shop, command, call, n);
                let came_in_time =
                    fs::read_to_string(shop.path().join("calls")).is_ok_and(|calls| calls.contains("killed by"));
                if !came_in_time {
                    break;
                }
                holds_after(&shop, &checker, command, &run);
                points += 1;
            }
        }
        let run = cut(&shop, command, "write", 10_000);
        run.exits(0);
        holds_after(&shop, &checker, command, &run);
        points += 1;
    }
    tell("I3", points, 0);
    assert!(points > 12, "only {points} points");
}

/// A disk that says yes and does nothing is what a tool without its syncs would be.
#[test]
fn a_tool_that_did_not_sync_would_be_noticed() {
    let Some(shop) = golden() else { skip!("a power cut needs root, strace, perl and a loop device with ext4") };
    for command in COMMANDS {
        let syncs = "fsync,fdatasync,syncfs";
        let run = cut_with(&shop, command, &format!("-e trace={syncs} -e inject={syncs}:retval=0"));
        run.exits(0);
        assert!(!is_done(&shop, command), "without a sync it is there all the same\n{run}");
    }
}
