//! The operations that faults are tried on: each a command, what goes into it, and what it was to achieve.

use std::sync::OnceLock;

use super::{Fault, Tier};
use crate::{Pipe, Shop};

/// One command of one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// release-mk builds v4.
    Make,
    /// release-switch goes to an older release.
    Switch,
    /// release-switch goes back.
    Rollback,
    /// release-switch takes a failed pipe back.
    Undo,
    /// release-gc removes what is old.
    Collect,
    /// release-pin pins.
    Pin,
}

/// What a shop was made ready with.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// The command, under `exec` and strace.
    pub(super) command: String,
    /// What it reads.
    pub(super) stdin: Option<Vec<u8>>,
    /// The release that is live before.
    pub(super) old: String,
    /// The release that is to be live afterwards.
    pub(super) new: String,
    /// The status that says that it is done.
    pub(super) done: i32,
}

impl Operation {
    /// All of them, the longest first.
    pub const ALL: [Self; 6] = [Self::Make, Self::Collect, Self::Rollback, Self::Undo, Self::Switch, Self::Pin];

    /// The faults that a tier tries on it.
    pub(super) fn faults(self, tier: Tier) -> Vec<Fault> {
        use Fault::{Lasting, Once, Signal};
        let error = if matches!(self, Self::Make | Self::Pin | Self::Rollback) { "ENOSPC" } else { "EIO" };
        let quick = vec![Signal("KILL"), Once(error)];
        let signals = ["KILL", "TERM", "INT", "HUP"].map(Signal);
        let once = ["ENOSPC", "EIO", "EACCES", "EMFILE", "EDQUOT", "EINTR"].map(Once);
        let all = [&signals[..], &once, &["ENOSPC", "EIO"].map(Lasting)].concat();
        tier.of(quick, all.clone(), all)
    }

    /// Makes a shop ready: three good releases, and what the operation needs.
    pub(super) fn prepare(self, shop: &Shop) -> Scene {
        let [first, second, third] = ["v1", "v2", "v3"].map(|name| shop.deploy_well(name));
        shop.source("v4");
        let mut scene = Scene { command: String::new(), stdin: None, old: third.clone(), new: third.clone(), done: 0 };
        match self {
            Self::Make => scene.command = "release-mk -q --root $ROOT --from v4".to_owned(),
            Self::Switch => {
                scene.command = format!("release-switch -q --root $ROOT --to {first}");
                scene.new = first;
            }
            Self::Rollback => {
                scene.command = "release-switch -q --root $ROOT --rollback".to_owned();
                scene.new = second;
            }
            Self::Pin => {
                scene.command = format!("release-pin -q --root $ROOT {first} --for 10days --reason audit");
            }
            Self::Collect => {
                shop.pipe(format!("release-pin -q --root $ROOT {first} --for 10days --reason audit")).run().exits(0);
                // One that goes has a link that leads out of it.
                std::os::unix::fs::symlink(shop.path().join("canary"), shop.path().join("v4/out")).expect("link");
                scene.old = shop.deploy_well("v4");
                shop.deploy_well("v5");
                scene.new = shop.deploy_well("v6");
                scene.old.clone_from(&scene.new);
                scene.command = "release-gc -q --root $ROOT -n --keep 2 --keep-failed 0 --keep-unused 0s".to_owned();
            }
            Self::Undo => {
                // Nobody listens there, so the new release's own answer is no.
                let failed =
                    "release-mk -q --root $ROOT --from v4 | release-switch -q | svc-health -q tcp://127.0.0.1:1";
                let run = shop.pipe(failed).run();
                run.exits(3);
                scene.old = shop.current().expect("a link");
                scene.stdin = Some(run.stdout.into_bytes());
                scene.command = "release-switch -q --undo".to_owned();
                scene.done = 3;
            }
        }
        scene
    }

    /// The command, after words that go before it, fed with what it reads. A collection looks at no more processes
    /// than it must; only a pin is left to find out who reads its record.
    pub(super) fn pipe(self, shop: &Shop, scene: &Scene, before: &str) -> Pipe {
        let pipe = shop.pipe(format!("exec {before} {}", scene.command));
        let pipe = if self == Self::Pin { pipe } else { pipe.awaited() };
        let pipe = match &scene.stdin {
            Some(bytes) => pipe.stdin(bytes.clone()),
            None => pipe,
        };
        if self == Self::Collect { alone(pipe) } else { pipe }
    }
}

/// In a namespace without other processes, where such a one can be had.
pub(super) fn alone(pipe: Pipe) -> Pipe {
    static IS_POSSIBLE: OnceLock<bool> = OnceLock::new();
    let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let is_possible = IS_POSSIBLE.get_or_init(|| crate::skip::succeeds(&[&words[..], &["true"]].concat()));
    if *is_possible { pipe.under(words) } else { pipe }
}
