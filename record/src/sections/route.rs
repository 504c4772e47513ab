//! What svc-route adds: the slots, and which of them had traffic before and after.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section of svc-route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RouteSection {
    /// The proxy: `nginx`, `haproxy`, `caddy` or `traefik`.
    pub via: String,
    /// Every slot, in the order they were named.
    pub slots: Vec<RouteSlot>,
    /// The slot with the most traffic when the stage began; none before the first move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// The slot for the next release when the stage began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<String>,
    /// Whether the slot that lost its traffic had no more connections when the stage ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
    /// How long draining took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
}

/// One slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteSlot {
    /// Its name.
    pub name: String,
    /// Where it listens: `HOST:PORT` or `unix:PATH`.
    pub address: String,
    /// Its share of the traffic before, in percent; absent where the proxy did not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_before: Option<u8>,
    /// Its share of the traffic after, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_after: Option<u8>,
}
