//! Runs the commands of managers: in time, with their output kept for the message.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use process::command::{Ended, Outcome, Spec};
use record::Failure;

use super::{mute, refused, timed_out};

/// How long a question may take that changes nothing, whatever an act may take.
const LONGEST: Duration = Duration::from_secs(20);
/// How long a question that is given up gets to end.
const GRACE: Duration = Duration::from_secs(1);
const KEPT: usize = 1 << 20;

/// How questions are put to a manager: for how long an answer is waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Questions(Duration);

impl Questions {
    /// No longer than an act, which takes some questions.
    pub(crate) fn within(timeout: Duration) -> Self {
        Self(timeout.min(LONGEST))
    }

    /// So long.
    pub(super) fn limit(self) -> Duration {
        self.0
    }

    /// Until then, if asked now.
    pub(super) fn deadline(self) -> Instant {
        Instant::now() + self.0
    }

    /// Asks a manager something that changes nothing; whatever it exits with is an answer.
    pub(super) fn ask(self, label: &str, argv: &[String]) -> Result<Ended> {
        run(label, argv, Spec::program(label, argv).grace(GRACE), self.0, mute)
    }
}

/// Has a manager do something until `deadline`; whatever it exits with is an answer.
///
/// It is not interrupted: the step in hand is finished.
pub(super) fn order(label: &str, argv: &[String], deadline: Instant) -> Result<Ended> {
    run(label, argv, Spec::program(label, argv), deadline.saturating_duration_since(Instant::now()), timed_out)
}

fn run(label: &str, argv: &[String], spec: Spec, limit: Duration, late: fn(String) -> Failure) -> Result<Ended> {
    // Managers may start what outlives the pipe; it must not keep the deploy's lock.
    let ended = spec.captured(KEPT).time_limit(limit).without_deploy_fd().run(None)?;
    match ended.outcome {
        Outcome::NotFound => {
            let program = argv.first().map_or("the manager", String::as_str);
            bail!(refused(format!("{label}: {program} was not found")).hint("is it installed and in PATH?"))
        }
        Outcome::TimedOut(_) => bail!(late(format!("{label} did not end within {}", readable(limit)))),
        _ => Ok(ended),
    }
}

/// A duration for people: whole seconds where there are any.
pub(super) fn readable(duration: Duration) -> String {
    match (duration + Duration::from_millis(500)).as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds => format!("{seconds} s"),
    }
}

/// What a command ended with, and the first line of what it said about that.
pub(super) fn complaint(ended: &Ended) -> String {
    let said = [&ended.stderr, &ended.stdout].into_iter().find_map(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    });
    match said {
        Some(line) => format!("{} ({})", line.chars().take(300).collect::<String>(), ended.outcome),
        None => ended.outcome.to_string(),
    }
}
