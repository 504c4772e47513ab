//! Does one act on one instance and verifies from outside what came of it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use process::{Waited, Watched};
use record::{Exit, Failure};

use crate::instance::Instance;
use crate::managers::{Act, Condition, Down, Expect, Fault, Identity, Manager, State, refused, timed_out};
use crate::plan::Step;
use crate::watch::wait_until;

/// How old an answer of the manager may be to count as one of now, while the process itself is watched.
const JUST_NOW: Duration = Duration::from_millis(20);

/// A process that must stay up.
#[derive(Debug)]
pub(crate) struct Risen {
    instance: Instance,
    state: State,
    watched: Option<Watched>,
    seen: Instant,
    settling: Duration,
}

/// Has the manager do it, and waits until the instance is as it should be, at most `timeout`.
///
/// The act itself is not interrupted: an instance in hand is finished.
pub(crate) fn perform(
    manager: &dyn Manager,
    step: &Step,
    stable: Option<Duration>,
    timeout: Duration,
) -> Result<Option<Risen>> {
    let deadline = Instant::now() + timeout;
    let old = match step.before.process {
        Some(Identity { pid, .. }) => Watched::of(pid)?,
        None => None,
    };
    let expect = match manager.act(step.act, &step.instance, &step.before, deadline) {
        Ok(expect) => expect,
        Err(error) => return Err(explained(manager, step, error)),
    };
    if expect == Expect::Done {
        return Ok(None);
    }
    if expect == Expect::Down {
        wait_down(manager, step, old.as_ref(), deadline)?;
        return Ok(None);
    }
    let state = wait_up(manager, step, expect, deadline)?;
    let watched = match state.process {
        Some(Identity { pid, start_ticks }) => {
            let watched = Watched::of(pid)?.filter(|watched| watched.start_time() == start_ticks);
            if watched.is_none() {
                return Err(not_up(
                    &step.instance,
                    &Down { reason: "its process ended".into(), fault: Fault::Release },
                ));
            }
            watched
        }
        None => None,
    };
    let settling = stable.unwrap_or_else(|| manager.settling(&step.instance));
    Ok(Some(Risen { instance: step.instance.clone(), state, watched, seen: Instant::now(), settling }))
}

impl Risen {
    /// Which instance it is.
    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Its main process, where the manager knows it.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.state.process.map(|process| process.pid)
    }

    /// Readable once its process has ended, where it is known.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        self.watched.as_ref().map(AsFd::as_fd)
    }

    /// Whether its process has ended by now.
    pub(crate) fn has_ended(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| watched.has_ended().unwrap_or(false))
    }

    /// Waits until it has been up for as long as it must, counted from when it was first seen, so that
    /// the time of a gate counts; then asks whether it still is that process.
    pub(crate) fn stays_up(&self, manager: &dyn Manager) -> Result<()> {
        let until = self.seen + self.settling;
        match &self.watched {
            Some(watched) => {
                if watched.wait_end(until, None)? == Waited::Ended {
                    return Err(not_up(&self.instance, &self.why_down(manager)));
                }
            }
            None => wait_until(until),
        }
        // Nothing lies between the question that found it up and this one.
        if self.watched.is_some() && self.seen.elapsed() < JUST_NOW {
            return Ok(());
        }
        let now = manager.state(&self.instance)?;
        let same_run = now.differs_from(&self.state) != Some(true) && now.restarts <= self.state.restarts;
        match now.condition {
            Condition::Failed(down) => Err(not_up(&self.instance, &down)),
            Condition::Stopped => {
                Err(not_up(&self.instance, &Down { reason: "it is stopped again".into(), fault: Fault::Release }))
            }
            _ if !same_run => {
                let reason = "its process ended and was started once more".into();
                Err(not_up(&self.instance, &Down { reason, fault: Fault::Release }))
            }
            _ => Ok(()),
        }
    }

    fn why_down(&self, manager: &dyn Manager) -> Down {
        match manager.state(&self.instance).map(|state| state.condition) {
            Ok(Condition::Failed(down)) => Down { fault: Fault::Release, ..down },
            _ => Down { reason: "its process ended".into(), fault: Fault::Release },
        }
    }
}

/// An order that failed: if the manager did try a new process, that is the reason, not the order.
fn explained(manager: &dyn Manager, step: &Step, error: anyhow::Error) -> anyhow::Error {
    if step.act == Act::Stop || error.downcast_ref::<Failure>().is_some_and(|failure| failure.exit() == Exit::Unhealthy)
    {
        return error;
    }
    let Ok(now) = manager.state(&step.instance) else { return error };
    let tried = now.run.is_some() && now.run != step.before.run;
    match now.condition {
        Condition::Failed(down) if tried && down.fault == Fault::Release => not_up(&step.instance, &down),
        // A new process runs and does not get ready: its own answer, not the manager's.
        Condition::Starting if tried && now.process.is_some() => Failure::new(
            Exit::Unhealthy,
            "restart.not_ready",
            format!("{} was started and was not ready in time", step.instance),
        )
        .hint("give it longer with --timeout")
        .blame_release()
        .into(),
        _ => error,
    }
}

fn wait_up(manager: &dyn Manager, step: &Step, expect: Expect, deadline: Instant) -> Result<State> {
    // A daemon that forks may not have written its number yet when the manager returns.
    let patience = deadline.min(Instant::now() + manager.patience());
    loop {
        let now = manager.state(&step.instance)?;
        let is_new = now.differs_from(&step.before);
        match &now.condition {
            Condition::Running | Condition::Unknown => {
                if expect == Expect::Up || is_new != Some(false) {
                    return Ok(now);
                }
                if Instant::now() >= deadline {
                    bail!(
                        refused(format!("{} still runs its old process after {}", step.instance, step.act.word()))
                            .hint("what is asked to restart it did not")
                    );
                }
            }
            Condition::Failed(down) => return Err(not_up(&step.instance, down)),
            Condition::Stopped if Instant::now() >= patience => {
                if let Some(unseen) = manager.unseen(&step.instance)? {
                    bail!(unseen);
                }
                return Err(not_up(&step.instance, &Down { reason: "it is stopped".into(), fault: Fault::Release }));
            }
            Condition::Stopped | Condition::Starting | Condition::Stopping => {
                if Instant::now() >= deadline {
                    bail!(timed_out(format!("{} did not come up in time", step.instance)));
                }
            }
        }
        wait_until(Instant::now() + manager.interval());
    }
}

fn wait_down(manager: &dyn Manager, step: &Step, old: Option<&Watched>, deadline: Instant) -> Result<()> {
    if let Some(old) = old
        && old.wait_end(deadline, None)? != Waited::Ended
    {
        bail!(timed_out(format!("process {} of {} did not end", old.pid(), step.instance)));
    }
    loop {
        let now = manager.state(&step.instance)?;
        if now.is_down() || now.condition == Condition::Unknown {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(timed_out(format!("{} did not stop in time", step.instance)));
        }
        wait_until(Instant::now() + manager.interval());
    }
}

fn not_up(instance: &Instance, down: &Down) -> anyhow::Error {
    let message = format!("{instance} did not stay up: {}", down.reason);
    match down.fault {
        Fault::Release => Failure::new(Exit::Unhealthy, "restart.down", message).blame_release().into(),
        Fault::Nobody => Failure::new(Exit::Failed, "restart.down", message).into(),
    }
}
