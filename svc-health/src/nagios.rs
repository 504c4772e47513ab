//! `--nagios`: the monitoring plugins' convention instead of a record. One line on stdout, and 0 OK, 1 WARNING,
//! 2 CRITICAL or 3 UNKNOWN as exit status.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use record::clock;
use rustix::event::epoll::EventFlags;
use rustix::net::RecvFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::changes;
use crate::cli::Request;
use crate::probe::probes;
use crate::report::why;
use crate::target::Target;
use crate::verdict::State;
use crate::watch::{Bystander, Finding, watch};

const NAMED: usize = 5;

/// Asks and answers. No record is read.
pub(crate) fn run(request: &Request) -> ExitCode {
    let began = Instant::now();
    let (line, exit) = match findings(request) {
        Ok((labels, findings)) => told(&labels, &findings, began.elapsed().as_secs_f64()),
        Err(error) => (format!("HEALTH UNKNOWN - {}", one_line(&format!("{error:#}"))), 3),
    };
    // Without a reader the exit status still says it.
    let _ = writeln!(io::stdout(), "{line}");
    ExitCode::from(exit)
}

fn findings(request: &Request) -> anyhow::Result<(Vec<String>, Vec<Finding>)> {
    if request.asked.has_placeholders() {
        bail!("--nagios reads no record that could fill a placeholder");
    }
    let (targets, expect) = request.asked.read(|text| Ok(text.to_owned()))?;
    let labels: Vec<String> = targets.iter().map(Target::label).collect();
    let release = match (request.expect_release, &request.release_path) {
        (false, _) => None,
        (true, Some(path)) => Some(path.clone()),
        (true, None) => bail!("--expect-release with --nagios needs CUTOVER_RELEASE_PATH"),
    };
    let probes = probes(&targets, &request.terms(expect, release))?;
    // The children of exec: targets must be ended before we end.
    let (called, caller) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, caller.try_clone()?)?;
    }
    let check = || match rustix::net::recv(&called, &mut [0u8; 1], RecvFlags::DONTWAIT | RecvFlags::PEEK) {
        Ok(_) => bail!("interrupted"),
        Err(_) => Ok(()),
    };
    let calls = vec![(called.as_fd(), EventFlags::IN)];
    let findings =
        watch(&probes, &request.course(&targets), &Bystander { calls, check: &check, hears: &|_, _, _| {} })?;
    if let Some(path) = &request.on_change {
        changes::note(path, clock::now(), &labels, &findings)?;
    }
    Ok((labels, findings))
}

/// The line and the exit status: the worst target decides, and ill is worse than unknown.
fn told(labels: &[String], findings: &[Finding], seconds: f64) -> (String, u8) {
    let is = |state| findings.iter().any(|finding| finding.verdict.state() == state);
    let (word, exit) = if is(State::Unhealthy) {
        ("CRITICAL", 2)
    } else if is(State::Unknown) {
        ("UNKNOWN", 3)
    } else if is(State::Starting) {
        ("WARNING", 1)
    } else {
        ("OK", 0)
    };
    let failing: Vec<String> = labels
        .iter()
        .zip(findings)
        .filter_map(|(label, finding)| why(finding).map(|reason| format!("{label}: {reason}")))
        .collect();
    let (healthy, all) = (findings.len() - failing.len(), findings.len());
    let named = failing.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    let comma = if failing.is_empty() { "" } else { ", " };
    let text = one_line(&format!("{healthy} of {all} healthy{comma}{named}"));
    (format!("HEALTH {word} - {text} | healthy={healthy};;;0;{all} time={seconds:.6}s;;;0"), exit)
}

/// Text that neither ends the line nor begins the performance data.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '|' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons::Reasons;
    use crate::verdict::{Answer, Rules, Verdict};
    use std::time::Duration;

    fn finding(answer: &Answer) -> Finding {
        let rules = Rules { passes: 1, fails: 1, stable: Duration::ZERO, wait: Some(Duration::from_secs(1)) };
        let (mut verdict, mut reasons) = (Verdict::new(), Reasons::default());
        verdict.hear(&rules, answer, Duration::ZERO);
        if let Answer::Fail(reason) | Answer::NotYet(reason) | Answer::CannotTell(reason) = answer {
            reasons.add(reason, Duration::ZERO);
        }
        Finding { verdict, reasons, elapsed: Duration::ZERO }
    }

    #[test]
    fn the_worst_target_decides_the_word_and_the_status() {
        let (pass, no) = (Answer::Pass, Answer::Fail("500 a|b\nc".into()));
        let (refused, cannot) = (Answer::NotYet("refused".into()), Answer::CannotTell("no permission".into()));
        for (answers, begin, exit) in [
            (vec![&pass, &pass], "HEALTH OK - 2 of 2 healthy | healthy=2;;;0;2 time=0.250000s;;;0", 0),
            (vec![&pass, &refused], "HEALTH WARNING - 1 of 2 healthy, b: refused | healthy=1", 1),
            (vec![&pass, &no], "HEALTH CRITICAL - 1 of 2 healthy, b: 500 a b c | healthy=1", 2),
            (vec![&cannot, &refused], "HEALTH UNKNOWN - 0 of 2 healthy, a: no permission; b: refused |", 3),
            (vec![&cannot, &no], "HEALTH CRITICAL", 2),
        ] {
            let findings: Vec<Finding> = answers.into_iter().map(finding).collect();
            let (line, status) = told(&["a".to_owned(), "b".to_owned()], &findings, 0.25);
            assert!(line.starts_with(begin) && !line.contains('\n') && status == exit, "{line} {status}");
        }
    }
}
