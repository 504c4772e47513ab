//! From answers to a conclusion: unknown → starting → healthy or unhealthy.
//!
//! Pure: time comes in as the span since the watch began, on a clock that only goes forward. One answer is not a state:
//! thresholds in both directions and the window of `--stable` stand between them, so that neither one lucky answer
//! makes a service healthy nor one slow one makes it ill.

use std::time::Duration;

/// What one attempt found out. The texts are reasons for people; they hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All that was asked for is so.
    Pass,
    /// Nobody is there yet: refused, no socket, a unit still activating.
    NotYet(String),
    /// Somebody answered, and the answer is no; or did not answer in time.
    Fail(String),
    /// The question could not be asked; that says nothing about the service.
    CannotTell(String),
}

/// Where a target stands, in the record's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No answer yet, or none that says anything.
    Unknown,
    /// On its way: not listening yet, or not healthy for long enough.
    Starting,
    /// Enough passes in a row, for long enough.
    Healthy,
    /// Enough failures.
    Unhealthy,
}

impl State {
    /// The word that records, reports and the file of `--on-change` use.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Starting => "starting",
            State::Healthy => "healthy",
            State::Unhealthy => "unhealthy",
        }
    }
}

/// How many answers make a state, and for how long they must hold.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// So many passes in a row make a target healthy.
    pub(crate) passes: u32,
    /// So many failures in a row make it unhealthy; without a wait, so many in all.
    pub(crate) fails: u32,
    /// For so long it must pass without a break.
    pub(crate) stable: Duration,
    /// Until then a target that is not healthy may still become so; without it the first decision stands.
    pub(crate) wait: Option<Duration>,
}

/// What is known about one target.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    state: State,
    attempts: u64,
    passes_in_row: u32,
    fails_in_row: u32,
    fails: u32,
    /// Whether anybody has ever answered: who then stops listening is not starting.
    has_answered: bool,
    passing_since: Option<Duration>,
}

impl Verdict {
    /// A target that nobody has asked.
    pub(crate) fn new() -> Self {
        Verdict {
            state: State::Unknown,
            attempts: 0,
            passes_in_row: 0,
            fails_in_row: 0,
            fails: 0,
            has_answered: false,
            passing_since: None,
        }
    }

    /// Where the target stands now.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// How many attempts have been answered or have run out of time.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Whether the last answer was a pass that does not decide yet: the window of `--stable` or `--passes` is open.
    pub(crate) fn is_settling(&self) -> bool {
        self.passes_in_row > 0 && self.state != State::Healthy
    }

    /// Takes in the answer to the attempt that ended `at`.
    pub(crate) fn hear(&mut self, rules: &Rules, answer: &Answer, at: Duration) {
        self.attempts += 1;
        self.has_answered |= matches!(answer, Answer::Pass | Answer::Fail(_));
        if *answer == Answer::Pass {
            self.pass(rules, at);
        } else {
            self.fail(rules, answer);
        }
    }

    fn pass(&mut self, rules: &Rules, at: Duration) {
        self.passes_in_row = self.passes_in_row.saturating_add(1);
        self.fails_in_row = 0;
        let since = *self.passing_since.get_or_insert(at);
        if self.passes_in_row >= rules.passes && at.saturating_sub(since) >= rules.stable {
            self.state = State::Healthy;
        } else if self.state == State::Unknown {
            self.state = State::Starting;
        }
    }

    fn fail(&mut self, rules: &Rules, answer: &Answer) {
        self.passes_in_row = 0;
        self.fails_in_row = self.fails_in_row.saturating_add(1);
        self.fails = self.fails.saturating_add(1);
        // Without a wait failures count in all, or a target that flaps would be asked for ever.
        let enough = self.fails_in_row >= rules.fails || (rules.wait.is_none() && self.fails >= rules.fails);
        if enough {
            self.passing_since = None;
        }
        let may_start = rules.wait.is_some() && !self.has_answered;
        self.state = match (answer, self.state) {
            (Answer::CannotTell(_), _) if enough => State::Unknown,
            (Answer::NotYet(_), _) if may_start => State::Starting,
            (Answer::NotYet(_) | Answer::Fail(_), _) if enough => State::Unhealthy,
            (Answer::NotYet(_) | Answer::Fail(_), State::Unknown) => State::Starting,
            (_, state) => state,
        };
    }

