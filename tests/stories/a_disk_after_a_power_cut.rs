//! Every disk that a power cut could leave: the writes of a real ext4, logged block by block, replayed up to a place and
//! with any part of what was not flushed. What was acknowledged is there, nothing is half-visible.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::Duration;

use stories::disk::{Log, chance};
use stories::faults::{Tier, tell};
use stories::{Checker, Run, Shop, binaries, skip};

/// What is done, one after the other; `one`, `two` and `three` are releases then, `three` is live. Two at once count as one.
const STEPS: [&str; 8] = [
    "release-mk --root $D --from v4 --name four | release-switch | release-switch --undo",
    "release-switch -n --root $D --to one",
    "release-pin -n --root $D two --for 10days --reason audit",
    "release-switch --root $D --rollback",
    // Nobody listens there: the release's own answer is no, and the pipe is taken back.
    "release-mk --root $D --from v1 --name five | release-switch | svc-health tcp://127.0.0.1:1 | release-switch --undo",
    "release-gc -n --root $D --keep 1 --keep-failed 0 --keep-unused 0s",
    "release-mk --root $D --from v4 --name six | release-switch --root $D & release-mk --root $D --from v1 --name seven; wait",
    "release-pin -n --root $D two --remove",
];

/// The state of a root as somebody sees it who looks at its directories.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    live: String,
    releases: BTreeSet<String>,
    pins: BTreeSet<String>,
    history: usize,
}

/// A mark as the script makes it: `LIVE;RELEASES;PINS;BYTES OF HISTORY`.
fn seen(mark: &str) -> Seen {
    let mut parts = mark.split(';');
    let mut part = || parts.next().unwrap_or_default().trim().to_owned();
    let names = |text: String| text.split_whitespace().map(str::to_owned).collect();
    Seen { live: part(), releases: names(part()), pins: names(part()), history: part().parse().unwrap_or(0) }
}

const LOOK: &str = r#"look() { echo "$(readlink $D/current);" $(ls $D/releases) ";" $(ls $D/.cutover/pins) ";" $(wc -c <$D/.cutover/history.jsonl); }"#;

/// What was logged while the steps ran. The file system does nothing of itself for five minutes, so that what is on the
/// disk is there because a tool asked for it.
struct Logged {
    shop: Shop,
    log: Log,
    states: Vec<Seen>,
    history: Vec<u8>,
    checker: Checker,
}

fn mounting(shop: &Shop, script: &str) -> Run {
    let pipe = shop.pipe(script).under(["unshare", "--mount", "--propagation=private"]);
    pipe.env("D", "disk/root").deadline(Duration::from_secs(120)).run()
}

/// Runs the steps, each behind `before`, on a disk that is logged. `None` where there is no such disk.
fn logged(before: &str) -> Option<Logged> {
    if !(skip::is_root() && skip::has("mkfs.ext4") && std::path::Path::new("/dev/fuse").exists()) {
        return None;
    }
    let shop = Shop::in_memory();
    for name in ["v1", "v4"] {
        shop.source(name);
    }
    let begin = format!(
        "set -e; mkdir disk fuse; truncate -s 24M image; mkfs.ext4 -q -F image; mount -o loop image disk\n\
         for id in one two three; do release-mk --root $D --from v1 --name $id | release-switch | release-switch --undo; done\n\
         cp -a $D root; umount disk; cp --sparse=always image golden\n\
         {0} image log fuse & until [ -e fuse/disk ]; do kill -0 $!; sleep 0.01; done\n\
         mount -o loop,commit=300 fuse/disk disk; {LOOK}; look >fuse/mark\n",
        binaries::directory().join("shop-disk").display()
    );
    let steps: String =
        STEPS.iter().map(|step| format!("{before} dash -c '{step}' >>told 2>&1 || :; look >fuse/mark\n")).collect();
    let end = "cp $D/.cutover/history.jsonl .; umount disk; umount fuse; wait";
    let run = mounting(&shop, &format!("{begin}{steps}{end}"));
    if run.status != 0 {
        skip::note(&format!("a logged disk cannot be had here: {}", run.stderr));
        return None;
    }
    let log = Log::read(&shop.path().join("log")).expect("the log");
    let states: Vec<_> = log.marks(log.0.len()).into_iter().map(seen).collect();
    assert_eq!(states.len(), STEPS.len() + 1, "{states:?}\n{run}");
    let history = fs::read(shop.path().join("history.jsonl")).expect("the history");
    let checker = Checker::of(&shop.root());
    Some(Logged { shop, log, states, history, checker })
}

