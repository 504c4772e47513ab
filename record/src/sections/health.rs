//! What svc-health says: where each target stands, after how many attempts, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section of svc-health.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthSection {
    /// How many targets stand where: all of them, whatever is elided below.
    pub counts: HealthCounts,
    /// The targets in the order they were given.
    pub targets: Vec<HealthTarget>,
}

/// How many targets stand where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCounts {
    /// Passed often and long enough.
    pub healthy: u64,
    /// Answered, and the answer was no.
    pub unhealthy: u64,
    /// Did not answer yet, or not well for long enough, when the wait was over.
    pub starting: u64,
    /// Could not be asked.
    pub unknown: u64,
}

/// One target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthTarget {
    /// The target as it was given, without a query string; of a command only the program.
    pub target: String,
    /// Where it stands.
    pub outcome: HealthOutcome,
    /// How many attempts were answered or ran out of time.
    pub attempts: u64,
    /// How long it took until that was known, in milliseconds.
    pub elapsed_ms: u64,
    /// Why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The failed attempts in order, equal ones in a row counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<HealthReason>,
    /// How many failed attempts, from the middle, are not told above.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures_left_out: u64,
}

/// Where a target stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthOutcome {
    /// No answer that says anything: the question could not be asked.
    #[default]
    Unknown,
    /// Not listening yet, or not well for long enough.
    Starting,
    /// Passed often and long enough.
    Healthy,
    /// The answer was no.
    Unhealthy,
}

/// Attempts in a row that failed for the same reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReason {
    /// Why.
    pub reason: String,
    /// How often.
    pub times: u64,
    /// When the first of them ended, in milliseconds since the first attempt began.
    pub first_ms: u64,
    /// When the last of them ended.
    pub last_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