    /// Whether nothing more needs to be asked for this target's sake. While others are waited for it may still be
    /// asked, and its state may still change.
    pub(crate) fn is_decided(&self, rules: &Rules) -> bool {
        self.state == State::Healthy || (rules.wait.is_none() && self.fails >= rules.fails)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(passes: u32, fails: u32, stable: u64, wait: Option<u64>) -> Rules {
        Rules { passes, fails, stable: Duration::from_millis(stable), wait: wait.map(Duration::from_millis) }
    }

    /// Plays a word a second: `p`ass, `f`ail, `n`ot yet, `c`annot tell; returns the states by their first letters
    /// (`s`tarting, `h`ealthy, `u`nhealthy, `?`) and whether it is decided at the end.
    fn play(rules: &Rules, answers: &str) -> (String, bool) {
        let mut verdict = Verdict::new();
        let states = answers
            .chars()
            .enumerate()
            .map(|(second, letter)| {
                let answer = match letter {
                    'p' => Answer::Pass,
                    'n' => Answer::NotYet("refused".into()),
                    'f' => Answer::Fail("500".into()),
                    _ => Answer::CannotTell("not allowed".into()),
                };
                verdict.hear(rules, &answer, Duration::from_secs(second as u64));
                match verdict.state() {
                    State::Unknown => '?',
                    State::Starting => 's',
                    State::Healthy => 'h',
                    State::Unhealthy => 'u',
                }
            })
            .collect();
        (states, verdict.is_decided(rules))
    }

    #[test]
    fn answers_become_states() {
        let once = rules(1, 1, 0, None);
        let wait = rules(1, 1, 0, Some(30_000));
        for (name, rules, answers, states, decided) in [
            ("one pass is enough by default", once.clone(), "p", "h", true),
            ("one failure is enough by default", once.clone(), "f", "u", true),
            ("nobody there, and nobody is waited for", once.clone(), "n", "u", true),
            ("what cannot be asked is unknown, not ill", once.clone(), "c", "?", true),
            ("refused while waiting is starting", wait.clone(), "nnn", "sss", false),
            ("starting, then healthy", wait.clone(), "nnp", "ssh", true),
            ("an answer of no while waiting is unhealthy, and may pass", wait.clone(), "nffp", "suuh", true),
            ("refused after an answer is no start any more", wait.clone(), "fn", "uu", false),
            ("a healthy one that stops listening is unhealthy", wait.clone(), "pn", "hu", false),
            ("cannot tell ends in unknown while waiting", wait.clone(), "ncc", "s??", false),
            ("two passes in a row", rules(2, 1, 0, Some(9)), "pfpp", "suuh", true),
            ("one slow probe is no outage", rules(1, 3, 0, Some(9)), "pffp", "hhhh", true),
            ("three are", rules(1, 3, 0, Some(9)), "pfff", "hhhu", false),
            ("healthy, then dead within the window", rules(1, 1, 3000, Some(9)), "ppnn", "ssuu", false),
            ("a break starts the window again", rules(1, 1, 2000, Some(9)), "ppfppp", "ssuuuh", true),
            ("a failure below the threshold is no break", rules(1, 2, 3000, Some(9)), "pfpp", "sssh", true),
            ("flapping without a wait ends", rules(2, 3, 0, None), "pfpfpf", "sssssu", true),
            ("flapping with a wait never convinces", rules(3, 1, 0, Some(9)), "ppfppf", "ssuuuu", false),
            ("a second chance without a wait", rules(1, 2, 0, None), "fp", "sh", true),
        ] {
            assert_eq!(play(&rules, answers), (states.to_owned(), decided), "{name}: {answers}");
        }
    }

    #[test]
    fn the_window_counts_from_the_first_pass_not_from_the_start() {
        let rules = rules(1, 1, 1500, Some(30_000));
        assert_eq!(play(&rules, "nnnnpp").0, "ssssss");
        assert_eq!(play(&rules, "nnnnppp").0, "ssssssh");
    }

    #[test]
    fn every_short_history_without_a_wait_ends_by_its_last_failure_or_run_of_passes() {
        let rules = rules(2, 2, 0, None);
        for number in 0..(1u32 << 8) {
            let answers: String = (0..8).map(|bit| if number >> bit & 1 == 1 { 'p' } else { 'f' }).collect();
            let cut = (1..=8).find(|&end| play(&rules, &answers[..end]).1);
            let cut = cut.unwrap_or_else(|| panic!("never decided: {answers}"));
            assert!(cut <= 4, "{answers} was decided only after {cut}");
        }
    }
}
