//! What a source directory holds, counted and checked before anything is written.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use dir::{Dir, Kind};
use nix::fcntl::AtFlags;
use nix::libc;
use nix::unistd::{AccessFlags, faccessat};
use record::{Exit, Failure};

use crate::children::{Buffer, Children};
use crate::exclude::Exclude;
use crate::pool::{self, Worker};
use crate::shown::shown;
use crate::space::BLOCK;

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
    /// How much they hold, where that was asked for.
    pub(crate) sizes: Option<Sizes>,
    /// What cannot be copied, and why.
    pub(crate) refused: Vec<(PathBuf, &'static str)>,
    /// How much of that there is, named or not.
    pub(crate) refused_count: u64,
    /// Whether a directory of it lies in another file system than its top. Single files that are mounted are not seen.
    pub(crate) has_mounts: bool,
}

/// How much a source holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Bytes in regular files.
    pub(crate) bytes: u64,
    /// Bytes the copy will take on disk, holes left out, each file rounded up to whole blocks.
    pub(crate) disk_bytes: u64,
}

/// How closely a source is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closeness {
    /// The names in its directories, and what kind each is: a small part of the work of a copy.
    Names,
    /// Each file too: its size, and whether it may be read.
    Files,
}

/// One look at a source by several threads.
struct Look<'a> {
    source: &'a Dir,
    exclude: &'a Exclude,
    closeness: Closeness,
    root: (u64, u64),
    device: u64,
    found: Mutex<Survey>,
}

impl Survey {
    /// Walks the whole source, reading names and metadata only. `root` must not be part of its own source. `tick` is called
    /// now and then; an error of it ends the walk.
    pub(crate) fn of(
        source: &Dir,
        exclude: &Exclude,
        closeness: Closeness,
        root: Option<&Dir>,
        tick: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let sizes = (closeness == Closeness::Files).then(Sizes::default);
        let mut survey = Self { sizes, ..Self::default() };
        let (root, top) = (identity(root)?, source.own_stat()?.identity());
        if top == root {
            survey.refuse(Path::new("."), "is the root itself");
        }
        let look = Look { source, exclude, closeness, root, device: top.0, found: Mutex::new(survey) };
        let work =
            |worker: &Worker<'_, PathBuf>, buffer: &mut Buffer, path: PathBuf| look.directory(worker, buffer, &path);
        pool::run(vec![PathBuf::new()], Buffer::default, work, tick)?;
        look.found.into_inner().unwrap_or_else(PoisonError::into_inner).answer(source)
    }

    fn count(&mut self, dir: &Dir, name: &OsStr, path: &Path) {
        let Ok(stat) = dir.stat(name) else {
            self.refuse(path, "vanished while it was looked at");
            return;
        };
        match stat.kind() {
            Kind::File => {
                self.files += 1;
                let sizes = self.sizes.get_or_insert_default();
                sizes.bytes += stat.size();
                let blocks = u64::try_from(stat.0.st_blocks).unwrap_or(0) * 512;
                sizes.disk_bytes += if blocks < stat.size() { blocks } else { stat.size().next_multiple_of(BLOCK) };
                // Only what others may not read can be closed to us.
                if stat.mode() & 0o004 == 0 && faccessat(dir, name, AccessFlags::R_OK, AtFlags::AT_EACCESS).is_err() {
                    self.refuse(path, "may not be read");
                }
            }
            Kind::Symlink => self.symlinks += 1,
            Kind::Directory => self.refuse(path, "vanished while it was looked at"),
            Kind::Other => {
                let what = match stat.0.st_mode & libc::S_IFMT {
                    libc::S_IFSOCK => "is a socket",
                    libc::S_IFIFO => "is a FIFO",
                    _ => "is a device",
                };
                self.refuse(path, what);
            }
        }
    }

