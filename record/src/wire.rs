//! The record as it stands on the wire, schema `cutover.record/1`.
//!
//! Additive only: members that a tool does not know are kept in `rest` and passed on as they came.

use anyhow::Context;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Blame;

/// The schema's name and major version, the value of the member `schema`.
pub const SCHEMA: &str = "cutover.record/1";

/// One run of a pipeline: what came of it so far, stage by stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Always `cutover.record/1`; another major version is refused.
    #[schemars(regex(pattern = r"^cutover\.record/1$"))]
    pub schema: String,
    /// Whether every stage so far did what it was asked.
    pub ok: bool,
    /// Whether any stage so far changed something (in a dry run: would change).
    pub changed: bool,
    /// Whether the whole pipe only plans.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether the pipe waits for a person; later stages do nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
    /// The pipe's id, random, made by its first stage.
    pub pipe: String,
    /// The id of the deploy under whose lock the pipe runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
    /// The host the pipe began on.
    pub host: String,
    /// The root, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The release the pipe is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// One entry per tool, in the order they ran.
    pub stages: Vec<Stage>,
    /// Why the pipe failed; present only when `ok` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
    /// What went wrong without failing the pipe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A release as the record names it; in a dry run only the id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// The release's name under `releases/`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$"))]
    pub id: String,
    /// Its place in the order of releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Where it is, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `sha256:` and the digest of its per-file listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// How many files, links and directories it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub files: Option<u64>,
    /// How many bytes its files have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub bytes: Option<u64>,
    /// When it was built, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// What it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a release was built from; never with the user information of a URL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// `directory`, `file`, `tar`, `zip`, `stream`, `git` or `adopted`.
    pub kind: String,
    /// The directory, file or archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The branch or tag that was asked for.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The full id of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What one tool did: members that all tools share, and the tool's own section beside them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// The tool's name.
    pub tool: String,
    /// The tool's version.
    pub version: String,
    /// Whether the tool did what it was asked.
    pub ok: bool,
    /// Whether it changed something (in a dry run: would change).
    pub changed: bool,
    /// Whether this stage took back what the same tool did earlier in the pipe.
    #[serde(default, skip_serializing_if = "is_false")]
    pub undo: bool,
    /// The positions in `stages` of the stages that this undo stage took back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub took_back: Vec<usize>,
    /// Whether the stage was still at work when this was written (in `run.json` only).
    #[serde(default, skip_serializing_if = "is_false")]
    pub running: bool,
    /// When it began to act, RFC 3339, UTC.
    pub started_at: String,
    /// How long it took, in milliseconds, waiting for its record aside.
    pub elapsed_ms: u64,
    /// What a dry run would do, step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Step>,
    /// The tool's own section, and members this version does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Stage {
    /// Reads the tool's own section; members it does not name are ignored.
    pub fn section<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_value(Value::Object(self.rest.clone()))
            .with_context(|| format!("read the section of {} in the record", self.tool.escape_debug()))
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What would be done: `restart`, `remove`, `switch`.
    pub action: String,
    /// To what.
    pub target: String,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Something that went wrong without failing the pipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// The tool that warns.
    pub tool: String,
    /// Short, dotted, stable.
    pub code: String,
    /// What went wrong, in one line.
    pub message: String,
    /// Members this version does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Warning {
    pub(crate) fn new(tool: &str, code: &str, message: String) -> Self {
        Self { tool: tool.into(), code: code.into(), message, rest: Map::new() }
    }
}

/// Why a pipe failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorInfo {
    /// The tool that failed.
    pub tool: String,
    /// Short, dotted, stable: `health.deadline`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$"))]
    pub code: String,
    /// What was attempted on what, and why it failed.
    pub message: String,
    /// What else is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The exit status that stands for it, in every later stage too.
    pub exit: u8,
    /// Whether the same call may go through later.
    pub retryable: bool,
    /// Whose fault it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<Blame>,
    /// The error before this one, when an undo failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<ErrorInfo>>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}
