//! What release-gc says: what it kept and why, what it removed, and what is still there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section of release-gc.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GcSection {
    /// How much of everything, whatever is elided below.
    pub counts: GcCounts,
    /// The releases that stay, oldest first, each with every rule that keeps it.
    pub kept: Vec<GcKept>,
    /// The releases that went (in a dry run: would go), oldest first.
    pub removed: Vec<GcRemoved>,
    /// Failed and running builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<GcBuild>,
    /// What lies in `releases/` and is no release; never touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<GcStranger>,
    /// What could not be removed, below `.cutover/trash/` or where it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<GcLeft>,
    /// Processes that could not be looked at; what was live lately is kept for their sake.
    pub unseen_processes: u64,
    /// Disk space that was freed.
    pub freed_bytes: u64,
    /// Free disk space of the root's file system, where `--min-free` asked for some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
}

/// Counts; `kept + removed + strangers` is everything in `releases/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcCounts {
    /// Releases that stay.
    pub kept: u64,
    /// Releases that went.
    pub removed: u64,
    /// What is no release.
    pub strangers: u64,
    /// Failed builds that went.
    pub builds_removed: u64,
    /// Files that killed tools had left in `.cutover/`, removed.
    pub debris_removed: u64,
    /// Entries that could not be removed.
    pub left: u64,
}

/// A release that stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcKept {
    /// Its id.
    pub id: String,
    /// Its place in the order of releases.
    pub seq: u64,
    /// Every rule that keeps it.
    pub reasons: Vec<GcReason>,
}

/// A rule that keeps a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcReason {
    /// The rule: `current`, `previous`, `intent`, `run`, `pinned`, `good`, `live`, `young`, `unused`, `in_use`,
    /// `unseen`, `unproven`, `capped`, `unmovable`, `deferred`.
    pub rule: String,
    /// The same for people, with what it rests on.
    pub detail: String,
}

/// A release that went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcRemoved {
    /// Its id.
    pub id: String,
    /// Its place in the order of releases.
    pub seq: u64,
    /// What it holds, as its manifest says.
    pub size_bytes: u64,
    /// Why nothing keeps it.
    pub reason: String,
}

/// A build in `.cutover/staging/`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcBuild {
    /// The release it would have become.
    pub id: String,
    /// Its name in `staging/`.
    pub name: String,
    /// Whether it went.
    pub removed: bool,
    /// Why it went or stays.
    pub reason: String,
}

/// Something in `releases/` that is no release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcStranger {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Why it is none.
    pub reason: String,
}

/// Something that could not be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcLeft {
    /// Its path below the root.
    pub path: String,
    /// Why.
    pub reason: String,
}
