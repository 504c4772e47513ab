//! Where an archive goes: what decides about each of its entries, and who is told.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dir::Dir;

use super::Limits;
use crate::blobs::{Blob, Blobs};
use crate::content::Sha;
use crate::entries::Entries;
use crate::exclude::Exclude;
use crate::progress::Meter;
use crate::unchanged::Previous;

/// Where an archive goes, and by which rules.
pub(crate) struct Target<'a> {
    /// The tree, empty.
    pub(crate) tree: &'a Dir,
    /// What stays behind.
    pub(crate) exclude: &'a Exclude,
    /// How much is accepted.
    pub(crate) limits: Limits,
    /// Where every entry is reported.
    pub(crate) entries: &'a Entries,
    /// How far it is.
    pub(crate) meter: &'a Meter,
    /// Times after this one are wrong, in seconds since 1970.
    pub(crate) now: i64,
    /// The release whose identical files are linked to.
    pub(crate) previous: Option<&'a Previous>,
    /// Whether a file with another time counts as identical: where the source has no times of its own.
    pub(crate) timeless: bool,
    /// Whether the archive's own digest is wanted.
    pub(crate) hashed: bool,
    /// Where the digests of git's blobs are remembered.
    pub(crate) blobs: Option<&'a Blobs>,
    /// Set when it is to end early.
    pub(crate) stopped: &'a AtomicBool,
}

impl Target<'_> {
    /// Whether it is to end early.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether the previous release has the same file, and it was linked.
    pub(super) fn is_linked(&self, parent: &Dir, path: &Path, sha256: &Sha, size: u64, mode: u32, mtime: i64) -> bool {
        let mtime = (!self.timeless).then_some(mtime);
        let linked = self.previous.is_some_and(|previous| previous.link_same(parent, path, sha256, size, mode, mtime));
        if linked {
            self.meter.linked(size);
        }
        linked
    }

    /// Digest and size of a blob that the previous release has under this path, as far as both are remembered.
    pub(crate) fn known(&self, path: &[u8], blob: &Blob) -> Option<(Sha, u64)> {
        let (sha256, size) = self.blobs?.get(blob)?;
        self.previous?.had(path, &sha256).then_some((sha256, size))
    }

    /// Remembers what a file's blob has for content.
    pub(super) fn remember(&self, blob: Option<Blob>, sha256: Sha, size: u64) {
        if let (Some(blobs), Some(blob)) = (self.blobs, blob) {
            blobs.put(blob, sha256, size);
        }
    }
}
