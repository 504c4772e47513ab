//! What release-ls prints with `--json`: one object per line. It adds no stage to a record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PinEntry;
use crate::Source;

/// One release.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LsRelease {
    /// The root, absolute.
    pub root: String,
    /// The release's name.
    pub id: String,
    /// Its place in the order of releases.
    pub seq: u64,
    /// Where it is, absolute.
    pub path: String,
    /// `sha256:` and the digest of its per-file listing.
    pub digest: String,
    /// How many entries it has.
    pub files: u64,
    /// How many bytes its files have.
    pub size_bytes: u64,
    /// When it was built, RFC 3339, UTC.
    pub created_at: String,
    /// What it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What is known of it.
    pub verdict: LsVerdict,
    /// The links that name it.
    pub current: Vec<String>,
    /// The links whose rollback would go to it.
    pub previous: Vec<String>,
    /// When it last became what a link names, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<String>,
    /// When it last stopped being that, RFC 3339, UTC; absent while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<String>,
    /// Whether a link went back to it from a newer release when it was last made live.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// Its pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<PinEntry>,
    /// Who made it live, or built it if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, as the newest line of the history about it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is known of a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LsVerdict {
    /// Its pipe came through.
    Good,
    /// Its own answer was no, or somebody rolled back from it.
    Bad,
    /// It was live, and nobody said how it did.
    Done,
    /// It was never live.
    #[default]
    Never,
}

/// One stretch of time in which a link named one thing (`--history`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LsActivation {
    /// The root, absolute.
    pub root: String,
    /// The link.
    pub link: String,
    /// Since when, RFC 3339, UTC.
    pub at: String,
    /// Until when; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<String>,
    /// Whether these tools did it, or found it done.
    pub found: bool,
    /// Whether it went back to an older release.
    pub back: bool,
    /// The release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The release; absent where the link was gone or led elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What was said of the release while it was live, or right after; a release that is known as good stays good.
    pub verdict: LsVerdict,
    /// The pipe that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipe: Option<String>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the pipe's stages took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<LsStage>,
}

/// How long one stage took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LsStage {
    /// The tool.
    pub tool: String,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// What came of comparing one release with its listing (`--verify`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LsVerified {
    /// The root, absolute.
    pub root: String,
    /// The release.
    pub id: String,
    /// Whether it is what it was when it was made.
    pub ok: bool,
    /// How many entries the listing has.
    pub files: u64,
    /// How many bytes were hashed.
    pub hashed_bytes: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// What differs, path by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<LsDifference>,
}

/// One path that is not what the listing says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LsDifference {
    /// The path in the release; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// `missing`, `extra`, `type`, `mode`, `size`, `content`, `target`, `unreadable` or `listing`.
    pub what: String,
    /// What was found, and what was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of one host (`--records`), from all of its records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LsHost {
    /// The host, as whoever gathered the records knows it (`known_as`), else as it calls itself.
    pub host: String,
    /// What became of it.
    pub outcome: LsHostOutcome,
    /// The root, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The release that the link named before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The release that was to be deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The release that the link names now (in a plan: would name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// How many instances were changed, the way back included.
    pub instances: u64,
    /// When its first pipe began, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// How long its stages took together, in milliseconds.
    pub elapsed_ms: u64,
    /// Its pipes, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pipes: Vec<String>,
    /// Why it failed or was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LsHostOutcome {
    /// An undo failed, or what was done may not last: look at once.
    InDoubt,
    /// It could not be reached, so that its state is not known.
    Unreachable,
    /// It failed, and nothing had to be taken back.
    #[default]
    Failed,
    /// It runs the release before again.
    TakenBack,
    /// It waits for a promotion.
    Held,
    /// The roll ended before its turn.
    NotReached,
    /// It would change; this was a dry run.
    WouldChange,
    /// It runs the release.
    Deployed,
    /// It was as it should be.
    Unchanged,
}
