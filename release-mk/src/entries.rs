//! The entries of a tree as they become known, in any order, and sorted once at the end.
//!
//! Up to [`IN_MEMORY`] entries are held; further ones go to sorted runs in unnamed files, which are
//! merged at the end. So the memory does not grow with the tree.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use dir::Dir;
use nix::fcntl::OFlag;
use store::listing::{Entry, Reader, What, Writer, order};

use crate::content::Sha;

/// Entries held in memory: some 25 MiB with paths of usual length.
const IN_MEMORY: usize = 150_000;

/// Collects entries from all threads.
pub(crate) struct Entries {
    inner: Mutex<Inner>,
    directory: Dir,
}

#[derive(Default)]
struct Inner {
    held: Vec<Entry>,
    runs: Vec<File>,
}

impl Entries {
    /// Runs that do not fit in memory are unnamed files of `directory`.
    pub(crate) fn new(directory: Dir) -> Self {
        Self { inner: Mutex::default(), directory }
    }

    /// Adds a batch. Writes to an unnamed file when too many are held.
    pub(crate) fn add(&self, batch: Vec<Entry>) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.held.extend(batch);
        if inner.held.len() >= IN_MEMORY {
            let mut held = std::mem::take(&mut inner.held);
            held.sort_unstable_by(|one, other| order(&one.path, &other.path));
            inner.runs.push(self.spill(&held).context("write a part of the listing")?);
            held.clear();
            inner.held = held;
        }
        Ok(())
    }

    /// Hands every entry to `each` in the order of the listing, without changing what is collected.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Entry) -> Result<()>) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.held.sort_unstable_by(|one, other| order(&one.path, &other.path));
        let Inner { held, runs } = &mut *inner;
        if runs.is_empty() {
            return held.iter().try_for_each(each);
        }
        let mut sources: Vec<Box<dyn Iterator<Item = Result<Entry>> + '_>> =
            vec![Box::new(held.iter().cloned().map(Ok))];
        for run in runs {
            run.seek(SeekFrom::Start(0)).context("read a part of the listing")?;
            let mut reader = Reader::new(BufReader::with_capacity(64 * 1024, run))?;
            sources.push(Box::new(std::iter::from_fn(move || reader.entry().transpose())));
        }
        let mut heads = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            if let Some(entry) = source.next() {
                heads.push(Reverse(Head { entry: entry?, number }));
            }
        }
        while let Some(Reverse(Head { entry, number })) = heads.pop() {
            each(&entry)?;
            if let Some(entry) = sources[number].next() {
                heads.push(Reverse(Head { entry: entry?, number }));
            }
        }
        Ok(())
    }

    fn spill(&self, held: &[Entry]) -> Result<File> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
        let file = File::from(nix::fcntl::openat(&self.directory, ".", flags, mode)?);
        let mut writer = Writer::new(BufWriter::with_capacity(64 * 1024, file))?;
        for entry in held {
            writer.entry(entry)?;
        }
        let (writer, _) = writer.finish()?;
        writer.into_inner().map_err(|error| error.into_error().into())
    }
}

/// The next entry of one run.
struct Head {
    entry: Entry,
    number: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.entry.path, &other.entry.path).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// A directory of the tree.
pub(crate) fn directory(path: PathBuf, mode: u32) -> Entry {
    Entry { path: bytes(path), what: What::Directory { mode } }
}

/// A regular file of the tree.
pub(crate) fn file(path: PathBuf, mode: u32, size: u64, sha256: Sha) -> Entry {
    Entry { path: bytes(path), what: What::File { mode, size, sha256 } }
}

/// A symlink of the tree.
pub(crate) fn symlink(path: PathBuf, target: OsString) -> Entry {
    Entry { path: bytes(path), what: What::Symlink { target: target.into_vec() } }
}

fn bytes(path: PathBuf) -> Vec<u8> {
    path.into_os_string().into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_sorted_also_when_they_did_not_fit_in_memory() {
        let temporary = tempfile::tempdir().unwrap();
        let entries = Entries::new(Dir::open(temporary.path()).unwrap());
        let count = IN_MEMORY * 2 + 1000;
        for start in (0..count).step_by(1000) {
            let batch = (start..start + 1000).map(|n| {
                let path = format!("{:07}", (n * 7919) % count);
                match n % 3 {
                    0 => directory(path.into(), 0o755),
                    1 => file(path.into(), 0o644, n as u64, [7; 32]),
                    _ => symlink(path.into(), "a\nb".into()),
                }
            });
            entries.add(batch.collect()).unwrap();
        }
        for _ in 0..2 {
            let mut seen = Vec::new();
            entries
                .for_each(|entry| {
                    seen.push(entry.path.clone());
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen.len(), count);
            assert!(seen.is_sorted());
        }
        assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
    }
}
