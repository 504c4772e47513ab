//! `--status`: where the last run under a root left each instance, and whether it was killed.

use std::time::Duration;

use anyhow::{Result, bail};
use dir::Wait;
use record::sections::RestartSection;
use record::{DeployLock, Exit, Failure, Pipe, Record, RunFile};

use crate::account::word;
use crate::act::enter;

const OWN: &str = "svc-restart";

/// Tells on stderr, and puts the run's section into this stage. Changes nothing.
pub(crate) fn tell(pipe: &mut Pipe) -> Result<()> {
    pipe.root_path()?;
    enter(pipe)?;
    let Some(root) = pipe.root() else { return Ok(()) };
    let Some(run) = RunFile::of(root)?.read()? else {
        bail!(Failure::new(
            Exit::NoCandidate,
            "restart.no_run",
            format!("no run is known under {}", root.path().display())
        ));
    };
    let held_by_somebody = is_running(pipe)?;
    let Some(stage) = run.stages.iter().rev().find(|stage| stage.tool == OWN) else {
        bail!(Failure::new(Exit::NoCandidate, "restart.no_run", "the last pipe has had no svc-restart so far"));
    };
    let section: RestartSection = stage.section()?;
    let state = describe(&run, stage.running, held_by_somebody);
    pipe.say(format_args!("the {} of pipe {} {state}", section.action, run.pipe));
    for entry in &section.instances {
        let pids = [("was", entry.pid_before), ("is", entry.pid_after)];
        let pids: Vec<String> = pids.iter().filter_map(|(word, pid)| Some(format!("{word} pid {}", (*pid)?))).collect();
        let reason = entry.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let pids = if pids.is_empty() { String::new() } else { format!(" ({})", pids.join(", ")) };
        pipe.say(format_args!("  {} {}{pids}{reason}", entry.name, word(entry.outcome)));
    }
    pipe.record_mut().release = run.release.clone();
    pipe.set_section(&section);
    Ok(())
}

fn describe(run: &Record, unfinished: bool, held_by_somebody: bool) -> &'static str {
    match (unfinished, held_by_somebody) {
        (true, true) => "is at work",
        (true, false) => {
            "was killed: run it again, or take it back: release-switch --undo <.cutover/run.json | svc-restart --undo …"
        }
        _ if run.held => "waits for a promotion",
        _ if run.ok => "came through",
        _ => "failed",
    }
}

/// Whether somebody holds the deploy lock: then a stage that says it is at work is.
fn is_running(pipe: &Pipe) -> Result<bool> {
    let Some(root) = pipe.root() else { return Ok(false) };
    if matches!(DeployLock::inherited(root), Ok(Some(_))) {
        return Ok(false);
    }
    let _acting = root.act_as_owner()?;
    Ok(root.state()?.lock_file("deploy", 0o600, Wait(Duration::ZERO))?.is_err())
}
