//! Errors that change what the caller should do.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Exit;

/// Whose fault a failure is, where that is known for sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The release's own answer was no: a gate or probe answered unhealthy, or a new process did not stay up.
    Release,
}

/// A kind of failure: exit status, stable code and next step. It travels inside an `anyhow` chain,
/// as the error itself or as context around another one; the outermost one found counts.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(crate) exit: Exit,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) retryable: bool,
    pub(crate) blame: Option<Blame>,
}

impl Failure {
    /// A failure with the exit status `exit` and the dotted, stable `code` (`switch.expected`).
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), hint: None, detail: None, retryable: false, blame: None }
    }

    /// The next step, in one line.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What else is known, for machines and `-v`.
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same call may go through later.
    pub fn retryable(self) -> Self {
        Self { retryable: true, ..self }
    }

    /// The release's own answer was no.
    pub fn blame_release(self) -> Self {
        Self { blame: Some(Blame::Release), ..self }
    }

    /// How the tool ends with this failure.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
