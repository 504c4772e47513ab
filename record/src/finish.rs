//! From the result of a stage's work to one record and one exit status.

use anyhow::Context;

use crate::deploy::inherited_fds;
use crate::pipe::{Pipe, fresh_record};
use crate::run_file::{Overtakes, RunFile};
use crate::wire::Warning;
use crate::{DeployLock, ErrorInfo, Exit, Failure, Options, Record, Role, RootDir, Stage, Tool};
use crate::{advice, clock, elide, look, output, report};

/// Ends a stage that did its work, or failed at it.
pub(crate) fn finish(mut pipe: Pipe, result: anyhow::Result<()>) -> u8 {
    let tool = pipe.tool;
    if let Err(error) = &result {
        let (mut failure, message) = output::failure_of(tool.name, error);
        failure.hint = failure.hint.or_else(|| advice::of(error, Some(&pipe)));
        output::complain(tool.name, &message, failure.hint.as_deref());
        // A pipe that has come so far must hear of it, or its undo stages would not act.
        if failure.exit == Exit::Usage && !pipe.has_input && !pipe.in_progress {
            return Exit::Usage.code();
        }
        note_failure(&mut pipe, &failure, message);
    } else {
        pipe.stage.ok = true;
    }
    let passes_on = pipe.role == Role::Undoes && !pipe.undoing() && says_nothing(&pipe.stage);
    let settles = pipe.role == Role::Undoes && pipe.record.ok && !pipe.record.held;
    let (in_progress, overtakes) = (pipe.in_progress, pipe.overtakes);
    let (root, lock) = (pipe.root.take(), pipe.lock.take());
    let (options, host_root) = (pipe.options.clone(), root);
    let (mut record, stage, elapsed) = pipe.into_parts();
    record.changed |= stage.changed;
    let full = Stage { elapsed_ms: clock::milliseconds(elapsed), ..stage };
    if !passes_on {
        record.stages.push(full.clone());
    }
    let mut doubts = Vec::new();
    if in_progress && let Some(root) = &host_root {
        doubts.extend(save(root, &record, overtakes).err());
    }
    if settles && !record.dry_run {
        doubts.extend(settle(host_root.as_ref(), &options, &record).err());
    }
    // The next stage must not find the lock still held by this one.
    drop(lock);
    if let Some(path) = &options.report
        && let Err(doubt) = report::write(path, &full, host_root.as_ref())
    {
        // Only the last stage's status is seen.
        record.warnings.push(Warning::new(tool.name, "report", format!("{doubt:#}")));
        doubts.push(doubt);
    }
    if !passes_on && let Some(stage) = record.stages.last_mut() {
        elide::cap(stage);
    }
    // Behind a broken pipe nobody reads.
    let is_written = in_progress && dir::planted("record-before-effect") && full.tool != "release-mk";
    if record.error.as_ref().is_none_or(|error| error.code != look::BROKEN) && !is_written {
        doubts.extend(output::write(&record).err());
    }
    for doubt in &doubts {
        output::complain(tool.name, &format!("{doubt:#}"), None);
    }
    match exit_of(&record) {
        0 | 6 if !doubts.is_empty() => Exit::Unrecorded.code(),
        status => status,
    }
}

/// Hands a record on unchanged.
pub(crate) fn pass_by(tool: Tool, record: &Record) -> u8 {
    match output::write(record) {
        Ok(()) => exit_of(record),
        Err(e) => {
            output::complain(tool.name, &format!("{e:#}"), None);
            match exit_of(record) {
                0 | 6 => Exit::Failed.code(),
                status => status,
            }
        }
    }
}

/// Ends a stage that had no valid record to work on.
pub(crate) fn refuse(tool: Tool, options: &Options, refusal: &anyhow::Error) -> u8 {
    let (failure, message) = output::failure_of(tool.name, refusal);
    output::complain(tool.name, &message, failure.hint.as_deref());
    let mut record = fresh_record();
    record.dry_run = options.dry_run;
    record.ok = false;
    record.error = Some(error_info(tool, &failure, message));
    let now = clock::rfc3339(clock::now());
    record.stages.push(Stage {
        tool: tool.name.into(),
        version: tool.version.into(),
        started_at: now,
        ..Stage::default()
    });
    // Nobody may be there to read it; the exit status says the same.
    let _ = output::write(&record);
    failure.exit.code()
}

fn says_nothing(stage: &Stage) -> bool {
    !stage.changed && stage.rest.is_empty() && stage.plan.is_empty()
}

/// An undo that fails replaces the error by its own, exit 5, the first one under `cause`.
fn note_failure(pipe: &mut Pipe, failure: &Failure, message: String) {
    let mut error = error_info(pipe.tool, failure, message);
    if pipe.undoing() {
        error.exit = Exit::UndoFailed.code();
        error.cause = pipe.record.error.take().map(Box::new);
    }
    pipe.record.ok = false;
    pipe.record.held = false;
    pipe.record.error = Some(error);
}

fn error_info(tool: Tool, failure: &Failure, message: String) -> ErrorInfo {
    ErrorInfo {
        tool: tool.name.into(),
        code: failure.code.into(),
        message,
        detail: failure.detail.clone(),
        hint: failure.hint.clone(),
        exit: failure.exit.code(),
        retryable: failure.retryable,
        blame: failure.blame,
        cause: None,
        rest: serde_json::Map::new(),
    }
}

fn exit_of(record: &Record) -> u8 {
    match &record.error {
        Some(error) => Exit::Of(error.exit).code(),
        None if record.held => Exit::Held.code(),
        None => Exit::Done.code(),
    }
}

fn save(root: &RootDir, record: &Record, overtakes: Overtakes) -> anyhow::Result<()> {
    let _acting = root.act_as_owner()?;
    RunFile::of(root)?.write(record, overtakes).context("write run.json").map(drop)
}

/// Under release-lock, notes that the pipe came through: nobody is to take it back.
fn settle(entered: Option<&RootDir>, options: &Options, record: &Record) -> anyhow::Result<()> {
    let recorded = match (entered, &record.root) {
        (None, Some(path)) if !inherited_fds().is_empty() => {
            Some(RootDir::open(path.as_ref(), options.allow_network_fs)?)
        }
        _ => None,
    };
    let Some(root) = entered.or(recorded.as_ref()) else { return Ok(()) };
    if DeployLock::inherited(root)?.is_none() {
        return Ok(());
    }
    let _acting = root.act_as_owner()?;
    RunFile::of(root)?.settle(&record.pipe).context("write run.json")
}
