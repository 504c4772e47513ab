//! Times, sizes and cut-off text as people read them. Pure, but for the one look at the time zone.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use record::clock::parse_rfc3339;

/// How times are shown.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    /// In the reader's time zone, to the minute.
    Local(TimeZone),
    /// In UTC, as it stands in data.
    Utc,
    /// In UTC, to the minute, where the page says that it is UTC.
    Page,
}

impl Clock {
    /// The reader's time zone.
    pub(crate) fn local() -> Self {
        Self::Local(TimeZone::system())
    }

    /// The time as text; what is no time as it is.
    pub(crate) fn show(&self, rfc3339: &str) -> String {
        match (self, rfc3339.parse::<Timestamp>()) {
            (Self::Local(zone), Ok(at)) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
            (Self::Page, Ok(at)) => at.strftime("%Y-%m-%d %H:%M").to_string(),
            _ => rfc3339.to_owned(),
        }
    }
}

/// How long ago `rfc3339` was at `now`, in one unit: `40s`, `12m`, `5h`, `3d`.
pub(crate) fn age(rfc3339: &str, now: SystemTime) -> String {
    let Some(at) = parse_rfc3339(rfc3339) else { return "?".into() };
    match now.duration_since(at) {
        Ok(age) => lasting(age),
        Err(ahead) => format!("in {}", lasting(ahead.duration())),
    }
}

/// A length of time in one unit.
pub(crate) fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6_000 => format!("{}m", seconds / 60),
        6_000..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Milliseconds as seconds with what matters of them: `0.04s`, `8.1s`, `312s`.
pub(crate) fn seconds(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{}.{:02}s", milliseconds / 1_000, milliseconds % 1_000 / 10),
        1_000..100_000 => format!("{}.{}s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{}s", milliseconds / 1_000),
    }
}

/// A size in the largest unit that leaves at least one digit before the point.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes}B"),
        Some((name, unit)) if bytes < 10 * unit => format!("{}.{}{name}", bytes / unit, bytes % unit * 10 / unit),
        Some((name, unit)) => format!("{}{name}", bytes / unit),
    }
}

/// The text in at most `width` characters, with `…` where something is cut off.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_keep_what_matters() {
        let sizes = [(0, "0B"), (1023, "1023B"), (1024, "1.0K"), (914_332_160, "871M"), (10 << 40, "10T")];
        for (bytes, shown) in sizes {
            assert_eq!(size(bytes), shown);
        }
        for (ms, shown) in [(0, "0.00s"), (40, "0.04s"), (8_123, "8.1s"), (312_900, "312s")] {
            assert_eq!(seconds(ms), shown);
        }
        for (s, shown) in [(99, "99s"), (100, "1m"), (7_200, "2h"), (200_000, "2d")] {
            assert_eq!(lasting(Duration::from_secs(s)), shown);
        }
    }

    #[test]
    fn a_time_is_local_for_a_reader_and_utc_in_data() {
        let clock = Clock::Local(TimeZone::fixed(jiff::tz::offset(1)));
        assert_eq!(clock.show("2026-11-21T23:10:00Z"), "2026-11-22 00:10");
        assert_eq!(Clock::Utc.show("2026-11-21T23:10:00Z"), "2026-11-21T23:10:00Z");
        assert_eq!(clock.show("yesterday"), "yesterday");
        let now = parse_rfc3339("2026-11-21T07:10:00Z").unwrap();
        assert_eq!(age("2026-11-21T07:09:00Z", now), "60s");
        assert_eq!(age("2036-11-21T07:10:00Z", now), "in 3653d");
    }

    #[test]
    fn what_is_too_long_is_cut_where_it_shows() {
        assert_eq!(cut("äbc", 3), "äbc");
        assert_eq!(cut("äbcd", 3), "äb…");
    }
}
