//! One line of the history.

use dir::Name;
use serde::{Deserialize, Serialize};

use crate::ReleaseId;

/// What a line says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A link is about to be replaced.
    Intent,
    /// It was.
    Done,
    /// It was not; the link is as it was.
    Abort,
    /// The release's pipe came through.
    Good,
    /// The release's own answer was no, or somebody rolled back from it.
    Bad,
    /// The link was found changed by something else than these tools.
    Found,
    /// A kind that a later version writes; it changes nothing here.
    #[serde(other)]
    Unknown,
}

/// One line of `history.jsonl`. Members that a later version adds are ignored: lines are never rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, 3, … without a gap.
    pub seq: u64,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// The pipe that did it; absent for what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipe: Option<String>,
    /// The link this is about.
    pub link: Name,
    /// What happened.
    pub kind: Kind,
    /// The release the link named before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseId>,
    /// The release it names from then on, or the release that is judged; absent when a link was found
    /// gone or pointing elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseId>,
    /// The manifest's sequence number of `to`: verdicts belong to it, as an id may be used again after a collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_seq: Option<u64>,
    /// The text of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The digest of `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The user who ran the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The host it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Why, as a person or a tool said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// On `done` and `abort`: the line number of the intent that this closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
    /// How long the pipe's stages took until then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTime>,
}

/// How long one stage of a pipe took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// The tool.
    pub tool: String,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

impl StageTime {
    /// The stages of a record, as many and as short as a line of the history takes.
    pub fn of(record: &record::Record) -> Vec<Self> {
        let stages = record.stages.iter().filter(|stage| !stage.undo).take(32);
        stages.map(|stage| Self { tool: stage.tool.chars().take(32).collect(), elapsed_ms: stage.elapsed_ms }).collect()
    }
}

impl Entry {
    /// Whether from this line on the link names something else.
    pub fn is_activation(&self) -> bool {
        matches!(self.kind, Kind::Done | Kind::Found)
    }
}
