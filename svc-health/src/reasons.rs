//! Every attempt's reason, told in few lines: equal ones in a row are counted, of many different ones the first and the
//! last are kept. Pure.

use std::time::Duration;

const FIRST: usize = 4;
const LAST: usize = 4;

/// Attempts in a row that failed for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Why.
    pub(crate) reason: String,
    /// How often.
    pub(crate) times: u64,
    /// When the first of them ended, since the watch began.
    pub(crate) first: Duration,
    /// When the last of them ended.
    pub(crate) last: Duration,
}

/// The failed attempts of one target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reasons {
    runs: Vec<Run>,
    dropped: u64,
    broken: bool,
}

impl Reasons {
    /// Adds a failure that ended `at`. True when it is another reason than before.
    pub(crate) fn add(&mut self, reason: &str, at: Duration) -> bool {
        match self.runs.last_mut() {
            Some(run) if run.reason == reason && !self.broken => {
                run.times += 1;
                run.last = at;
                return false;
            }
            _ => {}
        }
        if self.runs.len() == FIRST + LAST {
            self.dropped += self.runs.remove(FIRST).times;
        }
        self.runs.push(Run { reason: reason.to_owned(), times: 1, first: at, last: at });
        self.broken = false;
        true
    }

    /// Notes a pass: what fails after it is another run, even for the same reason.
    pub(crate) fn pass(&mut self) {
        self.broken = true;
    }

    /// The runs that were kept, in order.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many failed attempts are in none of them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<&str> {
        self.runs.last().map(|run| run.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reasons_in_a_row_are_one_run_and_no_failure_is_lost_from_the_count() {
        let mut reasons = Reasons::default();
        for (at, reason) in ["refused", "refused", "500", "refused"].iter().enumerate() {
            reasons.add(reason, Duration::from_secs(at as u64));
        }
        reasons.pass();
        reasons.add("refused", Duration::from_secs(9));
        let told: Vec<_> =
            reasons.runs().iter().map(|run| (run.reason.as_str(), run.times, run.last.as_secs())).collect();
        assert_eq!(told, [("refused", 2, 1), ("500", 1, 2), ("refused", 1, 3), ("refused", 1, 9)]);
        for number in 0..100 {
            reasons.add(&number.to_string(), Duration::from_secs(10));
        }
        let kept: u64 = reasons.runs().iter().map(|run| run.times).sum();
        assert_eq!((reasons.runs().len(), kept + reasons.dropped()), (FIRST + LAST, 105));
        assert_eq!(reasons.runs()[0].reason, "refused");
        assert_eq!(reasons.last(), Some("99"));
    }
}
