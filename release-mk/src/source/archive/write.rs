//! Small files of an archive, written by threads of their own.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use sha2::{Digest, Sha256};
use store::listing::Entry;

use super::refuse;
use super::unpack::Target;
use crate::content::Sha;
use crate::shown::shown;
use crate::{entries, metadata};

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
    /// Its bytes.
    pub(super) content: Vec<u8>,
}

/// Writes batch after batch until there are no more senders.
pub(super) fn write_batches(batches: &Mutex<Receiver<Vec<Pending>>>, target: &Target<'_>) -> Result<()> {
    loop {
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return Ok(()) };
        let written: Result<Vec<Entry>> = batch.into_iter().map(|pending| write_one(pending, target)).collect();
        target.entries.add(written?)?;
    }
}

fn write_one(Pending { parent, path, mode, mtime, content }: Pending, target: &Target<'_>) -> Result<Entry> {
    let (size, sha256): (u64, Sha) = (content.len() as u64, Sha256::digest(&content).into());
    if target.is_linked(&parent, &path, &sha256, size, mode, mtime.tv_sec()) {
        return Ok(entries::file(&path, mode, size, sha256));
    }
    let mut file = create(&parent, &path)?;
    file.write_all(&content).with_context(|| format!("write {}", shown(&path)))?;
    metadata::finish(&file, mode, &mtime).with_context(|| format!("set mode of {}", shown(&path)))?;
    target.meter.file(size);
    Ok(entries::file(&path, mode, size, sha256))
}

/// Makes a file that must not be there yet.
pub(super) fn create(parent: &Dir, path: &Path) -> Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .map(File::from)
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
