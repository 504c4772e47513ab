//! Each tool's own section of its stage, one module per tool.
//!
//! The members stand beside those that all stages share; every one is optional for a reader.

mod restart;
mod route;
mod switch;

use schemars::SchemaGenerator;
use serde_json::Value;

pub use restart::{GateAnswer, RestartCounts, RestartHold, RestartInstance, RestartOutcome, RestartSection};
pub use route::{RouteSection, RouteSlot};
pub use switch::{SwitchAdopted, SwitchLink, SwitchOutcome, SwitchSection};

/// The schema of every tool's section, by the tool's name.
pub(crate) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Value)> {
    vec![
        ("release-switch", generator.subschema_for::<SwitchSection>().to_value()),
        ("svc-route", generator.subschema_for::<RouteSection>().to_value()),
        ("svc-restart", generator.subschema_for::<RestartSection>().to_value()),
    ]
}
