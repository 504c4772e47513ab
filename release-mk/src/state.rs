//! How far an unfinished build has come: what `--resume` needs to go on.
//!
//! It lies beside the tree, readable by the owner only, and is gone when the release is published. Commands are
//! not kept, only a digest of each: they may carry secrets.

use anyhow::{Context, Result};
use dir::Dir;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::listing::hex;

use crate::plan::Step;

const FILE: &str = "state.json";
const LARGEST: u64 = 1 << 20;

/// Written when the source is whole in the tree, and after each step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What the tree was filled from.
    pub(crate) source: record::Source,
    /// What decides the release's content; not known of an archive nobody asked about.
    pub(crate) source_digest: Option<String>,
    /// Files and symlinks that came from the source.
    pub(crate) source_files: u64,
    /// Their bytes.
    pub(crate) source_bytes: u64,
    /// Digests of the steps that are done, in order.
    pub(crate) done: Vec<String>,
}

impl State {
    /// What was written last; `None` when the source is not whole yet.
    pub(crate) fn read(staging: &Dir) -> Result<Option<Self>> {
        if staging.stat_if_there(FILE)?.is_none() {
            return Ok(None);
        }
        let bytes = staging.read_file(FILE, LARGEST)?;
        serde_json::from_slice(&bytes).map(Some).with_context(|| format!("read {}/{FILE}", staging.path().display()))
    }

    /// Replaces what was written last, durable when it returns.
    pub(crate) fn write(&self, staging: &Dir) -> Result<()> {
        Ok(staging.replace_file(FILE, &serde_json::to_vec(self)?, 0o600)?)
    }

    /// How many of `steps` need not be done again: those that are done, as long as they are the same ones.
    pub(crate) fn finished(&self, steps: &[Step]) -> usize {
        self.done.iter().zip(steps).take_while(|(done, step)| **done == digest(step)).count()
    }
}

/// Identifies a step without telling its command.
pub(crate) fn digest(step: &Step) -> String {
    let mut sha = Sha256::new();
    sha.update(step.name.as_bytes());
    sha.update([0]);
    sha.update(step.command.as_bytes());
    hex(&sha.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_done_again_when_it_or_one_before_it_is_another() {
        let step = |name: &str, command: &str| Step { name: name.into(), command: command.into() };
        let steps = [step("a", "make a"), step("b", "make b"), step("c", "make c")];
        let state = State { done: steps[..2].iter().map(digest).collect(), ..State::default() };
        assert_eq!(state.finished(&steps), 2);
        assert_eq!(state.finished(&steps[..1]), 1);
        assert_eq!(state.finished(&[step("a", "make a"), step("b", "make other")]), 1);
        assert_eq!(state.finished(&[step("x", "make a"), step("b", "make b")]), 0);
        assert_eq!(state.finished(&[]), 0);
    }
}
