//! `run.json`: the record of the pipe in progress, or of the last one.
//!
//! Replaced by rename, so that whatever was killed can be told and taken back. No deploy outlives a power cut, so only
//! a hold, which a person was told of, is waited for until it is on disk.

use dir::Dir;
use serde_json::Value;

use crate::{Record, RootDir, clock, downstream, json};

/// `run.json` of one root.
#[derive(Debug)]
pub struct RunFile {
    state: Dir,
}

const NAME: &str = "run.json";
const SETTLED: &str = "settled";
const WRITTEN: &str = "written_us";
const WRITER: &str = "writer_pid";

impl RunFile {
    /// The file of this root, whether it is there or not.
    pub fn of(root: &RootDir) -> anyhow::Result<Self> {
        Ok(Self { state: root.state()? })
    }

    /// The record in it; `None` where there is none or it is not valid.
    pub fn read(&self) -> anyhow::Result<Option<Record>> {
        match self.state.read_file(NAME, 16 << 20) {
            Ok(bytes) => Ok(json::parse_unbounded(&bytes).ok()),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The pipe that has acted under this root since `pipe` last did; `None` where none is known. One that waits for a
    /// person came before: none but `pipe` itself could have acted over it. One whose gate or hook runs us is no other.
    pub fn later_than(&self, pipe: &str) -> anyhow::Result<Option<String>> {
        let last = self.read()?.filter(|last| last.pipe != pipe && !last.held && !encloses_us(last));
        Ok(last.map(|last| last.pipe))
    }

    /// Replaces it, unless it holds another pipe that waits for a person and that this one does not overtake, or the
    /// very stage whose gate or hook runs this tool. Says whether it did.
    pub(crate) fn write(&self, record: &Record, overtakes: Overtakes) -> anyhow::Result<bool> {
        let former = self.read()?;
        if former.as_ref().is_some_and(|former| former.pipe != record.pipe && encloses_us(former)) {
            return Ok(false);
        }
        let is_held = former.as_ref().is_some_and(|former| former.held);
        if is_held && overtakes == Overtakes::Nobody && former.is_some_and(|former| former.pipe != record.pipe) {
            return Ok(false);
        }
        let mut noted = record.clone();
        noted.rest.insert(WRITTEN.into(), clock::monotonic_us().into());
        noted.rest.insert(WRITER.into(), std::process::id().into());
        let mut bytes = serde_json::to_vec(&noted)?;
        bytes.push(b'\n');
        // What replaces a hold must be as durable as the hold was: else a power cut would bring that one back.
        if record.held || is_held {
            self.state.replace_file(NAME, &bytes, 0o644)?;
        } else {
            self.state.swap_file(NAME, &bytes, 0o644)?;
        }
        Ok(true)
    }

    /// Notes that `pipe` came through its undo stages, so that nobody takes it back later.
    pub(crate) fn settle(&self, pipe: &str) -> anyhow::Result<()> {
        match self.read()? {
            Some(mut record) if record.pipe == pipe && !is_settled(&record) => {
                record.rest.insert(SETTLED.into(), Value::Bool(true));
                self.write(&record, Overtakes::Nobody).map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// Whether the stage that wrote this is at work still and a process above this one.
fn encloses_us(record: &Record) -> bool {
    let is_running = record.stages.last().is_some_and(|stage| stage.running);
    let writer = record.rest.get(WRITER).and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
    is_running && writer.is_some_and(downstream::is_an_ancestor)
}

/// Whether a pipe may replace the record of another one that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overtakes {
    /// It leaves that record alone.
    Nobody,
    /// A person asked for it.
    Everybody,
}

/// Whether this record was written since `instant` (in microseconds of the monotonic clock): every stage of a pipe
/// starts before the first of them writes, so what was written before a stage began is an earlier pipe's.
pub(crate) fn is_written_since(record: &mut Record, instant: u64) -> bool {
    record.rest.remove(WRITER);
    record.rest.remove(WRITTEN).and_then(|at| at.as_u64()).is_some_and(|at| at >= instant)
}

/// Whether the pipe of this record came through.
pub(crate) fn is_settled(record: &Record) -> bool {
    record.rest.get(SETTLED) == Some(&Value::Bool(true))
}
