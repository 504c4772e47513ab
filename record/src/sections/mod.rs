//! Each tool's own section of its stage, one module per tool.
//!
//! The members stand beside those that all stages share; every one is optional for a reader.

mod gc;
mod health;
mod ls;
mod mk;
mod pin;
mod restart;
mod route;
mod switch;

use schemars::SchemaGenerator;
use serde_json::Value;

pub use gc::{GcBuild, GcCounts, GcKept, GcLeft, GcReason, GcRemoved, GcSection, GcStranger};
pub use health::{HealthCounts, HealthOutcome, HealthReason, HealthSection, HealthTarget};
pub use ls::{LsActivation, LsDifference, LsHost, LsHostOutcome, LsRelease, LsStage, LsVerdict, LsVerified};
pub use mk::{MkOutcome, MkSection, MkStep};
pub use pin::{PinEntry, PinOutcome, PinSection};
pub use restart::{GateAnswer, RestartCounts, RestartHold, RestartInstance, RestartOutcome, RestartSection};
pub use route::{RouteSection, RouteSlot};
pub use switch::{SwitchAdopted, SwitchLink, SwitchOutcome, SwitchSection};

/// The schema of every tool's section, by the tool's name.
pub(crate) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Value)> {
    // What release-ls prints is no stage, and described beside them.
    generator.subschema_for::<LsRelease>();
    generator.subschema_for::<LsActivation>();
    generator.subschema_for::<LsVerified>();
    generator.subschema_for::<LsHost>();
    vec![
        ("release-gc", generator.subschema_for::<GcSection>().to_value()),
        ("release-mk", generator.subschema_for::<MkSection>().to_value()),
        ("release-pin", generator.subschema_for::<PinSection>().to_value()),
        ("release-switch", generator.subschema_for::<SwitchSection>().to_value()),
        ("svc-route", generator.subschema_for::<RouteSection>().to_value()),
        ("svc-health", generator.subschema_for::<HealthSection>().to_value()),
        ("svc-restart", generator.subschema_for::<RestartSection>().to_value()),
    ]
}
