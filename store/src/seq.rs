//! The order of releases.

use crate::{Lock, ReleaseId, manifest, staging};

/// The sequence number of the next release: one more than any manifest, build in progress or line of the history
/// names. Derived each time, so there is no counter that could be lost. Hold the lock until the build that takes
/// it is in staging.
pub fn next_seq(lock: &Lock<'_>) -> anyhow::Result<u64> {
    let mut largest = lock.history().largest_seq();
    for (id, read) in manifest::read_all(lock)? {
        // The number in a default id stands in for a manifest that no longer reads.
        largest = largest.max(read.map_or_else(|_| id.default_seq().unwrap_or(0), |manifest| manifest.seq));
    }
    for build in staging::list(lock)? {
        largest = largest.max(build.seq.or_else(|| build.id.default_seq()).unwrap_or(0));
    }
    for name in lock.releases().names()? {
        largest = largest.max(ReleaseId::of_entry(&name).and_then(|id| id.default_seq()).unwrap_or(0));
    }
    Ok(largest.saturating_add(1))
}