impl Logged {
    /// What a machine finds that starts again after a cut; what is wrong with it.
    fn after(&self, at: usize, kept: impl FnMut() -> bool) -> Vec<String> {
        let image = self.shop.path().join("image");
        fs::copy(self.shop.path().join("golden"), &image).expect("copy the disk");
        let file = File::options().write(true).open(&image).expect("open the disk");
        self.log.replay(&file, at, kept).expect("write the disk");
        drop(file);
        let script = "rm -rf root; mount -o loop image disk && cp -a disk/root root && umount disk";
        let run = mounting(&self.shop, script);
        if run.status != 0 {
            return vec![format!("the disk cannot be mounted: {run}")];
        }
        let done = self.log.marks(at).len();
        let mut wrong = if done == 0 { Vec::new() } else { self.lost(done - 1) };
        let at_once = self.checker.violations();
        // Which line of the history reached the disk with the link is told by the next tool that takes the lock.
        wrong.extend(at_once.iter().filter(|broken| broken.promise != "I6").map(ToString::to_string));
        let run =
            self.shop.pipe("release-gc --root $ROOT -n --keep 9 --keep-failed 0 --keep-unused 0s").awaited().run();
        if run.status != 0 {
            wrong.push(format!("a collection afterwards: {run}"));
        }
        wrong.extend(self.checker.violations().iter().map(|broken| format!("after a collection {broken}")));
        wrong.extend(self.checker.debris().iter().map(ToString::to_string));
        wrong
    }

    /// What was acknowledged and is not there; the step behind the last mark may have done any part of its work.
    fn lost(&self, last: usize) -> Vec<String> {
        let (before, after) = (&self.states[last], self.states.get(last + 1).unwrap_or(&self.states[last]));
        let (shop, mut wrong) = (&self.shop, Vec::new());
        let there: BTreeSet<String> = shop.releases().into_iter().collect();
        let pins = fs::read_dir(shop.root().join(".cutover/pins")).into_iter().flatten().flatten();
        let pins: BTreeSet<String> = pins.map(|pin| pin.file_name().to_string_lossy().into_owned()).collect();
        for (what, there, before, after) in
            [("release", &there, &before.releases, &after.releases), ("pin", &pins, &before.pins, &after.pins)]
        {
            wrong.extend(
                before.intersection(after).filter(|id| !there.contains(*id)).map(|id| format!("{what} {id} is lost")),
            );
            let made = before.union(after).collect::<BTreeSet<_>>();
            // A release that was begun and taken back is in neither.
            let strange = there.iter().filter(|id| !(made.contains(id) || what == "pin" && id.starts_with('.')));
            wrong.extend(strange.map(|id| format!("{what} {id} is there")));
        }
        let live = fs::read_link(shop.root().join("current")).unwrap_or_default().display().to_string();
        let taken_back = STEPS.get(last).is_some_and(|step| step.contains("--undo")) && live == "releases/five";
        if live != before.live && live != after.live && !taken_back {
            wrong.push(format!("{live} is live, not {} or {}", before.live, after.live));
        }
        let history = fs::read(shop.root().join(".cutover/history.jsonl")).unwrap_or_default();
        if !history.starts_with(&self.history[..before.history]) {
            wrong.push("a line of the history that was acknowledged is lost".to_owned());
        }
        wrong
    }

    /// Replays as many cuts as asked for: every one whole, and with `choices` choices of what was not flushed.
    fn replayed(&self, most: usize, choices: u64) -> (usize, Vec<String>) {
        let cuts = self.log.cuts();
        let (mut points, mut wrong) = (0, Vec::new());
        for (nth, at) in cuts.iter().enumerate().step_by((cuts.len() / most).max(1)) {
            for choice in 0..=choices {
                let mut chance = chance(nth as u64 * 1_000 + choice);
                let found = self.after(*at, || choice == 0 || chance());
                wrong.extend(
                    found.into_iter().map(|what| format!("cut {nth} of {}, choice {choice}: {what}", cuts.len())),
                );
                points += 1;
            }
        }
        (points, wrong)
    }
}

#[test]
fn whatever_part_of_the_unflushed_writes_is_lost_what_was_acknowledged_is_there() {
    let Some(logged) = logged("") else { skip!("a logged disk needs root, /dev/fuse, loop devices and mkfs.ext4") };
    let (most, choices) = Tier::asked().of((20, 1), (100, 1), (10_000, 8));
    let (points, wrong) = logged.replayed(most, choices);
    for promise in ["I1", "I2", "I3", "I6", "I7"] {
        tell(promise, points, wrong.len());
    }
    skip::measured(&format!("{points} disks after a power cut, of a log of {} writes", logged.log.cuts().len()));
    assert!(wrong.is_empty(), "{} of {points}: {}", wrong.len(), wrong[..wrong.len().min(8)].join("\n"));
    assert!(points >= 20, "only {points} points");
}

/// The same by tools whose syncs do nothing: it must show.
#[test]
fn tools_that_did_not_sync_would_be_noticed_on_some_disk() {
    if !skip::has("strace") {
        skip!("strace is missing");
    }
    let syncs = "fsync,fdatasync,syncfs";
    let before = format!("strace -f -qq -o /dev/null -e trace={syncs} -e inject={syncs}:retval=0");
    let mut points = 0;
    // Whoever syncs every file system of this machine meanwhile does what the tools did not do; so more than once.
    for most in [12, 48, 192] {
        let Some(logged) = logged(&before) else {
            skip!("a logged disk needs root, /dev/fuse, loop devices and mkfs.ext4")
        };
        let (tried, wrong) = logged.replayed(most, 1);
        points += tried;
        if !wrong.is_empty() {
            return;
        }
    }
    panic!("of {points} disks none lost anything");
}
