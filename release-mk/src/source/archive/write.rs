//! The files of an archive, written by threads of their own.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::time::TimeSpec;
use sha2::{Digest, Sha256};
use store::listing::Entry;

use super::refuse;
use super::target::Target;
use crate::blobs::Blob;
use crate::content::{Sha, begin_writing, read_full};
use crate::metadata::ExactModes;
use crate::shown::shown;
use crate::{entries, metadata};

/// The most that a batch holds, and a small file.
pub(super) const BATCH: usize = 256 * 1024;
/// A larger file is written in pieces of this size. With pieces of 256 KiB Linux 6.18 took up to four times as long for 4 GB in a
/// virtual machine: ext4 asks for memory in one piece for each write.
const PIECE: usize = 128 * 1024;
/// What could not be done when a plain archive cannot be read: the disk's error, not the archive's.
const UNREAD: &str = "read the archive";

/// What a thread does at a time.
pub(super) enum Work {
    /// Small files that were read already, into a buffer that is used again: handing thousands of small ones from thread to
    /// thread costs more than filling them.
    Read { bytes: Vec<u8>, files: Vec<Small> },
    /// Small files of an archive that is a file: their bytes are there from `at` on, with the headers between them.
    Stored { archive: Arc<File>, at: u64, files: Vec<Small> },
    /// A larger file of such an archive: its `size` bytes are there from `at` on.
    Large { file: Admitted, size: u64, archive: Arc<File>, at: u64 },
}

/// A small file, and where in the bytes of its batch it is.
pub(super) type Small = (Admitted, Range<usize>);

/// A file that is accepted.
pub(super) struct Admitted {
    /// The directory it goes to.
    pub(super) parent: Arc<Dir>,
    /// Its path in the tree.
    pub(super) path: PathBuf,
    /// The mode it gets.
    pub(super) mode: u32,
    /// The time it gets.
    pub(super) mtime: TimeSpec,
    /// What git calls its content.
    pub(super) blob: Option<Blob>,
}

/// Does all the work there is until there are no more senders, and gives the buffers back. After an error nobody takes any
/// more, so that whoever sends is told instead of waiting for ever.
pub(super) fn write(
    works: &Mutex<Option<Receiver<Work>>>,
    used: &SyncSender<Vec<u8>>,
    target: &Target<'_>,
    modes: &ExactModes,
) -> Result<()> {
    let taker = || works.lock().unwrap_or_else(PoisonError::into_inner);
    let written = write_all(&taker, used, target, modes);
    if written.is_err() {
        *taker() = None;
    }
    written
}

fn write_all<'w>(
    taker: &dyn Fn() -> MutexGuard<'w, Option<Receiver<Work>>>,
    used: &SyncSender<Vec<u8>>,
    target: &Target<'_>,
    modes: &ExactModes,
) -> Result<()> {
    let mut scratch = Vec::new();
    loop {
        let work = taker().as_ref().and_then(|works| works.recv().ok());
        match work {
            Some(Work::Read { bytes, files }) => {
                batch(files, &bytes, target, modes)?;
                // A full channel only means that there are buffers enough.
                let _ = used.try_send(bytes);
            }
            Some(Work::Stored { archive, at, files }) => {
                let (last, content) = files.last().context("a batch of no files")?;
                scratch.resize(BATCH, 0);
                if read_full(&archive, &mut scratch[..content.end], at).context(UNREAD)? < content.end {
                    bail!(damaged(&last.path));
                }
                batch(files, &scratch, target, modes)?;
            }
            Some(Work::Large { file, size, archive, at }) => {
                let mut read = |done: u64, piece: &mut [u8]| {
                    let left = usize::try_from(size - done).map_or(piece.len(), |left| left.min(piece.len()));
                    read_full(&archive, &mut piece[..left], at + done).context(UNREAD)
                };
                large(file, size, &mut read, &mut scratch, target, modes)?;
            }
            None => return Ok(()),
        }
    }
}

fn batch(files: Vec<Small>, bytes: &[u8], target: &Target<'_>, modes: &ExactModes) -> Result<()> {
    let write = |(file, content): Small| small(file, &bytes[content], target, modes);
    let written: Result<Vec<Entry>> = files.into_iter().map(write).collect();
    target.entries.add(written?)
}

fn small(file: Admitted, content: &[u8], target: &Target<'_>, modes: &ExactModes) -> Result<Entry> {
    let Admitted { parent, path, mode, mtime, blob } = file;
    let (size, sha256): (u64, Sha) = (content.len() as u64, Sha256::digest(content).into());
    target.remember(blob, sha256, size);
    if target.is_linked(&parent, &path, &sha256, size, mode, mtime.tv_sec()) {
        return Ok(entries::file(path, mode, size, sha256));
    }
    let (mut file, exact) = create(&parent, &path, mode, modes)?;
    file.write_all(content).map_err(|error| unwritten(&parent, &path, &error))?;
    finish(&file, exact, mode, &mtime, &path)?;
    target.meter.wrote(size);
    target.meter.file(size);
    Ok(entries::file(path, mode, size, sha256))
}

/// Writes a larger file; `read` puts what follows the first so many bytes into a piece and says how much that is, nothing at
/// the end.
pub(super) fn large(
    file: Admitted,
    size: u64,
    read: &mut dyn FnMut(u64, &mut [u8]) -> Result<usize>,
    scratch: &mut Vec<u8>,
    target: &Target<'_>,
    modes: &ExactModes,
) -> Result<()> {
    let Admitted { parent, path, mode, mtime, blob } = file;
    let (mut file, exact) = create(&parent, &path, mode, modes)?;
    let name = path.file_name().unwrap_or_default();
    scratch.resize(BATCH, 0);
    let scratch = &mut scratch[..PIECE];
    let mut sha = Sha256::new();
    let mut done = 0;
    loop {
        if target.is_stopped() {
            bail!("stopped");
        }
        let count = read(done, scratch)?;
        let piece = &scratch[..count];
        if done + count as u64 > size || (count == 0 && done < size) {
            bail!(damaged(&path));
        }
        if count == 0 {
            break;
        }
        sha.update(piece);
        file.write_all(piece).map_err(|error| unwritten(&parent, &path, &error))?;
        begin_writing(&file, done, count as u64);
        done += count as u64;
    }
    let sha256: Sha = sha.finalize().into();
    target.remember(blob, sha256, size);
    if target.previous.is_some() {
        // Only now it is known to be the same; the copy makes room for the link.
        let aside = format!(".{}", dir::random_suffix());
        parent.rename_new(name, &parent, &aside).map_err(|e| conflict(&path, e))?;
        if target.is_linked(&parent, &path, &sha256, size, mode, mtime.tv_sec()) {
            parent.remove_file(&aside)?;
            return target.entries.add([entries::file(path, mode, size, sha256)]);
        }
        parent.rename_new(&aside, &parent, name).map_err(|e| conflict(&path, e))?;
    }
    finish(&file, exact, mode, &mtime, &path)?;
    target.meter.file(size);
    target.entries.add([entries::file(path, mode, size, sha256)])
}

/// The error of a write, which is the disk's: that of a read would blame the archive.
fn unwritten(parent: &Dir, path: &Path, error: &std::io::Error) -> dir::Error {
    dir::Error::from_io("write", parent.path().join(path.file_name().unwrap_or_default()), error)
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

/// The refusal of an archive that has not all bytes of a file.
pub(super) fn damaged(path: &Path) -> record::Failure {
    refuse("archive.damaged", format!("the archive is damaged: '{}' is not as long as it says", shown(path)))
}
