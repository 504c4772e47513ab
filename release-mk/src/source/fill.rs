//! Puts a source, whichever kind it is, into an empty tree.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use dir::Dir;
use record::Pipe;
use store::Root;

use super::archive::target::Target;
use super::archive::{self, Format, Limits};
use super::directory::Copy;
use super::{Source, file, survey};
use crate::blobs::Blobs;
use crate::content::Sha;
use crate::entries::Entries;
use crate::exclude::Exclude;
use crate::pool::{self, Worker};
use crate::progress::Meter;
use crate::unchanged::Previous;

/// Where the source goes, and by which rules.
pub(crate) struct Fill<'a> {
    /// The tree, empty.
    pub(crate) to: &'a Dir,
    /// What stays behind.
    pub(crate) exclude: &'a Exclude,
    /// The release whose identical files are linked to.
    pub(crate) previous: Option<&'a Previous>,
    /// How much an archive may unpack to.
    pub(crate) limits: Limits,
    /// Where every entry is reported.
    pub(crate) entries: &'a Entries,
    /// How far it is.
    pub(crate) meter: &'a Meter,
    /// The root: it must not be part of its own source, and its `.cutover/` holds mirrors.
    pub(crate) root: &'a Root,
    /// Whether the digest of an archive is wanted: it costs as much as those of all its files.
    pub(crate) hashed: bool,
    /// Whether digests of git's blobs are remembered, for the next `--link-unchanged`.
    pub(crate) remembers: bool,
    /// The pipe the build belongs to.
    pub(crate) pipe: &'a Pipe,
}

impl Fill<'_> {
    /// Writes the tree, not yet durable; says the digest of a source that is a single file or archive.
    pub(crate) fn run(&self, source: &Source, tick: &mut dyn FnMut() -> Result<()>) -> Result<Option<Sha>> {
        let Self { to, exclude, previous, limits, entries, meter, root, hashed, remembers, pipe } = *self;
        let state = root.state();
        let now = pipe.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let blobs = match source {
            Source::Git(git) if remembers => Some(Blobs::read(state, &git.cache_name())),
            _ => None,
        };
        let target = Target {
            tree: to,
            exclude,
            limits,
            entries,
            meter,
            now,
            previous,
            timeless: matches!(source, Source::Git(_)),
            hashed,
            blobs: blobs.as_ref(),
            stopped: &AtomicBool::new(false),
        };
        match source {
            Source::Directory { dir, .. } => {
                let root = survey::identity(Some(root.rootdir().dir()))?;
                Copy { from: dir, to, exclude, entries, previous, meter, root }.run(tick)?;
                Ok(None)
            }
            Source::File { name, file, .. } => {
                let sha256 = OnceLock::new();
                let copy = |worker: &Worker<'_, ()>, (): &mut (), ()| {
                    let copied = file::copy(file, name, to, entries, meter, &|| worker.is_stopped())?;
                    sha256.set(copied).map_err(|_| anyhow::anyhow!("one file was copied twice"))
                };
                pool::run(vec![()], || (), copy, tick)?;
                Ok(sha256.into_inner())
            }
            Source::Archive { file, format, .. } => {
                let file = file.try_clone().context("read the archive")?;
                let unpacked = match format {
                    Format::Tar => archive::tar::read(file, &target, tick),
                    Format::Zip => archive::zip::read(file, &target, tick),
                };
                unpacked.with_context(|| format!("unpack {}", source.title()))
            }
            Source::Git(git) => {
                git.unpack(state, pipe, &target, tick)?;
                blobs.map_or(Ok(()), |blobs| blobs.write(state, &git.cache_name()))?;
                Ok(None)
            }
        }
    }
}
