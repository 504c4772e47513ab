//! Digests of a tree that is there: of what build steps left, and of a source before it is copied.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use dir::{Dir, Kind, Stat};
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};
use record::{Exit, Failure};
use store::listing::Entry;

use crate::children::{Buffer, Children};
use crate::content::{Copier, Job, Sha};
use crate::entries::{self, Entries};
use crate::exclude::Exclude;
use crate::metadata;
use crate::pool::{self, Pool};
use crate::progress::Meter;
use crate::shown::shown;
use crate::stat_cache::Cache;

const BATCH: usize = 64;

/// One pass over a tree.
pub(crate) struct Rehash<'a> {
    /// Its top.
    pub(crate) top: &'a Dir,
    /// What is passed over.
    pub(crate) exclude: &'a Exclude,
    /// Where every entry is reported, as a copy by this user would have it.
    pub(crate) entries: &'a Entries,
    /// Digests of files that have not been touched since.
    pub(crate) cache: Option<&'a Cache>,
    /// How far it is.
    pub(crate) meter: &'a Meter,
}

enum Task {
    Directory(PathBuf),
    Files(Arc<Dir>, Vec<PathBuf>),
}

impl Rehash<'_> {
    /// Reads every file that the cache does not know. Writes nothing.
    pub(crate) fn run(&self, tick: impl FnMut() -> Result<()>) -> Result<()> {
        let work = |pool: &Pool<Task>, (copier, buffer): &mut (Copier, Buffer), task| match task {
            Task::Directory(path) => self.directory(pool, copier, buffer, path),
            Task::Files(dir, paths) => self.files(pool, copier, &dir, paths),
        };
        pool::run(vec![Task::Directory(PathBuf::new())], Default::default, work, tick)
    }

    fn directory(&self, pool: &Pool<Task>, copier: &mut Copier, buffer: &mut Buffer, path: PathBuf) -> Result<()> {
        let dir = self.top.open_beneath(&path)?;
        if !path.as_os_str().is_empty() {
            self.entries.add(vec![entries::directory(path.clone(), mode(&dir.own_stat()?.0))])?;
        }
        let dir = Arc::new(dir);
        let mut children = Children::of(&dir, buffer);
        let mut files = Vec::new();
        while let Some(child) = children.next()? {
            let path = child.path_in(&path);
            if child.is_dots() || self.exclude.matches(&path) {
                continue;
            }
            if child.kind == Kind::Directory {
                pool.push(Task::Directory(path));
                continue;
            }
            files.push(path);
            if files.len() == BATCH {
                let full = std::mem::take(&mut files);
                if pool.is_hungry() {
                    pool.push(Task::Files(Arc::clone(&dir), full));
                } else {
                    self.files(pool, copier, &dir, full)?;
                }
            }
        }
        self.files(pool, copier, &dir, files)
    }

    fn files(&self, pool: &Pool<Task>, copier: &mut Copier, dir: &Dir, paths: Vec<PathBuf>) -> Result<()> {
        let mut found = Vec::with_capacity(paths.len());
        for path in paths {
            if pool.is_stopped() {
                return Ok(());
            }
            found.push(self.one(pool, copier, dir, path)?);
        }
        self.entries.add(found)
    }

    fn one(&self, pool: &Pool<Task>, copier: &mut Copier, dir: &Dir, path: PathBuf) -> Result<Entry> {
        let name = path.file_name().unwrap_or_default();
        let stat = dir.stat(name)?;
        match stat.kind() {
            Kind::Symlink => {
                let target = dir.read_link(name)?;
                return Ok(entries::symlink(path, target));
            }
            Kind::File => {}
            Kind::Directory | Kind::Other => bail!(
                Failure::new(
                    Exit::Failed,
                    "mk.special",
                    format!("{} is neither file, directory nor symlink: no release can hold it", shown(&path))
                )
                .hint("a socket, FIFO or device; remove it in the last --step, or name what to keep with --artifact")
            ),
        }
        self.meter.file(stat.size());
        if let Some(sha256) = self.cache.and_then(|cache| cache.get(&stat.0)) {
            return Ok(entries::file(path, mode(&stat.0), stat.size(), sha256));
        }
        let (stat, sha256) = read(copier, dir, name, &path, &|| pool.is_stopped())?;
        if let Some(cache) = self.cache {
            cache.put(&stat, sha256);
        }
        Ok(entries::file(path, mode(&stat), Stat(stat).size(), sha256))
    }
}

fn read(
    copier: &mut Copier,
    dir: &Dir,
    name: &OsStr,
    path: &Path,
    stopped: &dyn Fn() -> bool,
) -> Result<(FileStat, Sha)> {
    let file = dir.open_file(name, OFlag::O_RDONLY, 0).with_context(|| {
        Failure::new(Exit::Failed, "mk.source", format!("cannot read {}", shown(path)))
            .hint("the root's owner must be able to read every file of a release")
    })?;
    let stat = fstat(&file).map_err(|e| dir.error("look at", name, e))?;
    let job = Job {
        from: &file,
        to: None,
        size: Stat(stat).size(),
        sparse: u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < Stat(stat).size(),
        reflink: &AtomicBool::new(false),
        meter: None,
    };
    match copier.copy(&job, stopped) {
        Ok(sha256) => Ok((stat, sha256)),
        Err(fault) => bail!(
            Failure::new(Exit::Failed, "mk.changed", format!("{} could not be read to its end", shown(path)))
                .detail(format!("{fault:?}"))
                .hint("let whatever writes it finish, then run again")
        ),
    }
}

/// The mode a copy by this user would have.
fn mode(stat: &FileStat) -> u32 {
    metadata::mode_of_copy(stat, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}
