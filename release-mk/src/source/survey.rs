//! What a source directory holds, counted and checked before anything is written.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use dir::{Dir, Kind};
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, faccessat};
use record::{Exit, Failure};
use walkdir::{DirEntry, WalkDir};

use crate::exclude::Exclude;
use crate::shown::shown;

/// The kernel takes paths of at most 4,095 bytes: deeper directories are opened by descriptor and walked from there.
const LONGEST: usize = 3_000;
/// So many refused entries are named; the rest is counted.
const NAMED: usize = 5;

/// What a source holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Regular files, every name of a hard-linked one.
    pub(crate) files: u64,
    /// Directories, without the top.
    pub(crate) directories: u64,
    /// Symlinks.
    pub(crate) symlinks: u64,
    /// Bytes in regular files.
    pub(crate) bytes: u64,
    /// Bytes the copy will take on disk, holes left out, each file rounded up to whole blocks.
    pub(crate) disk_bytes: u64,
    /// Symlinks that lead out of the source by `..`: they mean something else in the release.
    pub(crate) leaving: Vec<PathBuf>,
    /// What cannot be copied, and why.
    pub(crate) refused: Vec<(PathBuf, &'static str)>,
    /// How much of that there is, named or not.
    pub(crate) refused_count: u64,
}

impl Survey {
    /// Walks the whole source, reading names and metadata only. `root` is the identity of the root, which
    /// must not be part of its own source. `tick` is called now and then; an error of it ends the walk.
    pub(crate) fn of(
        source: &Dir,
        exclude: &Exclude,
        root: (u64, u64),
        tick: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let mut survey = Self::default();
        if source.own_stat()?.identity() == root {
            survey.refuse(Path::new("."), "is the root itself");
        }
        let mut pending = vec![PathBuf::new()];
        while let Some(top) = pending.pop() {
            let dir = source.open_beneath(&top)?;
            survey.walk(&dir, &top, exclude, root, &mut pending, tick)?;
        }
        survey.answer(source)
    }

    fn walk(
        &mut self,
        dir: &Dir,
        top: &Path,
        exclude: &Exclude,
        root: (u64, u64),
        pending: &mut Vec<PathBuf>,
        tick: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        // Through the descriptor, so that the depth of `top` does not count against the longest path.
        let base = PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()));
        let too_long = RefCell::new(pending);
        let below = |entry: &DirEntry| top.join(entry.path().strip_prefix(&base).unwrap_or_else(|_| Path::new("")));
        let entries = WalkDir::new(&base).min_depth(1).into_iter().filter_entry(|entry| {
            if entry.depth() == 0 {
                return true;
            }
            let path = below(entry);
            if exclude.matches(&path) {
                return false;
            }
            if entry.file_type().is_dir() && entry.path().as_os_str().len() > LONGEST {
                too_long.borrow_mut().push(path);
                return false;
            }
            true
        });
        for (count, entry) in entries.enumerate() {
            if count % 512 == 0 {
                tick()?;
            }
            match entry {
                Ok(entry) => self.count(dir, &entry, &base, &below(&entry), root),
                Err(error) => {
                    let path = error.path().and_then(|path| path.strip_prefix(&base).ok()).unwrap_or(Path::new("."));
                    self.refuse(&top.join(path), "cannot be read");
                }
            }
        }
        let found = too_long.into_inner();
        self.directories += found.len() as u64;
        Ok(())
    }

    fn count(&mut self, dir: &Dir, entry: &DirEntry, base: &Path, path: &Path, root: (u64, u64)) {
        let relative = entry.path().strip_prefix(base).unwrap_or(path);
        // Over the descriptor: the way through /proc would be walked for every file.
        let Ok(stat) = dir.stat(relative) else {
            self.refuse(path, "vanished while it was looked at");
            return;
        };
        match stat.kind() {
            Kind::Directory => {
                self.directories += 1;
                self.disk_bytes += 4096;
                if stat.identity() == root {
                    self.refuse(path, "is the root itself");
                }
            }
            Kind::File => {
                self.files += 1;
                self.bytes += stat.size();
                let blocks = u64::try_from(stat.0.st_blocks).unwrap_or(0) * 512;
                self.disk_bytes += if blocks < stat.size() { blocks } else { stat.size().next_multiple_of(4096) };
                // Only what others may not read can be closed to us.
                if stat.mode() & 0o004 == 0 && faccessat(dir, relative, AccessFlags::R_OK, AtFlags::AT_EACCESS).is_err()
                {
                    self.refuse(path, "may not be read");
                }
            }
            Kind::Symlink => {
                self.symlinks += 1;
                let Ok(target) = dir.read_link(relative) else {
                    self.refuse(path, "cannot be read");
                    return;
                };
                let target = Path::new(&target);
                if target.is_relative() && leaves(path, target) && self.leaving.len() < NAMED {
                    self.leaving.push(path.to_path_buf());
                }
            }
            Kind::Other => {
                let kind = entry.file_type();
                let what = match () {
                    () if kind.is_socket() => "is a socket",
                    () if kind.is_fifo() => "is a FIFO",
                    () => "is a device",
                };
                self.refuse(path, what);
            }
        }
    }

    fn refuse(&mut self, path: &Path, why: &'static str) {
        self.refused_count += 1;
        if self.refused.len() < NAMED {
            self.refused.push((path.to_path_buf(), why));
        }
    }

    fn answer(self, source: &Dir) -> Result<Self> {
        let Some((path, why)) = self.refused.first() else { return Ok(self) };
        let more = match self.refused_count {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let all: Vec<String> = self.refused.iter().map(|(path, why)| format!("{} {why}", shown(path))).collect();
        let failure =
            Failure::new(Exit::Failed, "mk.source", format!("{} in {} {why}{more}", shown(path), shown(source.path())));
        let hint = match *why {
            "may not be read" | "cannot be read" => {
                "the root's owner must be able to read all of the source: chmod a+rX it, or leave it out with --exclude"
            }
            _ => "leave it out with --exclude",
        };
        Err(failure.hint(hint).detail(all.join("; ")).into())
    }
}

/// Whether the relative `target` of the symlink at `path` climbs above the top. Only the text counts: nothing is resolved.
pub(crate) fn leaves(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    target.as_os_str().as_bytes().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_leaves_when_its_text_climbs_above_the_top() {
        for (path, target, out) in [
            ("a", "b", false),
            ("a", "..", true),
            ("a", "./b/../c", false),
            ("a/b", "../c", false),
            ("a/b", "../../c", true),
            ("a/b", "x/../../../c", true),
            ("a", "/etc/passwd", true),
            ("a", "", true),
        ] {
            assert_eq!(leaves(Path::new(path), Path::new(target)), out, "{path} -> {target}");
        }
    }
}
