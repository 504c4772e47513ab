//! Writes what was decided.

use store::{Lock, ReleaseId, pins};

use crate::plan::Plan;

/// Writes or removes the pin on disk, durable when it returns.
pub(crate) fn apply(lock: &Lock<'_>, id: &ReleaseId, plan: &Plan) -> anyhow::Result<()> {
    match (&plan.pin, &plan.former) {
        (Some(pin), _) => pins::set(lock, pin),
        (None, Some(_)) => pins::remove(lock, id).map(drop),
        (None, None) => Ok(()),
    }
}
