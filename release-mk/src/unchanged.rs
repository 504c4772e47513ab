//! `--link-unchanged`: files that are as they were in the previous release become hard links to it.
//!
//! In a directory source only size, modification time to the nanosecond and mode are compared, no content: a file
//! that was edited and got its old time back counts as unchanged. What comes out of an archive or a repository is
//! compared by digest.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dir::{Dir, Kind};
use nix::fcntl::AtFlags;
use nix::sys::stat::FileStat;
use nix::unistd::linkat;
use sha2::{Digest, Sha256};

use crate::content::Sha;

/// The tree of the previous release with its digests by path.
pub(crate) struct Previous {
    tree: Dir,
    /// By the first half of the path's own digest, so that a million paths need no more than 64 bytes each.
    digests: HashMap<u128, Sha>,
}

impl Previous {
    /// The tree and the `(path, digest)` of its regular files.
    pub(crate) fn new(tree: Dir, digests: impl Iterator<Item = (Vec<u8>, Sha)>) -> Self {
        Self { tree, digests: digests.map(|(path, sha256)| (key(&path), sha256)).collect() }
    }

    /// The same directory in there, if it is one.
    pub(crate) fn directory(&self, path: &Path) -> Option<Dir> {
        self.tree.open_beneath(path).ok()
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
        let sha256 = if same { self.digests.get(&key(path.as_os_str().as_bytes()))? } else { return None };
        linkat(previous, name, to, name, AtFlags::empty()).ok()?;
        Some(*sha256)
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
        if self.digests.get(&key(path.as_os_str().as_bytes())) != Some(sha256) {
            return false;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let Some(previous) = self.directory(parent) else { return false };
        let same = previous.stat(name).is_ok_and(|there| {
            there.kind() == Kind::File
                && (there.mode(), there.size()) == (mode, size)
                && mtime.is_none_or(|mtime| mtime == there.0.st_mtime)
        });
        same && linkat(&previous, name, to, name, AtFlags::empty()).is_ok()
    }
}

fn key(path: &[u8]) -> u128 {
    let digest = Sha256::digest(path);
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}
