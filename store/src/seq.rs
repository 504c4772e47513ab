//! The order of releases.

use crate::{Lock, ReleaseId, manifest, staging};

/// The sequence number of the next release: one more than any manifest, build in progress or line of the history
/// names. Derived each time, so there is no counter that could be lost. Hold the lock until the build that takes
/// it is in staging.
pub fn next_seq(lock: &Lock<'_>) -> anyhow::Result<u64> {
    let mut largest = plausible(lock.history().largest_seq());
    for (id, read) in manifest::read_all(lock)? {
        // The number in a default id stands in for a manifest that no longer reads.
        largest = largest.max(read.map_or_else(|_| of_name(&id), |manifest| plausible(manifest.seq)));
    }
    for build in staging::list(lock)? {
        largest = largest.max(build.seq.map_or_else(|| of_name(&build.id), plausible));
    }
    for name in lock.releases().names()? {
        largest = largest.max(ReleaseId::of_entry(&name).map_or(0, |id| of_name(&id)));
    }
    Ok(largest + 1)
}

/// Nobody makes so many releases: a larger number is a name somebody chose, or a line edited by hand, and must not
/// move the order to its end.
const IMPLAUSIBLE: u64 = 1 << 40;

fn plausible(seq: u64) -> u64 {
    if seq < IMPLAUSIBLE { seq } else { 0 }
}

fn of_name(id: &ReleaseId) -> u64 {
    plausible(id.default_seq().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_somebody_chose_does_not_move_the_order_to_its_end() {
        let id = |text: &str| ReleaseId::new(text).unwrap();
        assert_eq!(of_name(&id("20261121T071000Z-12")), 12);
        assert_eq!(of_name(&id("20261121T071000Z-18446744073709551615")), 0);
        assert_eq!(of_name(&id("v2")), 0);
        assert_eq!(plausible(u64::MAX), 0);
    }
}
