//! signal: a pid file and signals, for servers that take up a release by themselves: gunicorn, unicorn, puma.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use process::{Waited, Watched};
use record::Failure;
use rustix::process::Signal;

use super::handover::{self, Handover};
use super::{Act, Condition, Expect, Inspection, Manager, PATIENCE, SETTLING, State, refused, timed_out};
use crate::instance::Instance;
use crate::managers::exec::{Exec, Verb};
use crate::pidfile::{self, PidFile};
use crate::sequence::{Move, Sequence, name};
use crate::template::Template;

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
        if let Some(ending) = sequence.ending_signal().filter(|_| sequence.hands_over()) {
            handover::end_leftovers(instance, &path, &old, ending, deadline)?;
        }
        let handover = Handover::before(instance, &path, &old)?;
        let mut sent = Vec::new();
        let mut new: Option<Watched> = None;
        for step in &sequence.0 {
            if let Some(new) = &new
                && new.has_ended()?
            {
                call_back(&old, &sent);
                return Err(handover.down(new));
            }
            match *step {
                Move::Send(signal) => {
                    if !old.signal(signal)? {
                        let pid = old.pid();
                        bail!(refused(format!("process {pid} of {instance} ended before it got {}", name(signal))));
                    }
                    sent.push(signal);
                }
                Move::Pause(pause) => {
                    old.wait_end((Instant::now() + pause).min(deadline), None)?;
                }
                Move::WaitNew => new = Some(handover.wait_new(deadline).inspect_err(|_| call_back(&old, &sent))?),
            }
        }
        if sequence.ends_the_old() && old.wait_end(deadline, None)? != Waited::Ended {
            bail!(timed_out(format!("process {} of {instance} did not end after {}", old.pid(), sent_words(&sent))));
        }
        match &new {
            Some(new) => wait_named(instance, &path, new, &handover, deadline),
            None => Ok(()),
        }
    }
}

/// The pid file must name the new process in the end, or the next restart would find the wrong one.
fn wait_named(
    instance: &Instance,
    path: &Path,
    new: &Watched,
    handover: &Handover<'_>,
    deadline: Instant,
) -> Result<()> {
    loop {
        if matches!(pidfile::read(path), Ok(PidFile::Running(identity)) if identity.pid == new.pid()) {
            return Ok(());
        }
        if new.wait_end(Instant::now() + POLL, None)? == Waited::Ended {
            return Err(handover.down(new));
        }
        if Instant::now() >= deadline {
            bail!(timed_out(format!("{} does not name the new process {} of {instance}", path.display(), new.pid())));
        }
    }
}

/// Without a successor the old process, still there, gets its workers back if they were sent away.
fn call_back(old: &Watched, sent: &[Signal]) {
    if sent.contains(&Signal::WINCH) {
        // Unicorn and gunicorn: HUP starts the workers again.
        let _ = old.signal(Signal::HUP);
    }
}

fn sent_words(sent: &[Signal]) -> String {
    sent.iter().map(|signal| name(*signal)).collect::<Vec<_>>().join(", ")
}

impl Manager for Signals {
    fn inspect(&self, instances: &[Instance], act: Option<Act>) -> Result<Inspection> {
        pidfile::are_distinct(&self.pidfile, instances)?;
        let states = instances.iter().map(|instance| self.state(instance)).collect::<Result<Vec<_>>>()?;
        let down = instances.iter().zip(&states).find(|(_, state)| state.is_down());
        if let Some((instance, _)) = down
            && act.is_some_and(|act| act != Act::Stop)
            && !self.exec.commands.contains_key(&Verb::Start)
        {
            let path = self.path(instance)?;
            let why = if path.exists() { "names no running process" } else { "is not there" };
            bail!(refused(format!("{instance} does not run, and a signal cannot start it")).hint(format!(
                "its pid file {} {why}; if that is the right one, say how it is started: --command 'start=COMMAND'",
                path.display()
            )));
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

    fn unseen(&self, instance: &Instance) -> Result<Option<Failure>> {
        Ok(pidfile::missing(&self.path(instance)?, instance))
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
