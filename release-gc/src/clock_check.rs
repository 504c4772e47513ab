//! Whether the clock can be believed. Pure.
//!
//! A machine that starts without a clock says 1970, one with a wrong one says anything; every age is then
//! wrong, and what is judged by age would go. The dates that were written down are the only witnesses.

use std::time::{Duration, SystemTime};

use record::clock::{parse_rfc3339, rfc3339};
use store::Inventory;

/// How far the newest record may lie ahead: clocks of hosts differ, and are set back by an hour.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a root may rest; a longer silence looks like a clock that has jumped.
const SILENCE: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// For how long a jump makes everything doubtful.
const AFTER_JUMP: Duration = Duration::from_secs(24 * 60 * 60);

/// What speaks against the clock; `None` when nothing does.
pub(crate) fn doubt(inventory: &Inventory, now: SystemTime) -> Option<String> {
    let made = inventory.releases.iter().map(|manifest| manifest.created_at.as_str());
    let written = inventory.history.entries().iter().map(|entry| entry.at.as_str());
    doubt_of(made.filter_map(parse_rfc3339), now).or_else(|| doubt_of(written.filter_map(parse_rfc3339), now))
}

/// Judges one sequence of dates in the order of their numbers, not of the dates themselves.
fn doubt_of(dates: impl Iterator<Item = SystemTime>, now: SystemTime) -> Option<String> {
    let mut last: Option<SystemTime> = None;
    for at in dates {
        if let Some(last) = last.filter(|last| has_jumped(*last, at) && distance(at, now) < AFTER_JUMP) {
            return Some(told(now, last));
        }
        last = Some(at);
    }
    let is_behind = |last: &SystemTime| last.duration_since(now).is_ok_and(|ahead| ahead > AHEAD);
    last.filter(|last| is_behind(last) || has_jumped(*last, now)).map(|last| told(now, last))
}

fn has_jumped(from: SystemTime, to: SystemTime) -> bool {
    to.duration_since(from).is_ok_and(|gap| gap > SILENCE)
}

fn told(now: SystemTime, last: SystemTime) -> String {
    format!("the clock says {}, and the newest record before it was written {}", rfc3339(now), rfc3339(last))
}

fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const NOW: u64 = 20_000 * DAY;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn is_doubted(dates: &[u64], now: u64) -> bool {
        doubt_of(dates.iter().copied().map(at), at(now)).is_some()
    }

    #[test]
    fn a_clock_near_the_newest_record_is_believed() {
        assert!(!is_doubted(&[], NOW));
        assert!(!is_doubted(&[NOW - 300 * DAY, NOW - DAY, NOW], NOW));
        assert!(!is_doubted(&[NOW - 300 * DAY], NOW), "a root may rest for most of a year");
        assert!(!is_doubted(&[NOW - DAY, NOW + 3600], NOW), "an hour back is no reason");
        assert!(!is_doubted(&[NOW - DAY, NOW + 9000 * DAY, NOW], NOW), "one wrong date in between neither");
        assert!(!is_doubted(&[NOW - 900 * DAY, NOW - 2 * DAY, NOW], NOW), "nor a long silence in the past");
    }

    #[test]
    fn a_clock_far_from_the_newest_record_is_not() {
        assert!(is_doubted(&[NOW], NOW + 3650 * DAY), "ten years ahead");
        assert!(is_doubted(&[NOW], 0), "1970");
        assert!(is_doubted(&[NOW], NOW - 2 * DAY));
    }

    #[test]
    fn records_that_the_wrong_clock_wrote_itself_do_not_vouch_for_it() {
        let ahead = NOW + 3650 * DAY;
        assert!(is_doubted(&[NOW - DAY, NOW, ahead], ahead));
        assert!(is_doubted(&[NOW - DAY, NOW, ahead, ahead + 3600], ahead + 7200));
    }
}
