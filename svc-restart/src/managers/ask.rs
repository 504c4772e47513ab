//! Runs the commands of managers: in time, with their output kept for the message.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use process::command::{Ended, Outcome, Spec};
use record::Failure;

use super::{mute, refused, timed_out};

/// How long a question may take that changes nothing.
const QUESTION: Duration = Duration::from_secs(20);
const KEPT: usize = 1 << 20;

/// Asks a manager something that changes nothing; whatever it exits with is an answer.
pub(super) fn question(label: &str, argv: &[String]) -> Result<Ended> {
    run(label, argv, Instant::now() + QUESTION, mute)
}

/// Has a manager do something until `deadline`; whatever it exits with is an answer.
///
/// It is not interrupted: the step in hand is finished.
pub(super) fn order(label: &str, argv: &[String], deadline: Instant) -> Result<Ended> {
    run(label, argv, deadline, timed_out)
}

fn run(label: &str, argv: &[String], deadline: Instant, late: fn(String) -> Failure) -> Result<Ended> {
    let limit = deadline.saturating_duration_since(Instant::now());
    // Managers may start what outlives the pipe; it must not keep the deploy's lock.
    let ended = Spec::program(label, argv).captured(KEPT).time_limit(limit).without_deploy_fd().run(None)?;
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
