//! What release-pin says: which promise was made, changed or taken back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section of release-pin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinSection {
    /// What became of the pin; absent where pins were only listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<PinOutcome>,
    /// The pin as it is now, or as it was before it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<PinEntry>,
    /// Until when the former pin lasted, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_until_at: Option<String>,
    /// Who had made the former pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_owner: Option<String>,
    /// How many pins there are, where they were listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The pins, by release, where they were listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<PinEntry>,
}

/// What became of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PinOutcome {
    /// There was none, or one that did not read or was over.
    Set,
    /// It lasts longer now.
    Extended,
    /// It ends earlier now.
    Shortened,
    /// It is gone.
    Removed,
    /// There was none to remove.
    Unchanged,
}

/// One pin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinEntry {
    /// The release.
    pub id: String,
    /// Whether the release is kept for it now.
    pub keeps: bool,
    /// Until when, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<String>,
    /// Who promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it does not read; such a pin keeps for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}
