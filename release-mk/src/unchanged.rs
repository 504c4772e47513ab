//! `--link-unchanged`: files that are as they were in the previous release become hard links to it.
//!
//! In a directory source only size, modification time to the nanosecond and mode are compared, no content: a file
//! that was edited and got its old time back counts as unchanged. What comes out of an archive or a repository is
//! compared by digest.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use dir::{Dir, Kind};
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::FileStat;
use nix::unistd::linkat;
use store::both;
use store::listing::{Half, What};
use store::staging::Staging;

use crate::content::Sha;
use crate::entries::Entries;
use crate::metadata;

/// So many files are known, in 25 MiB; what a larger release has besides is copied.
const MOST: usize = 450_000;

/// The tree of the previous release with its digests by path.
pub(crate) struct Previous {
    tree: Dir,
    /// By hashes of their paths, so that the longest paths need no more than 64 bytes each; each half of the listing by
    /// itself.
    digests: [HashMap<Key, Sha>; 2],
    keys: Keys,
    /// The directory that was asked for last: files come directory by directory.
    last: Mutex<Option<(PathBuf, Arc<Dir>)>>,
}

impl Previous {
    /// The tree and the two halves of its listing, of about `count` files together.
    pub(crate) fn new(tree: Dir, count: usize, halves: [Half; 2]) -> Result<Self> {
        let keys = Keys::default();
        let read = |mut half: Half| -> Result<HashMap<Key, Sha>> {
            let mut known = HashMap::with_capacity(count.min(MOST) / 2);
            let mut path = Vec::new();
            while let Some(what) = half.entry_at(&mut path)? {
                if let What::File { sha256, .. } = what {
                    if known.len() == MOST / 2 {
                        break;
                    }
                    known.insert(keys.of(&path), sha256);
                }
            }
            Ok(known)
        };
        let [first, second] = halves;
        let (first, second) = both(|| read(first), || read(second))?;
        Ok(Self { tree, digests: [first?, second?], keys, last: Mutex::default() })
    }

    fn digest(&self, path: &[u8]) -> Option<Sha> {
        let key = self.keys.of(path);
        self.digests.iter().find_map(|half| half.get(&key)).copied()
    }

    /// The same directory in there, if it is one.
    pub(crate) fn directory(&self, path: &Path) -> Option<Dir> {
        self.tree.open_beneath(path).ok()
    }

    fn directory_again(&self, path: &Path) -> Option<Arc<Dir>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, dir)) = &*last
            && held == path
        {
            return Some(Arc::clone(dir));
        }
        let dir = Arc::new(self.directory(path)?);
        *last = Some((path.to_path_buf(), Arc::clone(&dir)));
        Some(dir)
    }

    /// Whether the file at `path` had this content when the previous release was made.
    pub(crate) fn had(&self, path: &[u8], sha256: &Sha) -> bool {
        self.digest(path).as_ref() == Some(sha256)
    }

    /// Links `name` of the previous directory into the new one if it is as `stat` says, and tells its
    /// digest. Whatever stands in the way (no such file, too many links, another device) means that it is copied.
    pub(crate) fn link(
        &self,
        previous: &Dir,
        to: &Dir,
        name: &OsStr,
        path: &Path,
        stat: &FileStat,
        mode: u32,
    ) -> Option<Sha> {
        let there = previous.stat(name).ok()?;
        let same = there.kind() == Kind::File
            && there.mode() == mode
            && (there.0.st_size, there.0.st_mtime, there.0.st_mtime_nsec)
                == (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        let sha256 = if same { self.digest(path.as_os_str().as_bytes())? } else { return None };
        linkat(previous, name, to, name, AtFlags::empty()).ok()?;
        Some(sha256)
    }
}

