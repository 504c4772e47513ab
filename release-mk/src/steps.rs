//! Build steps: commands that run in the tree, one after the other, until one fails.

use std::io::Write;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use process::command::{Ended, Outcome, Spec};
use record::clock::milliseconds;
use record::sections::{MkOutcome, MkStep};
use record::{Exit, Failure, Pipe};
use store::staging::Staging;

use crate::request::Step;
use crate::state::{self, State};
use crate::watch;

/// Runs the steps that are not done yet, in the staging tree, and notes each that is. Their output goes to stderr
/// and to a log each. A signal, or a later stage that is gone, ends the process group of the step in hand; so does our
/// being killed, since whoever resumes the build runs that step again in the same tree.
pub(crate) fn run(
    steps: &[Step],
    staging: &Staging,
    state: &mut State,
    environment: &[(&str, String)],
    pipe: &Pipe,
    report: &mut Vec<MkStep>,
    hint: &str,
) -> Result<()> {
    let finished = state.finished(steps);
    state.done.truncate(finished);
    *report = steps.iter().map(|step| MkStep { name: step.name.clone(), ..MkStep::default() }).collect();
    for done in report.iter_mut().take(finished) {
        done.outcome = MkOutcome::Skipped;
    }
    let (logs, _) = staging.dir.ensure_dir("logs", 0o700)?;
    let watched = watch::down_and_signals(pipe)?;
    for (at, step) in steps.iter().enumerate().skip(finished) {
        watch::look(pipe)?;
        pipe.say(format_args!("step {}", step.name));
        let name = format!("{}.log", step.name);
        let mut log = logs.open_file(&name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC, 0o600)?;
        let mut lost = None;
        let mut spec = Spec::shell(format!("step {}", step.name), &step.command)
            .directory(staging.tree.path())
            .guarded()
            .leaving_nothing();
        for (key, value) in environment {
            spec = spec.env(*key, value);
        }
        let ended = spec.run_watching(Some(watched.as_fd()), &mut |output| {
            // A terminal that went away is no reason to stop a build.
            let _ = std::io::stderr().write_all(output);
            if let Err(error) = log.write_all(output) {
                lost.get_or_insert(error);
            }
        })?;
        report[at].elapsed_ms = Some(milliseconds(ended.elapsed));
        report[at].log = Some(logs.path().join(&name).display().to_string());
        if ended.rest_ended {
            pipe.say(format_args!(
                "step {} left processes behind, which were ended: nobody may change a release",
                step.name
            ));
        }
        judge(step, &ended, &mut report[at], pipe, hint)?;
        if let Some(error) = lost {
            return Err(error).with_context(|| format!("write the log {name}"));
        }
        state.done.push(state::digest(step));
        state.write(&staging.dir)?;
    }
    Ok(())
}

fn judge(step: &Step, ended: &Ended, report: &mut MkStep, pipe: &Pipe, hint: &str) -> Result<()> {
    if ended.outcome.is_success() {
        report.outcome = MkOutcome::Done;
        report.exit = Some(0);
        return Ok(());
    }
    report.outcome = MkOutcome::Failed;
    let how = match ended.outcome {
        Outcome::Interrupted => {
            report.outcome = MkOutcome::Interrupted;
            pipe.check_signals()?;
            pipe.look_down()?;
            "was interrupted".to_owned()
        }
        Outcome::Exited(status) => {
            report.exit = Some(status);
            format!("ended with {status}")
        }
        Outcome::Signalled(signal) => format!("was ended by signal {signal}"),
        Outcome::TimedOut(_) => "took too long".to_owned(),
        Outcome::NotFound | Outcome::NotExecutable => "could not be started".to_owned(),
    };
    let log = report.log.clone().unwrap_or_default();
    bail!(Failure::new(Exit::Failed, "mk.step", format!("step {} {how}; its log is {log}", step.name)).hint(hint))
}
