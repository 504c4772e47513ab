//! When the next attempt at a target begins. Pure.
//!
//! Readiness that comes soon is noticed at once: within the first two seconds of a wait attempts begin every 5 ms, but
//! never use more than half of the time, so that a slow check is not asked without pause. An attempt never begins before
//! the one before it has ended.

use std::time::Duration;

const EAGER_FOR: Duration = Duration::from_secs(2);
const EAGER: Duration = Duration::from_millis(5);
const WINDOW_PARTS: u32 = 10;
const WINDOW_LEAST: Duration = Duration::from_millis(50);

/// The rhythm of one watch.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// From the begin of one attempt to the begin of the next.
    pub(crate) interval: Duration,
    /// An attempt that takes longer is given up.
    pub(crate) timeout: Duration,
    /// Whether readiness is waited for, so that the first polls are fast.
    pub(crate) waiting: bool,
    /// The window that a target must stay healthy for; it is looked at ten times within it.
    pub(crate) stable: Duration,
}

impl Pace {
    /// When to ask again after an attempt that lasted from `began` to `ended` (since the watch began).
    pub(crate) fn next(&self, settling: bool, healthy: bool, began: Duration, ended: Duration) -> Duration {
        let gap = if settling && !self.stable.is_zero() {
            (self.stable / WINDOW_PARTS).max(WINDOW_LEAST).min(self.interval)
        } else if self.waiting && !settling && !healthy && began < EAGER_FOR {
            EAGER.max(2 * ended.saturating_sub(began)).min(self.interval)
        } else {
            self.interval
        };
        ended.max(began + gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn attempts_are_dense_at_first_and_never_overlap() {
        let pace = |waiting, stable| Pace { interval: ms(1000), timeout: ms(5000), waiting, stable: ms(stable) };
        for (name, pace, settling, healthy, began, ended, next) in [
            ("first polls", pace(true, 0), false, false, 100, 101, 105),
            ("a slow check takes at most half of the time", pace(true, 0), false, false, 100, 140, 180),
            ("but is asked once an interval", pace(true, 0), false, false, 0, 900, 1000),
            ("after two seconds the interval counts", pace(true, 0), false, false, 2000, 2001, 3000),
            ("nobody waits", pace(false, 0), false, false, 0, 1, 1000),
            ("passes are an interval apart", pace(true, 0), true, false, 0, 1, 1000),
            ("a window is looked at ten times", pace(true, 3000), true, false, 0, 1, 300),
            ("a short one not too often", pace(true, 100), true, false, 0, 1, 50),
            ("a long one at the interval", pace(true, 60_000), true, false, 0, 1, 1000),
            ("a healthy one is only looked after", pace(true, 0), false, true, 100, 101, 1100),
            ("one attempt at a time", pace(true, 0), false, false, 3000, 8000, 8000),
        ] {
            assert_eq!(pace.next(settling, healthy, ms(began), ms(ended)), ms(next), "{name}");
        }
    }
}
