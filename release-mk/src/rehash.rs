//! Digests of a tree that is there: of what build steps left, and of a source before it is copied.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use dir::{Dir, Kind, Stat};
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};
use record::{Exit, Failure};
use store::listing::What;

use crate::children::{Children, Names};
use crate::content::{Copier, Job, Sha};
use crate::entries::Entries;
use crate::exclude::Exclude;
use crate::metadata;
use crate::pool::{self, Worker};
use crate::progress::Meter;
use crate::scratch::{Hands, Own};
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
    /// Who is to make a copy of it, uid and gid; `None` where the tree is the copy.
    pub(crate) user: Option<(u32, u32)>,
}

enum Task {
    Directory(PathBuf),
    Files(Arc<Open>, Names),
}

/// A directory that is being read.
struct Open {
    path: PathBuf,
    dir: Dir,
}

impl Rehash<'_> {
    /// The mode that the entry has in the release.
    fn mode(&self, stat: &FileStat) -> u32 {
        self.user.map_or_else(|| Stat(*stat).mode(), |(uid, gid)| metadata::mode_of_copy(stat, uid, gid))
    }

    /// Reads every file that the cache does not know. Writes nothing.
    pub(crate) fn run(&self, tick: impl FnMut() -> Result<()>) -> Result<()> {
        let work = |worker: &Worker<'_, Task>, own: &mut Own, task| {
            match task {
                Task::Directory(path) => self.directory(worker, own, path)?,
                Task::Files(open, names) => self.files(worker, &mut own.hands, &open, &names, 0..names.len())?,
            }
            self.entries.turn(&mut own.hands.page)
        };
        for own in pool::run(vec![Task::Directory(PathBuf::new())], Own::default, work, tick)? {
            self.entries.close(own.hands.page)?;
        }
        Ok(())
    }

    fn directory(&self, worker: &Worker<'_, Task>, own: &mut Own, path: PathBuf) -> Result<()> {
        let Own { buffer, names, hands } = own;
        let dir = self.top.open_beneath(&path)?;
        if !path.as_os_str().is_empty() {
            hands.page.push(&path, What::Directory { mode: self.mode(&dir.own_stat()?.0) });
        }
        let open = Arc::new(Open { path, dir });
        let mut children = Children::of(&open.dir, buffer);
        let mut over = false;
        while !over {
            names.clear();
            while names.len() < BATCH && !over {
                let Some(child) = children.next()? else {
                    over = true;
                    break;
                };
                let excluded = || !self.exclude.is_empty() && self.exclude.matches(&open.path.join(child.name()));
                if child.is_dots() || excluded() {
                    continue;
                }
                match child.kind {
                    Kind::Directory if worker.is_stopped() => return Ok(()),
                    Kind::Directory => worker.push(Task::Directory(open.path.join(child.name()))),
                    _ => names.push(&child),
                }
            }
            if worker.is_hungry() {
                worker.give(Task::Files(Arc::clone(&open), std::mem::take(names)));
            } else {
                self.files(worker, hands, &open, names, 0..names.len())?;
            }
        }
        Ok(())
    }

    fn files(
        &self,
        worker: &Worker<'_, Task>,
        hands: &mut Hands,
        open: &Open,
        names: &Names,
        batch: Range<usize>,
    ) -> Result<()> {
        hands.path.clone_from(&open.path);
        for (name, _) in names.iter(batch) {
            if worker.is_stopped() {
                return Ok(());
            }
            let Hands { copier, page, path } = hands;
            path.push(name);
            let what = self.one(worker, copier, &open.dir, name, path)?;
            page.push(path, what);
            path.pop();
        }
        self.entries.turn(&mut hands.page)
    }

    fn one(
        &self,
        worker: &Worker<'_, Task>,
        copier: &mut Copier,
        dir: &Dir,
        name: &OsStr,
        path: &Path,
    ) -> Result<What> {
        let stat = dir.stat(name)?;
        match stat.kind() {
            Kind::Symlink => return Ok(What::Symlink { target: dir.read_link(name)?.into_vec() }),
            Kind::File => {}
            Kind::Directory | Kind::Other => bail!(
                Failure::new(
                    Exit::Failed,
                    "mk.special",
                    format!("{} is neither file, directory nor symlink: no release can hold it", shown(path))
                )
                .hint("a socket, FIFO or device; remove it in the last --step, or name what to keep with --artifact")
            ),
        }
        self.meter.file(stat.size());
        if let Some(sha256) = self.cache.and_then(|cache| cache.get(&stat.0)) {
            return Ok(What::File { mode: self.mode(&stat.0), size: stat.size(), sha256 });
        }
        let (stat, sha256) = read(copier, dir, name, path, &|| worker.is_stopped())?;
        if let Some(cache) = self.cache {
            cache.put(&stat, sha256);
        }
        Ok(What::File { mode: self.mode(&stat), size: Stat(stat).size(), sha256 })
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
