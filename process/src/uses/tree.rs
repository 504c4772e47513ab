//! The trees that are asked about, indexed so that thousands of them cost no more than one.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, OFlags, fstat, lstat, open};
use rustix::io::Errno;

use crate::mounts::{self, Location};

/// A directory and all beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// What the asker calls it.
    pub label: String,
    /// Its path, every link resolved.
    pub path: PathBuf,
    /// Device and inode of the directory itself.
    pub identity: (u64, u64),
    location: Option<Location>,
}

impl Tree {
    /// The directory at `path`, which must be there; links are followed.
    pub fn at(label: impl Into<String>, path: &Path) -> Result<Self> {
        let attempt = || format!("look at tree {}", path.display().to_string().escape_debug());
        let fd = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).with_context(attempt)?;
        let found = fstat(&fd).with_context(attempt)?;
        let resolved = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).with_context(attempt)?;
        let location = location_of(&fd, resolved.as_os_str().as_bytes());
        Ok(Self { label: label.into(), path: resolved, identity: (found.st_dev, found.st_ino), location })
    }

    /// The directory `name` in this one, found by one system call: for thousands of trees side by side.
    /// `None` when there is no directory of that name.
    pub fn within(&self, label: impl Into<String>, name: &str) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let found = match lstat(&path) {
            Err(Errno::NOENT) => return Ok(None),
            found => found.with_context(|| format!("look at tree {}", path.display().to_string().escape_debug()))?,
        };
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return Ok(None);
        }
        let location = self.location.as_ref().map(|above| Location {
            device: above.device.clone(),
            path: [above.path.strip_suffix(b"/").unwrap_or(&above.path), b"/", name.as_bytes()].concat(),
        });
        Ok(Some(Self { label: label.into(), path, identity: (found.st_dev, found.st_ino), location }))
    }
}

/// Where a held directory lies in its file system; `None` when the mount table does not show it, as in
/// some chroots.
fn location_of(fd: &OwnedFd, path: &[u8]) -> Option<Location> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let id: u64 = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
    let mount = mounts::read("/proc/self/mountinfo").ok()?.into_iter().find(|mount| mount.id == id)?;
    let path = mount.locate(path)?;
    Some(Location { device: mount.device, path })
}

/// Trees by each of the names they can be found under.
pub(super) struct Trees<'t> {
    trees: &'t [Tree],
    by_path: HashMap<&'t [u8], usize>,
    by_location: HashMap<&'t str, HashMap<&'t [u8], usize>>,
    by_identity: HashMap<(u64, u64), usize>,
    /// What the located trees' paths have in common: most paths of a machine are ruled out by it.
    common: Vec<u8>,
}

impl<'t> Trees<'t> {
    pub(super) fn index(trees: &'t [Tree]) -> Self {
        let mut by_location: HashMap<&str, HashMap<&[u8], usize>> = HashMap::new();
        let mut common: Option<Vec<u8>> = None;
        for (index, tree) in trees.iter().enumerate() {
            let Some(location) = &tree.location else { continue };
            by_location.entry(&location.device).or_default().insert(&location.path, index);
            common = Some(common.map_or_else(|| location.path.clone(), |c| shared_prefix(c, &location.path)));
        }
        let paths = trees.iter().map(|tree| tree.path.as_os_str().as_bytes());
        Self {
            trees,
            by_path: paths.zip(0..).collect(),
            by_location,
            by_identity: trees.iter().map(|tree| tree.identity).zip(0..).collect(),
            common: common.unwrap_or_default(),
        }
    }

    pub(super) fn get(&self, index: usize) -> &'t Tree {
        &self.trees[index]
    }

    /// Whether any tree lies on the file system `device` (`major:minor`).
    pub(super) fn are_on(&self, device: &str) -> bool {
        self.by_location.contains_key(device)
    }

    /// The innermost tree that holds `path`, a path of our own mount namespace.
    pub(super) fn holding_path(&self, path: &[u8]) -> Option<usize> {
        ancestors(path).find_map(|above| self.by_path.get(above).copied())
    }

    /// The innermost tree that holds the place `path` of the file system `device`.
    pub(super) fn holding_location(&self, device: &str, path: &[u8]) -> Option<usize> {
        let paths = self.by_location.get(device)?;
        if !path.starts_with(&self.common) {
            return None;
        }
        ancestors(path).find_map(|above| paths.get(above).copied())
    }

    pub(super) fn with_identity(&self, identity: (u64, u64)) -> Option<usize> {
        self.by_identity.get(&identity).copied()
    }
}

/// The path itself, then each directory above it, `/` left out.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| {
        let slash = path.iter().rposition(|byte| *byte == b'/')?;
        (slash > 0).then(|| &path[..slash])
    })
}

fn shared_prefix(mut a: Vec<u8>, b: &[u8]) -> Vec<u8> {
    let length = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    a.truncate(length);
    a
}

/// Whether `path` is `above` or lies in it; both absolute.
pub(crate) fn is_beneath(path: &[u8], above: &[u8]) -> bool {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    path.starts_with(above) && matches!(path.get(above.len()), None | Some(b'/'))
}

/// A path as /proc shows it, without the mark of a name that is gone.
pub(super) fn without_mark(shown: &[u8]) -> PathBuf {
    let plain = shown.strip_suffix(b" (deleted)").unwrap_or(shown);
    PathBuf::from(std::ffi::OsString::from_vec(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_holds_what_is_beneath_it_and_not_its_namesakes() {
        assert!(is_beneath(b"/r/1", b"/r/1") && is_beneath(b"/r/1/x", b"/r/1") && is_beneath(b"/x", b"/"));
        assert!(!is_beneath(b"/r/10", b"/r/1") && !is_beneath(b"/r", b"/r/1"));
        let names: Vec<&[u8]> = ancestors(b"/a/b/c").collect();
        assert_eq!(names, [b"/a/b/c".as_slice(), b"/a/b", b"/a"]);
    }

    #[test]
    fn the_mark_of_a_deleted_file_is_no_part_of_its_name() {
        assert_eq!(without_mark(b"/r/1/bin (deleted)"), Path::new("/r/1/bin"));
    }
}
