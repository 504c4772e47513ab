//! What the findings mean: the section of the record, the failure, the lines for people. Pure.

use std::time::Duration;

use record::sections::{HealthCounts, HealthOutcome, HealthReason, HealthSection, HealthTarget};
use record::{Exit, Failure};

use crate::verdict::State;
use crate::watch::Finding;

/// So many failing targets are named in the message.
const NAMED: usize = 3;
/// So many are told in full in the detail.
const DETAILED: usize = 20;

/// The section of svc-health.
pub(crate) fn section(labels: &[String], findings: &[Finding]) -> HealthSection {
    let count = |state| findings.iter().filter(|finding| finding.verdict.state() == state).count() as u64;
    let counts = HealthCounts {
        healthy: count(State::Healthy),
        unhealthy: count(State::Unhealthy),
        starting: count(State::Starting),
        unknown: count(State::Unknown),
    };
    let target = |(label, finding): (&String, &Finding)| HealthTarget {
        target: label.clone(),
        outcome: outcome(finding.verdict.state()),
        attempts: finding.verdict.attempts(),
        elapsed_ms: milliseconds(finding.elapsed),
        reason: why(finding).map(str::to_owned),
        failures: finding.reasons.runs().iter().map(failures).collect(),
        failures_left_out: finding.reasons.dropped(),
    };
    HealthSection { counts, targets: labels.iter().zip(findings).map(target).collect() }
}

fn failures(run: &crate::reasons::Run) -> HealthReason {
    HealthReason {
        reason: run.reason.clone(),
        times: run.times,
        first_ms: milliseconds(run.first),
        last_ms: milliseconds(run.last),
    }
}

fn outcome(state: State) -> HealthOutcome {
    match state {
        State::Unknown => HealthOutcome::Unknown,
        State::Starting => HealthOutcome::Starting,
        State::Healthy => HealthOutcome::Healthy,
        State::Unhealthy => HealthOutcome::Unhealthy,
    }
}

/// Why a target is not healthy; nothing when it is.
pub(crate) fn why(finding: &Finding) -> Option<&str> {
    let last = finding.reasons.last().unwrap_or("not healthy for long enough");
    (finding.verdict.state() != State::Healthy).then_some(last)
}

/// The failure that the findings are, if they are one. Only an answer of no is the release's fault; where nothing but
/// questions that could not be asked are left, nobody is to blame.
pub(crate) fn failure(labels: &[String], findings: &[Finding], wait: Option<Duration>) -> Option<Failure> {
    let failing: Vec<(&String, &Finding)> =
        labels.iter().zip(findings).filter(|(_, finding)| why(finding).is_some()).collect();
    let (first, first_finding) = failing.first()?;
    let only_unknown = failing.iter().all(|(_, finding)| finding.verdict.state() == State::Unknown);
    let state = match (only_unknown, wait) {
        (true, _) => "could not be asked".to_owned(),
        (false, Some(wait)) => format!("not healthy after {}", span(wait)),
        (false, None) => "not healthy".to_owned(),
    };
    let verb = |one: bool| {
        if only_unknown {
            ""
        } else if one {
            "is "
        } else {
            "are "
        }
    };
    let message = if findings.len() == 1 {
        format!("{first} {}{state}: {}", verb(true), why(first_finding).unwrap_or_default())
    } else {
        let named = failing.iter().take(NAMED);
        let named: Vec<String> =
            named.map(|(label, finding)| format!("{label}: {}", why(finding).unwrap_or_default())).collect();
        let more = failing.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let (some, all) = (failing.len(), findings.len());
        format!("{some} of {all} targets {}{state}: {}{more}", verb(some == 1), named.join("; "))
    };
    let detail: Vec<String> = failing.iter().take(DETAILED).map(|(label, finding)| history(label, finding)).collect();
    let failure = match (only_unknown, wait) {
        (true, _) => Failure::new(Exit::Failed, "health.unknown", message),
        (false, Some(_)) => Failure::new(Exit::Unhealthy, "health.deadline", message).blame_release(),
        (false, None) => Failure::new(Exit::Unhealthy, "health.unhealthy", message).blame_release(),
    };
    let failure = failure.detail(detail.join("\n")).retryable();
    let redirected = failing.iter().any(|(_, finding)| why(finding).is_some_and(|reason| reason.contains(" to http")));
    Some(if redirected { failure.hint("no redirect is followed: ask the address it leads to") } else { failure })
}

