//! Times as they stand in records and on disk: RFC 3339, UTC, whole seconds.

#![expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]

use std::time::{Duration, SystemTime};

/// The wall clock. Read once per run, by `record::run`; everything pure gets it as a value.
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// The monotonic clock in microseconds, the same for all processes until the machine starts anew.
pub(crate) fn monotonic_us() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// `2026-11-21T07:10:00Z`. Times before 1970 or after 9999 are shown as the nearest of these.
pub fn rfc3339(at: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(at.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

/// Reads what [`rfc3339`] wrote; `None` for anything else.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

/// `20261121T071000Z`: the time as a default id begins with it.
pub fn compact(at: SystemTime) -> String {
    rfc3339(at).chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

/// Whole milliseconds of a duration.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_whole_seconds_of_utc_and_read_back() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_245_000_999);
        assert_eq!(rfc3339(at), "2026-11-21T07:10:00Z");
        assert_eq!(compact(at), "20261121T071000Z");
        assert_eq!(
            parse_rfc3339("2026-11-21T07:10:00Z"),
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_245_000))
        );
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
