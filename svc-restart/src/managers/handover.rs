//! A server that starts its own successor: the new main process is found, and watched until it is ready.
//!
//! Where a new main process writes its number differs: unicorn moves the old pid file to `FILE.oldbin`,
//! gunicorn writes `FILE.2` and renames it once the old one is gone, others only fork. So it is looked
//! for in the files and among the children.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use process::{Waited, Watched};
use record::{Exit, Failure};
use rustix::process::Signal;

use super::timed_out;
use crate::instance::Instance;
use crate::pidfile::{self, PidFile};
use crate::watch::children;

/// A handover that has begun.
pub(super) struct Handover<'h> {
    instance: &'h Instance,
    path: &'h Path,
    old: &'h Watched,
    /// Main processes that were there before it began.
    earlier: Vec<u32>,
    /// The old process's own children when it began.
    workers: Vec<u32>,
}

/// A new main process and what its workers have done so far.
struct Successor {
    process: Watched,
    workers: Vec<u32>,
    since: Instant,
    losses: usize,
}

/// How often the files and /proc are looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long after the end of a child that never became a main process the attempt counts as failed.
const GONE: Duration = Duration::from_secs(2);
/// For how long the workers of a new main process must be the same ones. Some die again and again while
/// their main process lives on.
const STEADY: Duration = Duration::from_secs(1);
/// After the end of so many of them they are not going to stay.
const LOSSES: usize = 12;
/// How long a successor that is not wanted gets to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Ends what a killed run left of its handover, or the server refuses another one: a successor that did not
/// become the only one (gunicorn's `FILE.2`), or a predecessor that was not told to end (unicorn's `FILE.oldbin`).
pub(super) fn end_leftovers(
    instance: &Instance,
    path: &Path,
    current: &Watched,
    ending: Signal,
    deadline: Instant,
) -> Result<()> {
    for suffix in ["2", "oldbin"] {
        let beside = PathBuf::from(format!("{}.{suffix}", path.display()));
        let Ok(PidFile::Running(identity)) = pidfile::read(&beside) else { continue };
        let Some(leftover) = Watched::of(identity.pid)?.filter(|found| found.pid() != current.pid()) else { continue };
        // Workers that were sent away already come back on HUP; until then the leftover's are the only ones.
        let has_workers = || Ok::<_, anyhow::Error>(children(current.pid())?.iter().any(|pid| *pid != leftover.pid()));
        if !has_workers()? {
            current.signal(Signal::HUP)?;
            while !has_workers()? && Instant::now() < deadline {
                leftover.wait_end(Instant::now() + POLL, None)?;
            }
        }
        leftover.signal(ending)?;
        if leftover.wait_end(deadline, None)? != Waited::Ended {
            let message = format!("process {} of {instance} is left of a handover and does not end", leftover.pid());
            return Err(timed_out(message).into());
        }
    }
    Ok(())
}

impl<'h> Handover<'h> {
    /// What there is before the old process is told to start its successor.
    pub(super) fn before(instance: &'h Instance, path: &'h Path, old: &'h Watched) -> Result<Self> {
        let (earlier, workers) = (main_processes(path, old.pid())?, children(old.pid())?);
        Ok(Self { instance, path, old, earlier, workers })
    }

