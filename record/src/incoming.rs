//! What reaches a stage, and whether it has work at all.

use std::os::fd::AsFd;

use anyhow::{Context, bail};

use crate::downstream::Downstream;
use crate::pipe::fresh_record;
use crate::run_file::{is_settled, is_written_since};
use crate::{DeployLock, ErrorInfo, Exit, Failure, Interrupts, Options, Record, Role, RootDir, RunFile, Tool};
use crate::{clock, host, input, json, output};

/// The record a stage works on, and how it came.
pub(crate) struct Incoming {
    pub(crate) record: Record,
    pub(crate) has_input: bool,
    pub(crate) interrupts: Interrupts,
    pub(crate) downstream: Downstream,
}

/// What a stage does next.
pub(crate) enum Next {
    /// Its own work.
    Work(Box<Incoming>),
    /// Nothing: the record goes on as it is.
    PassBy(Box<Record>),
}

/// What this stage may add: its entry and an error, in bytes.
const ROOM: usize = 80 << 10;

/// Reads the record, where one is expected, and decides by the rules of the pipe.
pub(crate) fn take(tool: Tool, role: Role, options: &Options) -> anyhow::Result<Next> {
    let began = clock::monotonic_us();
    let interrupts = Interrupts::watch().context("watch for signals")?;
    let mut downstream = Downstream::unknown();
    let reads = role != Role::Begins && !options.no_record;
    let kind = if reads { input::kind(std::io::stdin())? } else { input::Stdin::Nothing };
    if kind == input::Stdin::Nothing {
        return Ok(Next::Work(Box::new(Incoming { record: fresh_record(), has_input: false, interrupts, downstream })));
    }
    let waiting = || {
        let what = "waiting for a record on stdin, which is a socket; to run alone add -n";
        output::say(tool.name, output::Priority::Info, what);
    };
    let bytes = input::read(kind, std::io::stdout().as_fd(), &mut downstream, waiting)?;
    if bytes.len() + ROOM > json::LARGEST {
        // Known before the effect: the record could not be handed on after it.
        bail!(Failure::new(
            Exit::InvalidInput,
            "input.too_large",
            "the record on stdin leaves no room for this stage's entry within 1 MiB"
        ));
    }
    let mut record = match json::parse(&bytes) {
        _ if bytes.is_empty() => died(role, options, began)?,
        // Killed in the middle of its record: as dead as one that wrote nothing.
        Err(refusal) if role == Role::Undoes && !bytes.ends_with(b"\n") => {
            died(role, options, began).map_err(|_| refusal)?
        }
        parsed => parsed?,
    };
    if role == Role::Undoes && knows_nothing_before(&record) {
        record = continued(options, record, began)?;
    }
    if is_unfinished(&record) {
        if role != Role::Undoes {
            let message = "the record on stdin is of a pipe whose last stage was still at work";
            bail!(
                Failure::new(Exit::InvalidInput, "input.unfinished", message).hint(
                    "a pipe that was killed is taken back by its undo stages: release-switch --undo <run.json | …"
                )
            );
        }
        // Whether it still is at work, the deploy lock tells.
        is_written_since(&mut record, 0);
        end(&mut record);
    }
    if record.host != host::host_name() {
        bail!(
            Failure::new(
                Exit::InvalidInput,
                "input.host",
                format!("the record comes from the host {}, this is {}", record.host, host::host_name())
            )
            .hint("run the whole pipe on one host: ssh HOST 'release-mk … | release-switch …'")
        );
    }
    if passes_by(role, &record) {
        return Ok(Next::PassBy(Box::new(record)));
    }
    Ok(Next::Work(Box::new(Incoming { record, has_input: true, interrupts, downstream })))
}

fn passes_by(role: Role, record: &Record) -> bool {
    let undo_failed = record.error.as_ref().is_some_and(|error| error.exit == Exit::UndoFailed.code());
    record.held || undo_failed || (role == Role::Acts && !record.ok)
}

/// The record of a pipe whose stage before died without a word: in an undo stage under release-lock
/// the one in `run.json`, as failed; else a refusal.
fn died(role: Role, options: &Options, began: u64) -> anyhow::Result<Record> {
    let refusal = Failure::new(Exit::EmptyInput, "input.empty", "stdin is empty: the stage before died")
        .hint("the stage before says why; to run alone, without a pipe, add -n");
    if role != Role::Undoes {
        bail!(refusal);
    }
    let Some(mut record) = of_this_pipe(options, began)? else { bail!(refusal) };
    end(&mut record);
    Ok(record)
}

/// Whether a stage was still at work when this was written: it is `run.json` of a pipe that was killed, or that goes on.
fn is_unfinished(record: &Record) -> bool {
    record.ok && !record.held && !is_settled(record) && record.stages.last().is_some_and(|stage| stage.running)
}

/// Makes it the record of a pipe whose last stage died without a word.
fn end(record: &mut Record) {
    if record.ok && !record.held {
        let last = record.stages.last().map_or_else(|| "a stage".to_owned(), |stage| stage.tool.clone());
        record.ok = false;
        record.error = Some(ErrorInfo {
            message: format!("a stage died without a record; {last} was the last one at work"),
            tool: last,
            code: "stage.died".into(),
            detail: None,
            hint: Some("look at run.json for what was in hand".into()),
            exit: Exit::EmptyInput.code(),
            retryable: true,
            blame: None,
            cause: None,
            rest: serde_json::Map::new(),
        });
    }
}

/// Whether the record was begun by an acting stage that refused what it got or could not read it: nothing of the pipe
/// reached it.
fn knows_nothing_before(record: &Record) -> bool {
    let refused = record.error.as_ref().is_some_and(|error| {
        [Exit::EmptyInput.code(), Exit::InvalidInput.code()].contains(&error.exit) || error.code == input::UNREAD
    });
    refused && record.root.is_none() && record.stages.iter().all(|stage| !stage.ok)
}

/// Under release-lock, the pipe that `run.json` knows, ended by the refusal of a later stage; else the refusal alone.
fn continued(options: &Options, refusal: Record, began: u64) -> anyhow::Result<Record> {
    Ok(match of_this_pipe(options, began)? {
        Some(known) if !known.held => {
            let mut stages = known.stages;
            stages.extend(refusal.stages);
            Record { ok: false, error: refusal.error, stages, ..known }
        }
        _ => refusal,
    })
}

/// The record in `run.json`, if it is of the pipe that this stage is in: of the deploy this process runs under, written
/// since this stage began, and nobody is through with it.
fn of_this_pipe(options: &Options, began: u64) -> anyhow::Result<Option<Record>> {
    let Some(path) = options
        .root
        .clone()
        .or_else(|| std::env::var_os("CUTOVER_ROOT").filter(|root| !root.is_empty()).map(Into::into))
    else {
        return Ok(None);
    };
    // A root that cannot be used tells nothing; the refusal is the truer error.
    let Ok(root) = RootDir::open(&path, options.allow_network_fs) else { return Ok(None) };
    let Some(lock) = DeployLock::inherited(&root)? else { return Ok(None) };
    let Some(mut record) = RunFile::of(&root)?.read()? else { return Ok(None) };
    let of_this = is_written_since(&mut record, began)
        && lock.deploy().is_some()
        && record.deploy.as_deref() == lock.deploy()
        && !is_settled(&record);
    Ok(of_this.then_some(record))
}
