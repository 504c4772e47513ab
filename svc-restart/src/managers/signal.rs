//! signal: a pid file and signals, for servers that re-execute themselves: gunicorn, unicorn, puma.
//!
//! A server that hands over starts its new main process itself. Where that writes its number differs:
//! unicorn moves the old pid file to `FILE.oldbin`, gunicorn writes `FILE.2` and renames it once the old
//! one is gone, others only fork. So the new process is looked for in the files and among the children.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use process::{Waited, Watched};
use record::{Exit, Failure};
use rustix::process::Signal;

use super::{Act, Condition, Expect, Inspection, Manager, PATIENCE, SETTLING, State, refused, timed_out};
use crate::instance::Instance;
use crate::managers::exec::{Exec, Verb};
use crate::pidfile::{self, PidFile};
use crate::sequence::{Move, Sequence, name};
use crate::template::Template;
use crate::watch;

/// Processes known by their pid files.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Where the main process writes its number.
    pub(crate) pidfile: Template,
    /// What a restart or a reload is.
    pub(crate) sequence: Sequence,
    /// What a stop is.
    pub(crate) stop: Sequence,
    /// The commands given besides; signals cannot start what is down.
    pub(crate) exec: Exec,
}

/// How long after the end of a child that never became a main process the attempt counts as failed.
const GONE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

impl Signals {
    fn path(&self, instance: &Instance) -> Result<PathBuf> {
        Ok(self.pidfile.fill(Some(instance)).map_err(anyhow::Error::msg)?.into())
    }

    fn watched(&self, instance: &Instance, state: &State) -> Result<Watched> {
        let identity = state.process.with_context(|| format!("{instance} does not run"))?;
        match Watched::of(identity.pid)? {
            Some(watched) if watched.start_time() == identity.start_ticks => Ok(watched),
            _ => bail!(refused(format!("process {} of {instance} has ended by itself", identity.pid))),
        }
    }

    fn play(&self, instance: &Instance, before: &State, sequence: &Sequence, deadline: Instant) -> Result<()> {
        let old = self.watched(instance, before)?;
        let path = self.path(instance)?;
        let had_children = !children(old.pid())?.is_empty();
        let earlier = related(&path, old.pid())?;
        let mut sent = Vec::new();
        let mut new: Option<Watched> = None;
        for step in &sequence.0 {
            if let Some(new) = &new
                && new.has_ended()?
            {
                return Err(self.call_back(instance, &old, &sent, new.pid()));
            }
            match *step {
                Move::Send(signal) => {
                    if !old.signal(signal)? {
                        bail!(refused(format!(
                            "process {} of {instance} ended before it got {}",
                            old.pid(),
                            name(signal)
                        )));
                    }
                    sent.push(signal);
                }
                Move::Pause(pause) => {
                    old.wait_end((Instant::now() + pause).min(deadline), None)?;
                }
                Move::WaitNew => new = Some(wait_new(instance, &path, &old, &earlier, had_children, deadline)?),
            }
        }
        if sequence.ends_the_old() && old.wait_end(deadline, None)? != Waited::Ended {
            bail!(timed_out(format!("process {} of {instance} did not end after {}", old.pid(), sent_words(&sent))));
        }
        match &new {
            Some(new) => self.wait_renamed(instance, new, deadline),
            None => Ok(()),
        }
    }

    /// The pid file must name the new process in the end, or the next restart would find the wrong one.
    fn wait_renamed(&self, instance: &Instance, new: &Watched, deadline: Instant) -> Result<()> {
        let path = self.path(instance)?;
        loop {
            if matches!(pidfile::read(&path), Ok(PidFile::Running(identity)) if identity.pid == new.pid()) {
                return Ok(());
            }
            if new.wait_end(Instant::now() + POLL, None)? == Waited::Ended {
                return Err(down(instance, new.pid()).into());
            }
            if Instant::now() >= deadline {
                bail!(timed_out(format!(
                    "{} does not name the new process {} of {instance}",
                    path.display(),
                    new.pid()
                )));
            }
        }
    }

    /// The new process is gone: the old one, still there, gets its workers back if they were sent away.
    fn call_back(&self, instance: &Instance, old: &Watched, sent: &[Signal], new: u32) -> anyhow::Error {
        if sent.contains(&Signal::WINCH) {
            // Unicorn and gunicorn: HUP starts the workers again.
            let _ = old.signal(Signal::HUP);
        }
        anyhow::Error::from(down(instance, new))
    }
}

fn down(instance: &Instance, new: u32) -> Failure {
    Failure::new(Exit::Unhealthy, "restart.down", format!("the new process {new} of {instance} did not stay up"))
        .hint("the old process was not ended")
        .blame_release()
}

