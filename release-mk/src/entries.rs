//! The entries of a tree as they become known, in any order, and sorted once at the end.
//!
//! Up to [`IN_MEMORY`] entries with [`PATHS_IN_MEMORY`] are held; further ones go to sorted runs in unnamed files, which are
//! merged at the end. So the memory does not grow with the tree.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use dir::Dir;
use nix::fcntl::OFlag;
use store::both;
use store::listing::{Entry, Reader, What, Writer, order};

use crate::content::Sha;

/// Entries held in memory: some 20 MiB with paths of usual length, and 5 more while they are sorted.
const IN_MEMORY: usize = 100_000;
/// Bytes of their paths.
const PATHS_IN_MEMORY: usize = 10 << 20;
/// Room of a page, in entries and in bytes of their paths. It is full at three quarters of either, because what comes in one
/// batch is put into one page, which does not grow then: growing is most of what the allocator would have to do.
const PAGE: usize = 512;
const PATHS: usize = 40 << 10;

/// Collects entries from all threads.
pub(crate) struct Entries {
    inner: Mutex<Inner>,
    directory: Dir,
}

#[derive(Default)]
struct Inner {
    pages: Vec<Page>,
    /// For what comes without a page.
    loose: Page,
    held: usize,
    /// Bytes of all paths that are held.
    bytes: usize,
    runs: Vec<File>,
}

/// Entries that one thread has collected, in few pieces: there is no allocation for each file of a tree.
#[derive(Default)]
pub(crate) struct Page {
    paths: Vec<u8>,
    held: Vec<(Range<usize>, What)>,
}

impl Page {
    /// Adds the entry of a path.
    pub(crate) fn push(&mut self, path: &Path, what: What) {
        self.put(path.as_os_str().as_bytes(), what);
    }

    fn put(&mut self, path: &[u8], what: What) {
        if self.held.is_empty() {
            self.held.reserve(PAGE);
            self.paths.reserve(PATHS);
        }
        let start = self.paths.len();
        self.paths.extend_from_slice(path);
        self.held.push((start..self.paths.len(), what));
    }

    fn is_full(&self) -> bool {
        self.held.len() >= PAGE / 4 * 3 || self.paths.len() >= PATHS / 4 * 3
    }

    /// Brings the entries into the order of the listing, and gives back most of the room that long paths, or the end of the
    /// work, left unused.
    fn finish(mut self) -> Self {
        let Self { paths, held } = &mut self;
        held.sort_unstable_by(|(one, _), (other, _)| order(&paths[one.clone()], &paths[other.clone()]));
        if self.held.len() < PAGE / 2 {
            self.held.shrink_to_fit();
        }
        if self.paths.len() < PATHS / 2 {
            self.paths.shrink_to_fit();
        }
        self
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &What)> {
        self.held.iter().map(|(path, what)| (&self.paths[path.clone()], what))
    }
}

impl Inner {
    /// Everything that is held, in the order of the listing.
    fn sorted(&self) -> Vec<(&[u8], &What)> {
        // Its size is known, and twice as much for a moment would be too much.
        let mut held = Vec::with_capacity(self.held);
        held.extend(self.pages.iter().chain([&self.loose]).flat_map(Page::iter));
        let half = held.len() / 2;
        let (one, other) = held.split_at_mut(half);
        // A stable sort, because it only merges what is in order already: the pages here, and then the two halves.
        let sort = |held: &mut [(&[u8], &What)]| held.sort_by(|one, other| order(one.0, other.0));
        // Had the other half not been sorted, it would be now.
        let _ = both(|| sort(one), || sort(other));
        sort(&mut held);
        held
    }
}

impl Entries {
    /// Runs that do not fit in memory are unnamed files of `directory`.
    pub(crate) fn new(directory: Dir) -> Self {
        Self { inner: Mutex::default(), directory }
    }

