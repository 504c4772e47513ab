//! How far an unfinished build has come: what `--resume` needs to go on.
//!
//! It lies beside the tree, readable by the owner only, and is gone when the release is published. Commands are
//! not kept, only a digest of each: they may carry secrets.

use anyhow::{Context, Result};
use dir::Dir;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::listing::hex;

use crate::fingerprint::Content;
use crate::request::{Request, Step};

const FILE: &str = "state.json";
const LARGEST: u64 = 1 << 20;

/// Written when the source is whole in the tree, and after each step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What the tree was filled from.
    pub(crate) source: record::Source,
    /// What identifies the source's content; not known of an archive nobody asked about.
    pub(crate) content: Option<Content>,
    /// A digest of the options that the tree was filled by: see [`filled_by`].
    pub(crate) filled_by: String,
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

/// What must be the same when a build is resumed, since nobody looks at it again: where the source is and what of it stays
/// behind, what is linked to `shared/`, and where the stamp is. Steps and what is kept of them may be others.
pub(crate) fn filled_by(source: &record::Source, request: &Request) -> String {
    let source = [&source.kind].into_iter().chain(&source.path).chain(&source.repository).chain(&source.reference);
    let share = request.share.iter().map(|share| format!("{} {}", share.path.display(), share.directory));
    let stamp = request.stamp.iter().map(|stamp| stamp.display().to_string());
    let parts = [
        source.cloned().collect::<Vec<_>>(),
        request.exclude.clone(),
        share.collect(),
        stamp.collect(),
        vec![request.submodules.to_string(), request.limits.external_symlinks.to_string()],
    ];
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_le_bytes());
        for text in part {
            sha.update((text.len() as u64).to_le_bytes());
            sha.update(text);
        }
    }
    hex(&sha.finalize())
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
    fn what_filled_the_tree_is_another_when_any_option_is_that_decides_it() {
        use crate::request::Share;
        let request = crate::request::tests::request;
        let share = |path: &str, directory| vec![Share { path: path.into(), directory }];
        let source = |kind: &str, path: Option<&str>, reference: Option<&str>| record::Source {
            kind: kind.into(),
            path: path.map(str::to_owned),
            reference: reference.map(str::to_owned),
            ..record::Source::default()
        };
        let here = source("directory", Some("/a"), None);
        let mut all = vec![
            filled_by(&here, &request()),
            filled_by(&source("directory", Some("/b"), None), &request()),
            filled_by(&source("stream", None, None), &request()),
            filled_by(&source("git", None, Some("a")), &request()),
            filled_by(&source("git", None, Some("b")), &request()),
            filled_by(&here, &Request { exclude: vec!["a".into()], ..request() }),
            filled_by(&here, &Request { share: share("a", true), ..request() }),
            filled_by(&here, &Request { share: share("a", false), ..request() }),
            filled_by(&here, &Request { stamp: Some("a".into()), ..request() }),
            filled_by(&here, &Request { submodules: true, ..request() }),
        ];
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        let step = Step { name: "a".into(), command: "b".into() };
        let other = Request { steps: vec![step], artifact: vec!["x".into()], min_free: 3, ..request() };
        assert_eq!(filled_by(&here, &other), filled_by(&here, &request()));
    }

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