impl Previous {
    /// Links `path` of the previous release into `to` if its content is the same by digest, and so are size and mode.
    /// `mtime` counts too unless it is `None`: git knows no times. False means that it is to be written.
    pub(crate) fn link_same(
        &self,
        to: &Dir,
        path: &Path,
        sha256: &Sha,
        size: u64,
        mode: u32,
        mtime: Option<i64>,
    ) -> bool {
        if !self.had(path.as_os_str().as_bytes(), sha256) {
            return false;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let Some(previous) = self.directory_again(parent) else { return false };
        let same = previous.stat(name).is_ok_and(|there| {
            there.kind() == Kind::File
                && (there.mode(), there.size()) == (mode, size)
                && mtime.is_none_or(|mtime| mtime == there.0.st_mtime)
        });
        same && linkat(&*previous, name, to, name, AtFlags::empty()).is_ok()
    }
}

/// A directory beside the tree of a build whose files may be shared with the live release already.
pub(crate) const LINKS: &str = "links";

/// Makes links of the files of a finished tree that are as in the previous release in every respect, and says how many. A
/// file that has several names in the tree keeps them instead. Each link takes the place of its file at once: a kill leaves
/// every file whole, and nothing in the tree that is not of it.
pub(crate) fn link_again(
    previous: &Previous,
    staging: &Staging,
    entries: &Entries,
    tick: &mut dyn FnMut() -> Result<()>,
) -> Result<u64> {
    let (aside, _) = staging.dir.ensure_dir(LINKS, 0o700)?;
    // What a kill left.
    aside.names()?.try_for_each(|name| aside.remove_file(name))?;
    let mut linked = 0;
    let mut last: Option<(PathBuf, Dir, Option<Dir>)> = None;
    entries.for_each(|path, what| {
        let What::File { sha256, .. } = what else { return Ok(()) };
        if !previous.had(path, sha256) {
            return Ok(());
        }
        let path = Path::new(OsStr::from_bytes(path));
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let (_, dir, there) = match &last {
            Some(held) if held.0 == above => held,
            _ => {
                tick()?;
                let dir = staging.tree.open_beneath(above)?;
                last.insert((above.to_path_buf(), dir, previous.directory(above)))
            }
        };
        let (times, Some(there)) = (dir.own_stat()?, there) else { return Ok(()) };
        let is_linked = times.mode() & 0o200 != 0
            && is_same(dir, there, name)
            && linkat(there, name, &aside, name, AtFlags::empty()).is_ok();
        if is_linked {
            aside.rename(name, dir, name)?;
            metadata::set_time(dir, &metadata::modified(&times.0))?;
            linked += 1;
        }
        Ok(())
    })?;
    Ok(linked)
}

/// Whether a file, which has but one name, is like that of the previous release in all but its content. Steps may have
/// changed what no digest tells.
fn is_same(here: &Dir, there: &Dir, name: &OsStr) -> bool {
    let about = |dir: &Dir| {
        let stat = dir.stat(name).ok().filter(|stat| stat.kind() == Kind::File)?.0;
        let time = (stat.st_mtime, stat.st_mtime_nsec);
        Some((stat.st_nlink, (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size, time)))
    };
    let has_attributes = |dir: &Dir| dir.open_file(name, OFlag::O_RDONLY, 0).map_or(true, metadata::has_attributes);
    let (Some((1, one)), Some((_, other))) = (about(here), about(there)) else { return false };
    one == other && !has_attributes(here) && !has_attributes(there)
}

/// Two hashes of a path. Their seeds are drawn anew each time, so that nobody can choose two paths with the same.
type Key = (u64, u64);

#[derive(Default)]
struct Keys(RandomState, RandomState);

impl Keys {
    fn of(&self, path: &[u8]) -> Key {
        (self.0.hash_one(path), self.1.hash_one(path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use store::listing::Writer;

    use super::*;

    #[test]
    fn of_a_release_of_any_size_no_more_is_known_than_is_held() {
        let temporary = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(File::create(temporary.path().join("listing")).unwrap());
        for number in 0..MOST + 10 {
            writer
                .put(format!("{number:07}").as_bytes(), &What::File { mode: 0o644, size: 1, sha256: [7; 32] })
                .unwrap();
        }
        writer.finish().unwrap();
        let open = || File::open(temporary.path().join("listing")).unwrap();
        let halves = Half::halves(open(), open()).unwrap();
        let previous = Previous::new(Dir::open(temporary.path()).unwrap(), usize::MAX, halves).unwrap();
        assert_eq!(previous.digests.iter().map(HashMap::len).sum::<usize>(), MOST);
        assert!(previous.had(b"0000000", &[7; 32]) && !previous.had(b"0000000", &[8; 32]));
    }
}