    /// Adds a few. Writes to an unnamed file when too many are held.
    pub(crate) fn add(&self, batch: impl IntoIterator<Item = Entry>) -> Result<()> {
        let mut inner = self.inner();
        for Entry { path, what } in batch {
            inner.loose.put(&path, what);
            inner.held += 1;
            inner.bytes += path.len();
        }
        if inner.loose.is_full() {
            let full = std::mem::take(&mut inner.loose);
            inner.pages.push(full.finish());
        }
        self.bound(&mut inner)
    }

    /// Takes a thread's page once it is full, as [`add`](Self::add) does.
    pub(crate) fn turn(&self, page: &mut Page) -> Result<()> {
        if page.is_full() { self.close(std::mem::take(page)) } else { Ok(()) }
    }

    /// Takes a thread's last page.
    pub(crate) fn close(&self, page: Page) -> Result<()> {
        // Before the lock, as several threads do it at once.
        let page = page.finish();
        let mut inner = self.inner();
        inner.held += page.held.len();
        inner.bytes += page.paths.len();
        inner.pages.push(page);
        self.bound(&mut inner)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.inner();
        inner.held == 0 && inner.runs.is_empty()
    }

    /// Hands every entry to `each` in the order of the listing, without changing what is collected.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&[u8], &What) -> Result<()>) -> Result<()> {
        let mut inner = self.inner();
        let mut runs = std::mem::take(&mut inner.runs);
        let merged = merge(&inner.sorted(), &mut runs, &mut each);
        inner.runs = runs;
        merged
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bound(&self, inner: &mut Inner) -> Result<()> {
        if inner.held >= IN_MEMORY || inner.bytes >= PATHS_IN_MEMORY {
            // Not as an error of io: those of an archive's parser are the archive's fault.
            let run = self.spill(&inner.sorted()).map_err(|error| {
                dir::Error::from_io("write a part of the listing in", self.directory.path(), &error)
            })?;
            *inner = Inner { runs: std::mem::take(&mut inner.runs), ..Inner::default() };
            inner.runs.push(run);
        }
        Ok(())
    }

    fn spill(&self, held: &[(&[u8], &What)]) -> std::io::Result<File> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
        let file = File::from(nix::fcntl::openat(&self.directory, ".", flags, mode)?);
        let mut writer = Writer::new(file);
        for (path, what) in held {
            writer.put(path, what)?;
        }
        Ok(writer.finish()?.0)
    }
}

/// Hands on what is held and what the runs have, all of them sorted, in one order.
fn merge(held: &[(&[u8], &What)], runs: &mut [File], each: &mut dyn FnMut(&[u8], &What) -> Result<()>) -> Result<()> {
    if runs.is_empty() {
        return held.iter().try_for_each(|(path, what)| each(path, what));
    }
    let held = held.iter().map(|(path, what)| Ok(Entry { path: path.to_vec(), what: (*what).clone() }));
    let mut sources: Vec<Box<dyn Iterator<Item = Result<Entry>> + '_>> = vec![Box::new(held)];
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
        each(&entry.path, &entry.what)?;
        if let Some(entry) = sources[number].next() {
            heads.push(Reverse(Head { entry: entry?, number }));
        }
    }
    Ok(())
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
    fn long_paths_do_not_stay_in_memory() {
        let temporary = tempfile::tempdir().unwrap();
        let entries = Entries::new(Dir::open(temporary.path()).unwrap());
        let mut page = Page::default();
        for number in 0..3000 {
            page.push(Path::new(&format!("{number:04}/{}", "long".repeat(1000))), What::Directory { mode: 0o755 });
            entries.turn(&mut page).unwrap();
        }
        entries.close(page).unwrap();
        assert!(entries.inner().bytes < PATHS_IN_MEMORY && entries.inner().runs.len() == 1);
        let mut count = 0;
        entries
            .for_each(|path, _| {
                assert!(path.starts_with(format!("{count:04}/").as_bytes()));
                count += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(count, 3000);
    }

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
            entries.add(batch).unwrap();
        }
        for _ in 0..2 {
            let mut seen = Vec::new();
            entries
                .for_each(|path, _| {
                    seen.push(path.to_vec());
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen.len(), count);
            assert!(seen.is_sorted());
        }
        assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
    }
}
