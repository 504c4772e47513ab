//! What svc-restart says: which instance is where, with pids and times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The section of svc-restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestartSection {
    /// The kind of manager: `systemd`, `exec`, `signal`, `supervisor`, `upstart`, `compose`.
    pub via: String,
    /// What was asked for: `restart`, `reload`, `start` or `stop`.
    pub action: String,
    /// How the instances are cut into batches, as it was given.
    pub batch: String,
    /// How many instances ended how: all of them, whatever is elided below.
    pub counts: RestartCounts,
    /// The instances in the order they are taken.
    pub instances: Vec<RestartInstance>,
    /// What the gates answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateAnswer>,
    /// How many answers of gates are left out above, in the middle.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gates_left_out: u64,
    /// The hold that waits for a promotion, if one is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<RestartHold>,
}

/// How many instances ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestartCounts {
    /// Changed as asked.
    pub done: u64,
    /// Changed, or tried to, and not as asked.
    pub failed: u64,
    /// Left as they were.
    pub untouched: u64,
}

/// One instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestartInstance {
    /// Its name, as its manager calls it.
    pub name: String,
    /// Where it stands.
    pub outcome: RestartOutcome,
    /// Its main process before, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_before: Option<u32>,
    /// Its main process after, if it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_after: Option<u32>,
    /// When the process before had started, in clock ticks since boot: with the pid it names one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ticks_before: Option<u64>,
    /// Whether it was stopped before, so that taking it back is stopping it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_stopped: bool,
    /// In an undo stage: the positions in `stages` of the stages that had changed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_stages: Vec<usize>,
    /// How long it was in hand, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Why it was left alone, or how it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where an instance stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestartOutcome {
    /// Its turn has not come, or came to nothing.
    #[default]
    Untouched,
    /// Being worked on when this was written; in a finished record: unknown.
    InHand,
    /// A new process runs.
    Restarted,
    /// The manager reloaded it.
    Reloaded,
    /// It was stopped and runs now.
    Started,
    /// It ran and is stopped now.
    Stopped,
    /// It was already as asked and was left alone.
    Skipped,
    /// It is not as asked.
    Failed,
}

impl RestartOutcome {
    /// Whether the instance was changed, or may have been.
    pub fn is_touched(self) -> bool {
        !matches!(self, Self::Untouched | Self::Skipped)
    }
}

/// The answer of one gate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateAnswer {
    /// The number of the batch it stood behind, from 1.
    pub batch: u64,
    /// The instance it was about, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Whether it let pass.
    pub ok: bool,
    /// Its exit status, if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The record it printed, if it printed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Value>,
}

/// A pipe that waits for a person after its first batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestartHold {
    /// Since when, RFC 3339, UTC.
    pub held_at: String,
    /// Until when a promotion is accepted, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
