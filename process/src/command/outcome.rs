//! How a command ended, in the words that reach people.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;

/// How a command came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that we did not send.
    Signalled(i32),
    /// It took longer than it may; its process group was ended.
    TimedOut(Duration),
    /// An interrupt came; its process group was ended.
    Interrupted,
    /// There is no such program.
    NotFound,
    /// The program is there and cannot be executed.
    NotExecutable,
}

/// A command that is over.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// What it wrote to stdout, as far as it was captured.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, as far as it was captured.
    pub stderr: Vec<u8>,
    /// Whether more was written than was kept.
    pub truncated: bool,
    /// How long it ran.
    pub elapsed: Duration,
    /// Whether it left processes behind that were ended, see [`Spec::leaving_nothing`](super::Spec::leaving_nothing).
    pub rest_ended: bool,
}

impl Outcome {
    /// Whether it exited with 0.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }

    pub(super) fn of_status(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Signalled(signal.unwrap_or(0)),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut(limit) => write!(f, "did not end within {limit:?}"),
            Self::Interrupted => f.write_str("was interrupted"),
            Self::NotFound => f.write_str("was not found"),
            Self::NotExecutable => f.write_str("cannot be executed"),
        }
    }
}
