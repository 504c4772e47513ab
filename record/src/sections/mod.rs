//! Each tool's own section of its stage, one module per tool.
//!
//! The members stand beside those that all stages share; every one is optional for a reader.

mod switch;

use schemars::SchemaGenerator;
use serde_json::Value;

pub use switch::{SwitchAdopted, SwitchLink, SwitchOutcome, SwitchSection};

/// The schema of every tool's section, by the tool's name.
pub(crate) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Value)> {
    vec![("release-switch", generator.subschema_for::<SwitchSection>().to_value())]
}
