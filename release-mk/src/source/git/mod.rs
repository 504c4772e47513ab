//! A git revision as source: fetched into a mirror under `.cutover/`, resolved to one commit, and read object by object.
//!
//! Nothing of a repository is ever executed: there is no checkout, so neither hooks nor filters nor attributes
//! of its files mean anything, and only the file, ssh and https protocols are spoken.

pub(crate) mod mirror;
mod objects;
mod reference;
mod running;
mod submodules;

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use dir::Dir;
use record::{Exit, Failure, Pipe};
use sha2::{Digest, Sha256};
use store::listing::hex;

use super::archive::target::Target;
pub(crate) use mirror::Commit;
use submodules::Part;

/// A repository and what is wanted of it.
#[derive(Debug)]
pub(crate) struct Git {
    /// A URL, or the absolute path of a local repository.
    address: String,
    /// The branch, tag or commit that was asked for.
    reference: String,
    /// Whether the repositories that it names within its tree are fetched too.
    submodules: bool,
    commit: OnceLock<Commit>,
}

impl Git {
    /// Checks address and reference. Reads no more than whether a local repository is there.
    pub(crate) fn new(given: &Path, reference: &str, submodules: bool) -> Result<Self> {
        reference::check(reference)?;
        let Some(text) = given.to_str() else {
            bail!(Failure::new(Exit::Usage, "usage", "the address of a git repository is UTF-8"));
        };
        let address = if reference::is_remote(text)? {
            text.to_owned()
        } else {
            let missing = || {
                Failure::new(Exit::Failed, "mk.source", format!("there is no repository at {}", text.escape_debug()))
                    .hint("--from names a local repository or an ssh, https or file URL when --ref is given")
            };
            let path = std::fs::canonicalize(given).with_context(missing)?;
            path.to_str().with_context(missing)?.to_owned()
        };
        Ok(Self { address, reference: reference.to_owned(), submodules, commit: OnceLock::new() })
    }

    /// The commit; the first call fetches. Writes the mirror below `state`, the root's `.cutover/`.
    pub(crate) fn commit(&self, state: &Dir, pipe: &Pipe) -> Result<&Commit> {
        if let Some(commit) = self.commit.get() {
            return Ok(commit);
        }
        let commit = mirror::fetch(&self.address, &self.reference, state, pipe)?;
        Ok(self.commit.get_or_init(|| commit))
    }

    /// Puts the commit's tree, and those of its submodules where they are wanted, into the target.
    pub(crate) fn unpack(
        &self,
        state: &Dir,
        pipe: &Pipe,
        target: &Target<'_>,
        tick: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let commit = self.commit(state, pipe)?;
        let mut parts = vec![Part { prefix: Vec::new(), commit: commit.clone() }];
        if self.submodules {
            parts.extend(submodules::fetch(&self.address, commit, state, pipe)?);
        }
        objects::unpack(&parts, target, tick)
    }

    /// The name of what is remembered of this repository.
    pub(crate) fn cache_name(&self) -> String {
        format!("git-{}", &hex(&Sha256::digest(&self.address))[..32])
    }

    /// What the record says: never the user information of a URL.
    pub(crate) fn to_record(&self) -> record::Source {
        record::Source {
            kind: "git".into(),
            repository: Some(reference::without_user(&self.address)),
            reference: Some(self.reference.clone()),
            revision: self.commit.get().map(|commit| commit.revision.clone()),
            ..record::Source::default()
        }
    }

    /// Its address, without what is secret in it.
    pub(crate) fn title(&self) -> String {
        reference::without_secrets(&self.address)
    }
}