fn sent_words(sent: &[Signal]) -> String {
    sent.iter().map(|signal| name(*signal)).collect::<Vec<_>>().join(", ")
}

/// Waits for a new main process that has its children too, if the old one had any, and that stays.
fn wait_new(
    instance: &Instance,
    path: &Path,
    old: &Watched,
    earlier: &[u32],
    had_children: bool,
    deadline: Instant,
) -> Result<Watched> {
    let mut found: Option<(Watched, Option<Instant>)> = None;
    let workers = children(old.pid())?;
    let mut attempt: Option<(Watched, Option<Instant>)> = None;
    loop {
        if let Some((new, ready_since)) = &mut found {
            if new.has_ended()? {
                return Err(down(instance, new.pid()).into());
            }
            let ready = !had_children || !children(new.pid())?.is_empty();
            match ready_since {
                Some(since) if ready && since.elapsed() >= SETTLING => break,
                Some(_) if ready => {}
                since => *since = ready.then(Instant::now),
            }
        } else if let Some(pid) = related(path, old.pid())?.into_iter().find(|pid| !earlier.contains(pid)) {
            found = Watched::of(pid)?.map(|new| (new, None));
        } else if let Some((child, ended_at)) = &mut attempt {
            if child.has_ended()? && ended_at.get_or_insert_with(Instant::now).elapsed() >= GONE {
                return Err(down(instance, child.pid()).into());
            }
        } else if let Some(pid) = children(old.pid())?.into_iter().find(|pid| !workers.contains(pid)) {
            attempt = Watched::of(pid)?.map(|child| (child, None));
        }
        if Instant::now() >= deadline {
            let message = format!("no new process of {instance} was ready in time");
            return Err(match found {
                // It is there and does not get ready: its own answer.
                Some(_) => Failure::new(Exit::Unhealthy, "restart.down", message).blame_release().into(),
                None => timed_out(message).into(),
            });
        }
        if old.wait_end(Instant::now() + POLL, None)? == Waited::Ended {
            bail!(
                Failure::new(
                    Exit::Unhealthy,
                    "restart.down",
                    format!("the old process of {instance} ended before a new one was ready")
                )
                .blame_release()
            );
        }
    }
    found.map(|(new, _)| new).context("a new process")
}

/// The processes that may be a new main process: those the pid files name and the old one's children.
fn related(path: &Path, old: u32) -> Result<Vec<u32>> {
    let second = PathBuf::from(format!("{}.2", path.display()));
    let named = [path, &second].into_iter().filter_map(|path| match pidfile::read(path) {
        Ok(PidFile::Running(identity)) => Some(identity.pid),
        _ => None,
    });
    let mut pids: Vec<u32> = named.filter(|pid| *pid != old).collect();
    // A worker that is replaced is a new child too, but only a main process has children of its own.
    for child in children(old)? {
        if !pids.contains(&child) && !children(child)?.is_empty() {
            pids.push(child);
        }
    }
    Ok(pids)
}

/// The living children of a process.
fn children(pid: u32) -> Result<Vec<u32>> {
    watch::children(pid)
}

impl Manager for Signals {
    fn inspect(&self, instances: &[Instance], act: Act) -> Result<Inspection> {
        let states = instances.iter().map(|instance| self.state(instance)).collect::<Result<Vec<_>>>()?;
        let down = instances.iter().zip(&states).find(|(_, state)| state.is_down());
        if let Some((instance, _)) = down
            && act != Act::Stop
            && !self.exec.commands.contains_key(&Verb::Start)
        {
            bail!(
                refused(format!("{instance} does not run, and a signal cannot start it"))
                    .hint("say how it is started: --command 'start=COMMAND'")
            );
        }
        Ok(Inspection { states, ..Inspection::default() })
    }

    fn state(&self, instance: &Instance) -> Result<State> {
        Ok(match pidfile::read(&self.path(instance)?)? {
            PidFile::Running(identity) => {
                State { condition: Condition::Running, process: Some(identity), ..State::default() }
            }
            PidFile::Nobody => State { condition: Condition::Stopped, ..State::default() },
        })
    }

    fn act(&self, act: Act, instance: &Instance, before: &State, deadline: Instant) -> Result<Expect> {
        match act {
            Act::Start => self.exec.act(act, instance, before, deadline),
            Act::Stop => {
                self.play(instance, before, &self.stop, deadline)?;
                Ok(Expect::Down)
            }
            Act::Restart | Act::Reload => {
                self.play(instance, before, &self.sequence, deadline)?;
                Ok(if self.sequence.ends_the_old() { Expect::NewProcess } else { Expect::Up })
            }
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn settling(&self, _instance: &Instance) -> Duration {
        SETTLING
    }
}
