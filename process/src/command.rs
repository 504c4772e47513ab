//! Commands: children that are run, watched and, when their time is over, ended with all they started.
//!
//! A child never reads our stdin and never writes to our stdout, which carries the record. Errors name
//! the label the caller gave and never the command line, which may hold secrets.

mod group;
mod guard;
mod outcome;
mod run;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

pub use outcome::{Ended, Outcome};

/// What to run and how; nothing happens before [`Spec::run`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Spec {
    label: String,
    argv: Vec<OsString>,
    environment: BTreeMap<OsString, Option<OsString>>,
    directory: Option<PathBuf>,
    output: Output,
    time_limit: Option<Duration>,
    grace: Duration,
    deploy_fd: DeployFd,
    guarded: bool,
    leaves_nothing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    ToStderr,
    Captured { limit: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeployFd {
    Kept,
    Closed,
}

impl Spec {
    /// A program and its arguments; a name without a slash is looked for in `PATH`. `label` is what
    /// errors call it.
    pub fn program<S: AsRef<OsStr>>(label: impl Into<String>, argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            label: label.into(),
            argv: argv.into_iter().map(|word| word.as_ref().to_os_string()).collect(),
            environment: BTreeMap::new(),
            directory: None,
            output: Output::ToStderr,
            time_limit: None,
            grace: Duration::from_secs(5),
            deploy_fd: DeployFd::Kept,
            guarded: false,
            leaves_nothing: false,
        }
    }

    /// A command line for `/bin/sh -c`.
    pub fn shell(label: impl Into<String>, command: impl AsRef<OsStr>) -> Self {
        Self::program(label, [OsStr::new("/bin/sh"), OsStr::new("-c"), command.as_ref()])
    }

    /// Sets a variable of the child's environment, which is otherwise ours.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), Some(value.into()));
        self
    }

    /// Takes a variable out of the child's environment.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), None);
        self
    }

    /// The directory it runs in. One that is held by descriptor N is `/proc/self/fd/N`.
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Keeps the first `limit` bytes each of its stdout and stderr; without this both go to our stderr.
    pub fn captured(mut self, limit: usize) -> Self {
        self.output = Output::Captured { limit };
        self
    }

    /// How long it may take; then its whole process group is ended. Without this: for ever.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// How long its process group may take from TERM to KILL when it is ended early; 5 s unless said.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs it without the deploy lock: for commands whose children may outlive the pipe, as services
    /// do. The descriptor that `CUTOVER_DEPLOY_FD` names is closed and the variable removed.
    pub fn without_deploy_fd(mut self) -> Self {
        self.deploy_fd = DeployFd::Closed;
        self
    }

    /// Ends its whole process group also when we are killed: for what only asks (a probe, a gate) or changes what nobody
    /// uses yet (a build step); never for what changes something in use, which is better finished.
    pub fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// Ends what is left of its process group when it has ended itself, too.
    pub fn leaving_nothing(mut self) -> Self {
        self.leaves_nothing = true;
        self
    }

    /// Runs it and waits for its end, its deadline, or `interrupts` becoming readable.
    ///
    /// What it started in the background and left behind lives on after a normal end, unless nothing is to be left. An error means
    /// that it could not be started or watched; everything that ran is an [`Outcome`].
    pub fn run(&self, interrupts: Option<BorrowedFd<'_>>) -> Result<Ended> {
        run::run(self, interrupts, None)
    }

    /// The same, handing each piece of what it prints (stdout and stderr, in order) to `on_output`.
    pub fn run_watching(&self, interrupts: Option<BorrowedFd<'_>>, on_output: &mut dyn FnMut(&[u8])) -> Result<Ended> {
        run::run(self, interrupts, Some(on_output))
    }
}
