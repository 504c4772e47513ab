//! Digests of source files that have not been touched since they were read: `--if-changed` then need not read them.
//!
//! A file is taken for untouched when device, inode, size, modification and change time are the same. The change
//! time cannot be set by users, but its clock ticks every few milliseconds only; so a file that was changed right
//! before it was read is not remembered.

use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::FileStat;
use sha2::{Digest, Sha256};
use store::listing::hex;

use crate::content::Sha;

const MAGIC: &[u8; 16] = b"cutover.stat/3\n\0";
/// So many files are remembered, in some 25 MiB; what a larger tree has besides is read each time.
const MOST: usize = 150_000;
/// Changes so close to the reading could be followed by another with the same time.
const TOO_FRESH: i64 = 2;

/// What identifies a file's content without reading it: half a digest of what `stat` says.
type Key = [u8; 16];

/// A digest that was remembered, and whether its file is still there.
type Known = (Sha, AtomicBool);

/// The digests of one source.
pub(crate) struct Cache {
    known: HashMap<Key, Known>,
    new: Mutex<Vec<(Key, Sha)>>,
    now: i64,
}

impl Cache {
    /// Reads what was remembered of the source at `path`; nothing readable is an empty cache.
    pub(crate) fn read(state: &Dir, path: &Path, now: i64) -> Self {
        let known = state
            .open_dir("cache")
            .ok()
            .and_then(|cache| cache.open_file(name(path), OFlag::O_RDONLY, 0).ok())
            .and_then(|file| {
                let length = file.metadata().map_or(0, |metadata| metadata.len());
                parse(BufReader::with_capacity(256 * 1024, file), length).ok()
            })
            .unwrap_or_default();
        Self { known, new: Mutex::default(), now }
    }

    /// The digest of a file that is as it was.
    pub(crate) fn get(&self, stat: &FileStat) -> Option<Sha> {
        let (sha256, met) = self.known.get(&key(stat))?;
        met.store(true, Ordering::Relaxed);
        Some(*sha256)
    }

    /// Remembers a file that was read.
    pub(crate) fn put(&self, stat: &FileStat, sha256: Sha) {
        if stat.st_ctime.saturating_add(TOO_FRESH) < self.now {
            let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
            if new.len() < MOST {
                new.push((key(stat), sha256));
            }
        }
    }

    /// Writes what was met in place of what was known, if there is anything new. Files that are gone are forgotten.
    pub(crate) fn write(self, state: &Dir, path: &Path) -> Result<()> {
        let new = self.new.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_met = |(_, met): &Known| met.load(Ordering::Relaxed);
        if new.is_empty() && self.known.values().all(is_met) {
            return Ok(());
        }
        let kept = self.known.iter().filter(|(_, known)| is_met(known)).map(|(key, (sha256, _))| (key, sha256));
        let mut met = kept.chain(new.iter().map(|(key, sha256)| (key, sha256))).take(MOST);
        let (cache, _) = state.ensure_dir("cache", 0o700)?;
        let name = name(path);
        let temporary = format!(".{name}.{}", dir::random_suffix());
        let file = cache.open_file(&temporary, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?;
        let mut writer = BufWriter::with_capacity(256 * 1024, file);
        let written = writer.write_all(MAGIC).and_then(|()| {
            met.try_for_each(|(key, sha256)| writer.write_all(key).and_then(|()| writer.write_all(sha256)))?;
            writer.flush()
        });
        // Not synced: a cache that is lost or torn is only slow, and a torn one has a wrong length.
        let renamed = written.context("write the cache").and_then(|()| Ok(cache.rename(&temporary, &cache, &name)?));
        if renamed.is_err() {
            let _ = cache.remove_file(&temporary);
        }
        renamed
    }
}

fn name(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    hex(&Sha256::digest(path.as_os_str().as_bytes()))[..32].to_owned()
}

fn key(stat: &FileStat) -> Key {
    // Short enough for one round of the digest.
    let mut about = [0; 48];
    let numbers = [stat.st_dev, stat.st_ino].map(u64::to_le_bytes).into_iter();
    let numbers = numbers.chain([stat.st_size, stat.st_mtime, stat.st_ctime].map(i64::to_le_bytes));
    for (at, number) in about.chunks_exact_mut(8).zip(numbers) {
        at.copy_from_slice(&number);
    }
    // Nanoseconds fit in four bytes.
    about[40..44].copy_from_slice(&stat.st_mtime_nsec.to_le_bytes()[..4]);
    about[44..].copy_from_slice(&stat.st_ctime_nsec.to_le_bytes()[..4]);
    let mut key = Key::default();
    key.copy_from_slice(&Sha256::digest(about)[..size_of::<Key>()]);
    key
}

fn parse(mut from: impl Read, length: u64) -> Result<HashMap<Key, Known>> {
    let mut magic = [0; 16];
    from.read_exact(&mut magic)?;
    anyhow::ensure!(magic == *MAGIC, "another format");
    let mut line = [0; size_of::<Key>() + size_of::<Sha>()];
    let about = usize::try_from(length).unwrap_or(0) / line.len();
    let mut known = HashMap::with_capacity(about.min(MOST));
    loop {
        let mut got = 0;
        while got < line.len() {
            match from.read(&mut line[got..])? {
                0 if got == 0 => return Ok(known),
                0 => anyhow::bail!("torn"),
                count => got += count,
            }
        }
        anyhow::ensure!(known.len() < MOST, "more than are ever written");
        let (mut key, mut sha256) = (Key::default(), Sha::default());
        let (first, second) = line.split_at(key.len());
        key.copy_from_slice(first);
        sha256.copy_from_slice(second);
        known.insert(key, (sha256, AtomicBool::new(false)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_again_until_it_is_touched() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::open(temporary.path()).unwrap();
        dir.create_file("f", b"one", 0o644).unwrap();
        let stat = dir.stat("f").unwrap().0;
        let later = stat.st_ctime + 10;
        let cache = Cache::read(&dir, Path::new("/source"), later);
        assert_eq!(cache.get(&stat), None);
        cache.put(&stat, [7; 32]);
        cache.write(&dir, Path::new("/source")).unwrap();

        let cache = Cache::read(&dir, Path::new("/source"), later);
        assert_eq!(cache.get(&stat), Some([7; 32]));
        assert!(Cache::read(&dir, Path::new("/other"), later).get(&stat).is_none());
        let mut touched = stat;
        touched.st_ctime_nsec += 1;
        assert_eq!(cache.get(&touched), None);

        let fresh = Cache::read(&dir, Path::new("/fresh"), stat.st_ctime);
        fresh.put(&stat, [7; 32]);
        fresh.write(&dir, Path::new("/fresh")).unwrap();
        assert_eq!(Cache::read(&dir, Path::new("/fresh"), later).get(&stat), None);
    }

    #[test]
    fn a_tree_of_any_size_leaves_no_more_than_is_held() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::open(temporary.path()).unwrap();
        let mut stat = dir.own_stat().unwrap().0;
        let later = stat.st_ctime + 10;
        for first in [0, MOST as u64] {
            let cache = Cache::read(&dir, Path::new("/large"), later);
            for inode in first..first + MOST as u64 + 10 {
                stat.st_ino = inode;
                cache.put(&stat, [7; 32]);
            }
            assert_eq!(cache.new.lock().unwrap().len(), MOST);
            cache.write(&dir, Path::new("/large")).unwrap();
            assert_eq!(Cache::read(&dir, Path::new("/large"), later).known.len(), MOST);
        }
    }
}
