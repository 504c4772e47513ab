//! What release-mk says: how much it built, how long each part took, and what failed in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section of release-mk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MkSection {
    /// Files and symlinks taken from the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_files: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<u64>,
    /// Files that share their blocks with the previous release by a hard link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked_files: Option<u64>,
    /// What decided the release's content: source, steps, artifact, exclude and share options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<String>,
    /// How long the source took to arrive in the tree, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ms: Option<u64>,
    /// How long the disk took to confirm the tree, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_ms: Option<u64>,
    /// The build steps in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<MkStep>,
    /// Paths that link into `shared/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// Until when the release is pinned, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_until_at: Option<String>,
    /// Whether an unfinished build was taken up again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// The unfinished build, absolute, that `--resume` takes up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<String>,
    /// Why nothing had to be built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<String>,
}

/// One build step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MkStep {
    /// Its name; the command is not recorded.
    pub name: String,
    /// What came of it.
    pub outcome: MkOutcome,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Its exit status, if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// What it printed, in full, as long as the build is unfinished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// What came of a build step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MkOutcome {
    /// Its turn has not come.
    #[default]
    Untouched,
    /// It ended with 0.
    Done,
    /// An earlier run of the same build had done it.
    Skipped,
    /// It did not end with 0.
    Failed,
    /// A signal stopped it.
    Interrupted,
}