    /// Waits for a new main process with workers that stay, if the old one has any. One that is there and
    /// does not get ready is ended: the old one goes on.
    pub(super) fn wait_new(&self, deadline: Instant) -> Result<Watched> {
        let mut successor: Option<Successor> = None;
        let mut attempt: Option<(Watched, Option<Instant>)> = None;
        loop {
            match &mut successor {
                Some(new) => {
                    if new.process.has_ended()? {
                        return Err(self.down(&new.process));
                    }
                    if new.is_ready(self.workers.is_empty())? {
                        break;
                    }
                    if new.losses >= LOSSES {
                        return Err(self.dismiss(new, "its workers end again and again"));
                    }
                }
                None => successor = self.find()?,
            }
            if successor.is_none() && self.has_failed(&mut attempt)? {
                let child = attempt.map_or(0, |(child, _)| child.pid());
                return Err(self.no(format!("the new process {child} of {} did not stay up", self.instance)));
            }
            if Instant::now() >= deadline {
                return Err(match &successor {
                    Some(new) => self.dismiss(new, "it was not ready in time"),
                    None => timed_out(format!("no new process of {} came up in time", self.instance)).into(),
                });
            }
            if self.old.wait_end(Instant::now() + POLL, None)? == Waited::Ended {
                return Err(self.no(format!("the old process of {} ended before a new one was ready", self.instance)));
            }
        }
        successor.map(|new| new.process).ok_or_else(|| anyhow::anyhow!("a new process of {}", self.instance))
    }

    /// The new main process is not up any more.
    pub(super) fn down(&self, new: &Watched) -> anyhow::Error {
        self.no(format!("the new process {} of {} did not stay up", new.pid(), self.instance))
    }

    fn find(&self) -> Result<Option<Successor>> {
        let Some(pid) = main_processes(self.path, self.old.pid())?.into_iter().find(|pid| !self.earlier.contains(pid))
        else {
            return Ok(None);
        };
        let new = Watched::of(pid)?;
        Ok(new.map(|process| Successor { process, workers: Vec::new(), since: Instant::now(), losses: 0 }))
    }

    /// Whether a child that may have become the new main process ended without having become one.
    fn has_failed(&self, attempt: &mut Option<(Watched, Option<Instant>)>) -> Result<bool> {
        if let Some((child, ended_at)) = attempt {
            return Ok(child.has_ended()? && ended_at.get_or_insert_with(Instant::now).elapsed() >= GONE);
        }
        if let Some(pid) = children(self.old.pid())?.into_iter().find(|pid| !self.workers.contains(pid)) {
            *attempt = Watched::of(pid)?.map(|child| (child, None));
        }
        Ok(false)
    }

    fn dismiss(&self, new: &Successor, why: &str) -> anyhow::Error {
        let ended =
            new.process.signal(Signal::TERM).and_then(|_| new.process.wait_end(Instant::now() + FAREWELL, None));
        if !matches!(ended, Ok(Waited::Ended)) {
            let _ = new.process.signal(Signal::KILL);
        }
        self.no(format!("the new process {} of {} was ended: {why}", new.process.pid(), self.instance))
    }

    fn no(&self, message: String) -> anyhow::Error {
        let failure = Failure::new(Exit::Unhealthy, "restart.down", message).blame_release();
        match self.old.has_ended() {
            Ok(false) => failure.hint(format!("the old process {} goes on", self.old.pid())).into(),
            _ => failure.into(),
        }
    }
}

impl Successor {
    fn is_ready(&mut self, alone: bool) -> Result<bool> {
        let workers = children(self.process.pid())?;
        if workers != self.workers {
            self.losses += self.workers.iter().filter(|worker| !workers.contains(worker)).count();
            self.workers = workers;
            self.since = Instant::now();
        }
        Ok((alone || !self.workers.is_empty()) && self.since.elapsed() >= STEADY)
    }
}

/// The processes that may be a new main process: those the pid files name, and children with children. A
/// worker that is replaced is a new child too, but has none of its own.
fn main_processes(path: &Path, old: u32) -> Result<Vec<u32>> {
    let second = PathBuf::from(format!("{}.2", path.display()));
    let named = [path, &second].into_iter().filter_map(|path| match pidfile::read(path) {
        Ok(PidFile::Running(identity)) => Some(identity.pid),
        _ => None,
    });
    let mut pids: Vec<u32> = named.filter(|pid| *pid != old).collect();
    for child in children(old)? {
        if !pids.contains(&child) && !children(child)?.is_empty() {
            pids.push(child);
        }
    }
    Ok(pids)
}
