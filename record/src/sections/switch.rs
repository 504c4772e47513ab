//! What release-switch says: what the link named, what it names now, and who was faster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section of release-switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwitchSection {
    /// The link's path, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The release it named before; absent where there was no link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The release it names now (in a dry run: would name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The link's text, relative to the root, where it names a file in the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why, in the user's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The release that this stage marked bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_bad: Option<String>,
    /// The release that this stage marked good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_good: Option<String>,
    /// In an undo stage: whether somebody else switched the link since, so that nothing was touched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
    /// What an undo stage did to each link that this pipe had switched, the last one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<SwitchLink>,
    /// What `--adopt` took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<SwitchAdopted>,
}

/// One link in an undo stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwitchLink {
    /// The link's path, absolute.
    pub link: String,
    /// What came of it.
    pub outcome: SwitchOutcome,
    /// The release it named when the undo began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The release it names now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The pipe that switched it since, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// When it did, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
}

/// What an undo stage did to one link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwitchOutcome {
    /// It was put back.
    #[default]
    Restored,
    /// An earlier undo had put it back already.
    AlreadyRestored,
    /// There was no release before, so it stays: a link never disappears.
    Stays,
    /// Somebody else switched it since; it was not touched.
    Superseded,
    /// The undo failed before it was put back: it still names what the pipe made it name.
    NotRestored,
}

/// What `--adopt` found and took over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwitchAdopted {
    /// Whose layout it is: `capistrano`, `deployer`, `commcare` or `plain`.
    pub layout: String,
    /// The releases that got a manifest, oldest first.
    pub releases: Vec<String>,
    /// How many activations the history got.
    pub activations: u64,
    /// The pins that were made of files like `KEEP_UNTIL__2026-12-24_10.00`.
    pub pins: u64,
    /// Entries of `releases/` that are no release, or not whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<String>,
}
