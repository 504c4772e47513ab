//! Small files of an archive, written by threads of their own.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::time::TimeSpec;
use sha2::{Digest, Sha256};
use store::listing::Entry;

use super::refuse;
use super::target::Target;
use crate::blobs::Blob;
use crate::content::Sha;
use crate::metadata::ExactModes;
use crate::shown::shown;
use crate::{entries, metadata};

/// Small files that wait to be written. Their bytes are in one piece, which is used again: handing thousands of small
/// buffers from thread to thread costs more than filling them.
#[derive(Default)]
pub(super) struct Batch {
    /// What is in the files, one behind the other, and room for more.
    pub(super) bytes: Vec<u8>,
    /// How much of it is taken.
    pub(super) filled: usize,
    /// The files in this order.
    pub(super) files: Vec<Pending>,
}

/// A small file, read and waiting to be written.
pub(super) struct Pending {
    /// The directory it goes to.
    pub(super) parent: Arc<Dir>,
    /// Its path in the tree.
    pub(super) path: PathBuf,
    /// The mode it gets.
    pub(super) mode: u32,
    /// The time it gets.
    pub(super) mtime: TimeSpec,
    /// Where its bytes are in the batch.
    pub(super) content: Range<usize>,
    /// What git calls them.
    pub(super) blob: Option<Blob>,
}

/// Writes batch after batch until there are no more senders, and gives the buffers back. After an error nobody takes
/// batches any more, so that whoever sends them is told instead of waiting for ever.
pub(super) fn write_batches(
    batches: &Mutex<Option<Receiver<Batch>>>,
    used: &SyncSender<Vec<u8>>,
    target: &Target<'_>,
    modes: &ExactModes,
) -> Result<()> {
    let taker = || batches.lock().unwrap_or_else(PoisonError::into_inner);
    let written = write_all(&taker, used, target, modes);
    if written.is_err() {
        *taker() = None;
    }
    written
}

fn write_all<'b>(
    taker: &dyn Fn() -> MutexGuard<'b, Option<Receiver<Batch>>>,
    used: &SyncSender<Vec<u8>>,
    target: &Target<'_>,
    modes: &ExactModes,
) -> Result<()> {
    loop {
        let batch = taker().as_ref().and_then(|batches| batches.recv().ok());
        let Some(Batch { bytes, files, .. }) = batch else { return Ok(()) };
        let written: Result<Vec<Entry>> =
            files.into_iter().map(|pending| write_one(pending, &bytes, target, modes)).collect();
        target.entries.add(written?)?;
        // A full channel only means that there are buffers enough.
        let _ = used.try_send(bytes);
    }
}

fn write_one(pending: Pending, bytes: &[u8], target: &Target<'_>, modes: &ExactModes) -> Result<Entry> {
    let Pending { parent, path, mode, mtime, content, blob } = pending;
    let content = &bytes[content];
    let (size, sha256): (u64, Sha) = (content.len() as u64, Sha256::digest(content).into());
    target.remember(blob, sha256, size);
    if target.is_linked(&parent, &path, &sha256, size, mode, mtime.tv_sec()) {
        return Ok(entries::file(path, mode, size, sha256));
    }
    let (mut file, exact) = create(&parent, &path, mode, modes)?;
    file.write_all(content).with_context(|| format!("write {}", shown(&path)))?;
    finish(&file, exact, mode, &mtime, &path)?;
    target.meter.wrote(size);
    target.meter.file(size);
    Ok(entries::file(path, mode, size, sha256))
}

/// Gives a written file its time, and its mode unless it was made with it.
pub(super) fn finish(file: &File, exact: bool, mode: u32, mtime: &TimeSpec, path: &Path) -> Result<()> {
    let finished = if exact { metadata::set_time(file, mtime) } else { metadata::finish(file, mode, mtime) };
    finished.with_context(|| format!("set mode of {}", shown(path)))
}

/// Makes a file that must not be there yet; also says whether it has its mode already.
pub(super) fn create(parent: &Dir, path: &Path, mode: u32, modes: &ExactModes) -> Result<(File, bool)> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    let (made_with, exact) = modes.for_new(mode);
    openat(parent, name, flags, made_with)
        .map(|fd| (File::from(fd), exact))
        .map_err(|errno| conflict(path, parent.error("make file", name, errno)))
}

/// Something that is in the way makes the archive contradict itself; any other error is the disk's.
pub(super) fn conflict(path: &Path, error: dir::Error) -> anyhow::Error {
    match error.errno() {
        Errno::EEXIST | Errno::ENOTDIR | Errno::ELOOP | Errno::EISDIR | Errno::EXDEV => {
            let message =
                format!("the archive is refused: '{}' comes twice, or lies below what is no directory", shown(path));
            anyhow::Error::new(error).context(refuse("archive.duplicate", message))
        }
        _ => error.into(),
    }
}
