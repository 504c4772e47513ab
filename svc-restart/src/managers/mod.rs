//! What supervises the service. Each kind of manager is a file here behind one trait.
//!
//! A manager asks and acts; it decides nothing. Which act an instance needs is the plan's business,
//! and whether what came of it is a new process that stays up is verified from outside, in `verify`.

pub(crate) mod ask;
pub(crate) mod compose;
pub(crate) mod exec;
mod handover;
pub(crate) mod signal;
pub(crate) mod supervisor;
pub(crate) mod systemd;
pub(crate) mod upstart;

use std::time::{Duration, Instant};

use anyhow::Result;
use record::{Exit, Failure};

use crate::instance::Instance;

/// What is done to one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A new process in place of the one that runs.
    Restart,
    /// The manager's own way to take up a new release without a new main process, where it has one.
    Reload,
    /// A process where there is none.
    Start,
    /// No process any more.
    Stop,
}

impl Act {
    /// The word for it in plans, commands and records.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// What a manager says about an instance, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// In which part of its life the instance is.
    pub(crate) condition: Condition,
    /// Its main process, where the manager knows it.
    pub(crate) process: Option<Identity>,
    /// What the manager calls this run of it: systemd's InvocationID, a container's id.
    pub(crate) run: Option<String>,
    /// How often the manager has restarted it by itself since it was last asked to.
    pub(crate) restarts: u64,
}

/// In which part of its life an instance is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Up, as far as the manager can tell.
    Running,
    /// On its way up.
    Starting,
    /// On its way down.
    Stopping,
    /// Down because somebody wanted it so, or never started.
    Stopped,
    /// Down although it should be up.
    Failed(Down),
    /// The manager has no way to tell.
    #[default]
    Unknown,
}

/// Why an instance is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Down {
    /// The reason in the manager's words, in one line.
    pub(crate) reason: String,
    /// Whose fault that is.
    pub(crate) fault: Fault,
}

/// Whether a process of the release came to run and ended, or whether it never came to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The new process did not stay up or did not get ready.
    Release,
    /// Something about the machine or the manager; no release is marked bad for it.
    Nobody,
}

/// One process for good: its number and when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start_ticks: u64,
}

impl Identity {
    /// The process that has the number `pid` now; `None` when it has ended, collected or not.
    pub(crate) fn of(pid: u32) -> Result<Option<Self>> {
        let stat = process::stat(pid)?.filter(|stat| !stat.has_ended());
        Ok(stat.map(|stat| Self { pid, start_ticks: stat.start_time }))
    }
}

impl State {
    /// Whether it is down, wanted or not.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.condition, Condition::Stopped | Condition::Failed(_))
    }

    /// Whether `self` is certainly another run than `before`; `None` where the manager cannot tell.
    pub(crate) fn differs_from(&self, before: &Self) -> Option<bool> {
        match (self.process, before.process) {
            (Some(now), Some(then)) => Some(now != then),
            _ => match (&self.run, &before.run) {
                (Some(now), then) => Some(then.as_ref() != Some(now)),
                (None, _) => (self.process.is_some() && before.is_down()).then_some(true),
            },
        }
    }
}

/// What is known of all instances before anything is done.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// One state for each instance asked for, in that order.
    pub(crate) states: Vec<State>,
    /// What people should know, as code and message.
    pub(crate) warnings: Vec<(&'static str, String)>,
    /// What has to be done once before the first instance (`daemon-reload`), if anything.
    pub(crate) preparation: Option<&'static str>,
}

/// What should have come of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Another process than before.
    NewProcess,
    /// A process that is up, the same or another.
    Up,
    /// No process.
    Down,
    /// Nothing more: it ran, ended well and was waited for.
    Done,
}

/// Something that supervises instances.
pub(crate) trait Manager: Sync {
    /// The instances meant by the names given; only where a name may stand for several (groups).
    fn expand(&self, names: Vec<Instance>) -> Result<Vec<Instance>> {
        Ok(names)
    }

    /// Asks for the state of every instance. Fails when the manager is absent, does not know one of them,
    /// or could not do `act` to them, where one is known yet. Changes nothing.
    fn inspect(&self, instances: &[Instance], act: Option<Act>) -> Result<Inspection>;

    /// Does what `inspect` found to be needed first.
    fn prepare(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    /// Asks for the state of one instance. Changes nothing.
    fn state(&self, instance: &Instance) -> Result<State>;

    /// Does it, and returns when the manager says that it is done, at the latest at `deadline`.
    fn act(&self, act: Act, instance: &Instance, before: &State, deadline: Instant) -> Result<Expect>;

    /// For how long a new process is watched before it counts as up, unless the user says otherwise:
    /// zero where the manager itself waits for readiness.
    fn settling(&self, instance: &Instance) -> Duration;

    /// For how long an instance may still look stopped after it was started.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Why an instance that was started looks stopped, where that says nothing about it.
    fn unseen(&self, _instance: &Instance) -> Result<Option<Failure>> {
        Ok(None)
    }

    /// How long to wait between two questions, so that asking costs little.
    fn interval(&self) -> Duration {
        Duration::from_millis(20)
    }
}

/// How long a process that tells nobody when it is ready must run to count as up.
pub(crate) const SETTLING: Duration = Duration::from_millis(300);

/// How long a daemon may take to write its number once its start command has returned.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A manager that did not do what it was asked: exit 1, nobody's release is blamed.
pub(crate) fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, "restart.manager", message)
}

/// A manager that did not finish in time.
pub(crate) fn timed_out(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, "restart.timeout", message).hint("give it longer with --timeout").retryable()
}

/// A manager that did not answer a question, which no option gives longer.
pub(crate) fn mute(message: impl Into<String>) -> Failure {
    timed_out(message).hint("is it stuck? nothing was asked of it but how things are")
}

/// An instance the manager does not know.
pub(crate) fn unknown(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, "restart.unknown", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(process: Option<(u32, u64)>, run: Option<&str>, condition: Condition) -> State {
        let process = process.map(|(pid, start_ticks)| Identity { pid, start_ticks });
        State { condition, process, run: run.map(str::to_owned), restarts: 0 }
    }

    #[test]
    fn another_run_is_told_by_process_then_by_the_managers_own_name_for_it() {
        use Condition::{Running, Stopped};
        for (now, then, differs) in [
            (state(Some((7, 1)), None, Running), state(Some((7, 1)), None, Running), Some(false)),
            (state(Some((7, 2)), None, Running), state(Some((7, 1)), None, Running), Some(true)),
            (state(Some((8, 1)), None, Running), state(Some((7, 1)), None, Running), Some(true)),
            (state(None, Some("b"), Running), state(None, Some("a"), Running), Some(true)),
            (state(None, Some("a"), Running), state(None, Some("a"), Running), Some(false)),
            (state(None, Some("a"), Running), state(None, None, Stopped), Some(true)),
            (state(Some((7, 1)), None, Running), state(None, None, Stopped), Some(true)),
            (state(Some((7, 1)), None, Running), state(None, None, Running), None),
            (state(None, None, Running), state(None, None, Running), None),
        ] {
            assert_eq!(now.differs_from(&then), differs, "{now:?} after {then:?}");
        }
    }
}
