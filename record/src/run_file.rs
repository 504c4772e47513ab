//! `run.json`: the record of the pipe in progress, or of the last one.
//!
//! Replaced by rename, so that whatever was killed can be told and taken back. No deploy outlives a power cut, so only
//! a hold, which a person was told of, is waited for until it is on disk.

use dir::Dir;
use serde_json::Value;

use crate::{Record, RootDir, json};

/// `run.json` of one root.
#[derive(Debug)]
pub struct RunFile {
    state: Dir,
}

const NAME: &str = "run.json";
const SETTLED: &str = "settled";

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

    /// Replaces it.
    pub(crate) fn write(&self, record: &Record) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec(record)?;
        bytes.push(b'\n');
        // What replaces a hold must be as durable as the hold was: else a power cut would bring that one back.
        if record.held || self.read()?.is_some_and(|former| former.held) {
            return Ok(self.state.replace_file(NAME, &bytes, 0o644)?);
        }
        Ok(self.state.swap_file(NAME, &bytes, 0o644)?)
    }

    /// Notes that `pipe` came through its undo stages, so that nobody takes it back later.
    pub(crate) fn settle(&self, pipe: &str) -> anyhow::Result<()> {
        match self.read()? {
            Some(mut record) if record.pipe == pipe && !is_settled(&record) => {
                record.rest.insert(SETTLED.into(), Value::Bool(true));
                self.write(&record)
            }
            _ => Ok(()),
        }
    }
}

/// Whether the pipe of this record came through.
pub(crate) fn is_settled(record: &Record) -> bool {
    record.rest.get(SETTLED) == Some(&Value::Bool(true))
}