    fn refuse(&mut self, path: &Path, why: &'static str) {
        self.refused_count += 1;
        keep_first(&mut self.refused, (path.to_path_buf(), why));
    }

    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.directories += other.directories;
        self.symlinks += other.symlinks;
        if let Some(sizes) = other.sizes {
            let all = self.sizes.get_or_insert_default();
            all.bytes += sizes.bytes;
            all.disk_bytes += sizes.disk_bytes;
        }
        self.has_mounts |= other.has_mounts;
        other.refused.into_iter().for_each(|refused| keep_first(&mut self.refused, refused));
        self.refused_count += other.refused_count;
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
            "is the root itself" if path == Path::new(".") => "build from another directory",
            _ => "leave it out with --exclude",
        };
        Err(failure.hint(hint).detail(all.join("; ")).into())
    }
}

impl Look<'_> {
    fn directory(&self, worker: &Worker<'_, PathBuf>, buffer: &mut Buffer, path: &Path) -> Result<()> {
        let mut here = Survey::default();
        if let Err(error) = self.count(worker, buffer, path, &mut here) {
            // The source is told to be unreadable here, not the walk to have failed.
            if path.as_os_str().is_empty() {
                return Err(error.into());
            }
            here.refuse(path, "cannot be read");
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).add(here);
        Ok(())
    }

    fn count(
        &self,
        worker: &Worker<'_, PathBuf>,
        buffer: &mut Buffer,
        path: &Path,
        here: &mut Survey,
    ) -> dir::Result<()> {
        let dir = self.source.open_beneath(path)?;
        if !path.as_os_str().is_empty() {
            here.directories += 1;
            if self.closeness == Closeness::Files {
                here.sizes.get_or_insert_default().disk_bytes += BLOCK;
            }
            let identity = dir.own_stat()?.identity();
            if identity == self.root {
                here.refuse(path, "is the root itself");
            }
            here.has_mounts |= identity.0 != self.device;
        }
        let mut children = Children::of(&dir, buffer);
        let mut below = path.to_path_buf();
        while let Some(child) = children.next()? {
            if child.is_dots() {
                continue;
            }
            if worker.is_stopped() {
                break;
            }
            below.push(child.name());
            match (child.kind, self.closeness) {
                _ if self.exclude.matches(&below) => {}
                (Kind::Directory, _) => worker.push(below.clone()),
                (Kind::File, Closeness::Names) => here.files += 1,
                (Kind::Symlink, Closeness::Names) => here.symlinks += 1,
                _ => here.count(&dir, child.name(), &below),
            }
            below.pop();
        }
        Ok(())
    }
}

/// What tells a root, if there is one, from every other directory.
pub(crate) fn identity(root: Option<&Dir>) -> Result<(u64, u64)> {
    Ok(root.map(Dir::own_stat).transpose()?.map_or((u64::MAX, u64::MAX), |stat| stat.identity()))
}

/// Keeps the first few in order, whichever thread meets them first.
pub(crate) fn keep_first<T: Ord>(named: &mut Vec<T>, one: T) {
    let at = named.partition_point(|other| *other < one);
    named.insert(at, one);
    named.truncate(NAMED);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &Dir, closeness: Closeness) -> Result<Survey> {
        Survey::of(source, &Exclude::new(&[], Vec::new())?, closeness, None, &mut || Ok(()))
    }

    #[test]
    fn names_alone_tell_all_but_sizes() {
        let temporary = tempfile::tempdir().unwrap();
        let top = Dir::open(temporary.path()).unwrap();
        let below = top.create_dir("d", 0o755).unwrap();
        below.create_file("f", b"four", 0o644).unwrap();
        top.create_file("g", b"", 0o644).unwrap();
        top.symlink("d/f", "l").unwrap();
        let closely = of(&top, Closeness::Files).unwrap();
        assert_eq!(closely.sizes.map(|sizes| sizes.bytes), Some(4));
        assert_eq!((closely.files, closely.directories, closely.symlinks), (2, 1, 1));
        assert_eq!(of(&top, Closeness::Names).unwrap(), Survey { sizes: None, ..closely });
        nix::unistd::mkfifo(&temporary.path().join("d/queue"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for closeness in [Closeness::Names, Closeness::Files] {
            assert_eq!(of(&top, closeness).unwrap_err().to_string().split(" in ").next(), Some("d/queue"));
        }
    }
}