/// All that is known of a failing target, in one line.
fn history(label: &str, finding: &Finding) -> String {
    let runs: Vec<String> = finding
        .reasons
        .runs()
        .iter()
        .map(|run| match run.times {
            1 => format!("{} (at {})", run.reason, span(run.first)),
            times => format!("{} ({times} times, {} to {})", run.reason, span(run.first), span(run.last)),
        })
        .collect();
    let (state, attempts) = (finding.verdict.state().word(), attempts(finding));
    format!("{label}: {state} after {attempts}: {}", runs.join(", then "))
}

/// A target's end in one line for people.
pub(crate) fn line(label: &str, finding: &Finding) -> String {
    let state = finding.verdict.state().word();
    let told = format!("{label} is {state} ({}, {})", attempts(finding), span(finding.elapsed));
    why(finding).map_or(told.clone(), |reason| format!("{told}: {reason}"))
}

fn attempts(finding: &Finding) -> String {
    match finding.verdict.attempts() {
        1 => "1 attempt".to_owned(),
        many => format!("{many} attempts"),
    }
}

/// A span of time as people write it: `5s`, `1.25s`, `340ms`, `2m 30s`.
pub(crate) fn span(time: Duration) -> String {
    let (whole, rest) = (time.as_secs(), time.subsec_millis());
    match (whole, rest) {
        (0, 0) if !time.is_zero() => "less than 1ms".into(),
        (0, _) => format!("{rest}ms"),
        (1..60, 0) => format!("{whole}s"),
        (1..60, _) => format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() + "s",
        _ if whole.is_multiple_of(60) => format!("{}m", whole / 60),
        _ => format!("{}m {}s", whole / 60, whole % 60),
    }
}

/// Whole milliseconds.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons::Reasons;
    use crate::verdict::{Answer, Rules, Verdict};

    fn finding(answers: &[Answer], wait: Option<Duration>) -> Finding {
        let rules = Rules { passes: 1, fails: 1, stable: Duration::ZERO, wait };
        let (mut verdict, mut reasons) = (Verdict::new(), Reasons::default());
        for answer in answers {
            verdict.hear(&rules, answer, Duration::from_millis(5));
            match answer {
                Answer::Pass => reasons.pass(),
                Answer::NotYet(why) | Answer::Fail(why) | Answer::CannotTell(why) => {
                    reasons.add(why, Duration::from_millis(5));
                }
            }
        }
        Finding { verdict, reasons, elapsed: Duration::from_millis(5) }
    }

    #[test]
    fn failures_say_which_and_why_and_blame_only_answers() {
        let wait = Some(Duration::from_secs(30));
        let (pass, no) = (Answer::Pass, Answer::Fail("500".into()));
        let (refused, cannot) = (Answer::NotYet("refused".into()), Answer::CannotTell("not allowed".into()));
        for (answers, wait, expected) in [
            (vec![pass.clone()], None, None),
            (vec![no.clone()], None, Some((3, "health.unhealthy", "a is not healthy: 500"))),
            (vec![refused.clone()], wait, Some((3, "health.deadline", "a is not healthy after 30s: refused"))),
            (vec![cannot.clone()], None, Some((1, "health.unknown", "a could not be asked: not allowed"))),
            (
                vec![pass.clone(), no.clone()],
                None,
                Some((3, "health.unhealthy", "1 of 2 targets is not healthy: b: 500")),
            ),
            (
                vec![cannot.clone(), no.clone()],
                None,
                Some((3, "health.unhealthy", "2 of 2 targets are not healthy: a: not allowed; b: 500")),
            ),
            (
                vec![no; 5],
                None,
                Some((3, "health.unhealthy", "5 of 5 targets are not healthy: a: 500; b: 500; c: 500; and 2 more")),
            ),
        ] {
            let labels: Vec<String> = ["a", "b", "c", "d", "e"][..answers.len()].iter().map(|s| (*s).into()).collect();
            let findings: Vec<Finding> =
                answers.iter().map(|answer| finding(std::slice::from_ref(answer), wait)).collect();
            let failure = failure(&labels, &findings, wait);
            let told = failure.as_ref().map(|told| (told.exit().code(), told.code(), told.to_string()));
            assert_eq!(told, expected.map(|(exit, code, message)| (exit, code, message.to_owned())));
        }
    }

    #[test]
    fn spans_read_as_people_write_them() {
        for (ms, text) in [
            (0, "0ms"),
            (340, "340ms"),
            (1000, "1s"),
            (1250, "1.25s"),
            (59_999, "59.999s"),
            (60_000, "1m"),
            (150_500, "2m 30s"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
        assert_eq!(span(Duration::from_micros(20)), "less than 1ms");
    }
}
