//! A directory as source: copied by a few threads, over directory descriptors on both sides.
//!
//! A task is a directory, or a batch of its files. A directory gets its mode and time when the last
//! batch is done; what it contains was made before. So no file system order is relied on and the
//! number of open descriptors does not grow with the tree.

mod file;

use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use dir::{Dir, Kind, Stat};
use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, mkdirat};
use nix::sys::time::TimeSpec;
use record::{Exit, Failure};
use store::listing::What;

use crate::children::{Children, Names};
use crate::entries::{Entries, Page};
use crate::exclude::Exclude;
use crate::links::Links;
use crate::metadata::{self, ExactModes};
use crate::pool::{self, Worker};
use crate::progress::Meter;
use crate::scratch::{Hands, Own};
use crate::shown::shown;
use crate::unchanged::Previous;

/// Files in a batch: enough to make sharing cheap, few enough to share a directory of a hundred.
const BATCH: usize = 64;
/// Names read from a directory before its files are copied; they are copied in the order of their inodes.
const NAMES: usize = 1024;

/// One copy of a directory.
pub(crate) struct Copy<'a> {
    /// The top of the source.
    pub(crate) from: &'a Dir,
    /// The top of the new tree, empty.
    pub(crate) to: &'a Dir,
    /// What stays behind.
    pub(crate) exclude: &'a Exclude,
    /// Where every entry is reported.
    pub(crate) entries: &'a Entries,
    /// The release whose identical files are linked to instead of copied.
    pub(crate) previous: Option<&'a Previous>,
    /// How far it is.
    pub(crate) meter: &'a Meter,
    /// The identity of the root, which must not be part of its own source: a copy of it would never end.
    pub(crate) root: (u64, u64),
}

enum Task {
    Directory(PathBuf),
    Files(Arc<Pair>, Names),
}

/// A directory of the source and its copy.
struct Pair {
    path: Arc<PathBuf>,
    from: Dir,
    to: Dir,
    previous: Option<Dir>,
    stat: FileStat,
}

struct Engine<'a> {
    copy: &'a Copy<'a>,
    links: Links,
    reflink: AtomicBool,
    /// Directories their owner may not write in: they are closed when everything is in them.
    closed: Mutex<Vec<(PathBuf, u32, TimeSpec)>>,
    modes: ExactModes,
    /// The identity of the copy.
    own: (u64, u64),
    uid: u32,
    gid: u32,
}

impl Copy<'_> {
    /// Writes the copy. Every entry is complete with its metadata when this returns, but not yet durable.
    pub(crate) fn run(&self, tick: impl FnMut() -> Result<()>) -> Result<()> {
        let (uid, gid) = metadata::user();
        let engine = Engine {
            copy: self,
            links: Links::default(),
            reflink: AtomicBool::new(true),
            closed: Mutex::default(),
            modes: ExactModes::beneath(self.to),
            own: self.to.own_stat()?.identity(),
            uid,
            gid,
        };
        let work = |worker: &Worker<'_, Task>, own: &mut Own, task| engine.work(worker, own, task);
        for own in pool::run(vec![Task::Directory(PathBuf::new())], Own::default, work, tick)? {
            self.entries.close(own.hands.page)?;
        }
        engine.close_directories()
    }
}

impl Engine<'_> {
    fn work(&self, worker: &Worker<'_, Task>, own: &mut Own, task: Task) -> Result<()> {
        match task {
            Task::Directory(path) => self.directory(worker, own, path)?,
            Task::Files(pair, names) => self.files(worker, &mut own.hands, pair, &names, 0..names.len())?,
        }
        self.copy.entries.turn(&mut own.hands.page)
    }

    fn directory(&self, worker: &Worker<'_, Task>, own: &mut Own, path: PathBuf) -> Result<()> {
        let Own { buffer, names, hands } = own;
        let from = self.copy.from.open_beneath(&path).map_err(|error| lost(error, changed(&path)))?;
        let to = self.copy.to.open_beneath(&path)?;
        let previous = self.copy.previous.and_then(|previous| previous.directory(&path));
        let stat = from.own_stat()?.0;
        if [self.copy.root, self.own].contains(&Stat(stat).identity()) {
            return Err(endless(&path).into());
        }
        let pair = Arc::new(Pair { path: Arc::new(path), from, to, previous, stat });
        let here = Arc::clone(&pair);
        let mut children = Children::of(&here.from, buffer);
        let mut over = false;
        while !over {
            names.clear();
            over = self.read_names(worker, &pair, &mut children, names)?;
            names.sort_by_inode();
            for start in (0..names.len()).step_by(BATCH) {
                let batch = start..names.len().min(start + BATCH);
                if worker.is_hungry() {
                    worker.give(Task::Files(Arc::clone(&pair), names.cut(batch)));
                } else {
                    self.files(worker, hands, Arc::clone(&pair), names, batch)?;
                }
                if worker.is_stopped() {
                    return Ok(());
                }
            }
        }
        drop(here);
        self.let_go(pair, &mut hands.page)
    }

    /// Makes the subdirectories among the next names and collects the rest; true when there are no more.
    fn read_names(
        &self,
        worker: &Worker<'_, Task>,
        pair: &Pair,
        children: &mut Children<'_>,
        names: &mut Names,
    ) -> Result<bool> {
        while names.len() < NAMES {
            let Some(child) = children.next()? else { return Ok(true) };
            let name = child.name();
            if child.is_dots() || (!self.copy.exclude.is_empty() && self.copy.exclude.matches(&pair.path.join(name))) {
                continue;
            }
            match child.kind {
                Kind::Directory if worker.is_stopped() => return Ok(true),
                Kind::Directory => {
                    mkdirat(&pair.to, name, Mode::S_IRWXU).map_err(|e| pair.to.error("make directory", name, e))?;
                    self.copy.meter.directory();
                    worker.push(Task::Directory(pair.path.join(name)));
                }
                Kind::Other => return Err(changed(&pair.path.join(name)).into()),
                Kind::File | Kind::Symlink => names.push(&child),
            }
        }
        Ok(false)
    }

    fn files(
        &self,
        worker: &Worker<'_, Task>,
        hands: &mut Hands,
        pair: Arc<Pair>,
        names: &Names,
        batch: Range<usize>,
    ) -> Result<()> {
        hands.path.clone_from(&pair.path);
        for (name, kind) in names.iter(batch) {
            if worker.is_stopped() {
                return Ok(());
            }
            hands.path.push(name);
            let Hands { copier, page, path } = hands;
            let what = match kind {
                Kind::Symlink => self.symlink(&pair, name, path),
                _ => self.file(worker, copier, &pair, name, path),
            };
            page.push(path, what?);
            path.pop();
        }
        self.copy.entries.turn(&mut hands.page)?;
        self.let_go(pair, &mut hands.page)
    }

    /// Gives a directory its attributes, mode and time when nobody works in it any more.
    fn let_go(&self, pair: Arc<Pair>, page: &mut Page) -> Result<()> {
        let Some(pair) = Arc::into_inner(pair) else { return Ok(()) };
        let mode = metadata::mode_of_copy(&pair.stat, self.uid, self.gid);
        let mtime = metadata::modified(&pair.stat);
        metadata::copy_attributes(&pair.from, &pair.to, self.uid == 0)
            .map_err(|e| pair.to.error("copy extended attributes of", OsStr::new(""), e))?;
        // Directories below are still to be opened through this one.
        let open_for_now = mode | 0o700;
        metadata::finish(&pair.to, open_for_now, &mtime)
            .map_err(|e| pair.to.error("set mode of", OsStr::new(""), e))?;
        if open_for_now != mode {
            let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            closed.push((pair.path.to_path_buf(), mode, mtime));
        }
        if !pair.path.as_os_str().is_empty() {
            page.push(&pair.path, What::Directory { mode });
        }
        Ok(())
    }

    fn close_directories(&self) -> Result<()> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        // The deepest first: none is opened through one that is closed already.
        closed.sort_unstable_by_key(|(path, ..)| std::cmp::Reverse(path.as_os_str().len()));
        for (path, mode, mtime) in closed.drain(..) {
            let dir = self.copy.to.open_beneath(&path)?;
            metadata::finish(&dir, mode, &mtime).map_err(|e| dir.error("set mode of", OsStr::new(""), e))?;
        }
        Ok(())
    }
}

/// What was there a moment ago is not any more; any other error speaks for itself.
fn lost(error: dir::Error, failure: Failure) -> anyhow::Error {
    match error.errno() {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES | Errno::EPERM => {
            anyhow::Error::new(error).context(failure)
        }
        _ => error.into(),
    }
}

fn changed(path: &Path) -> Failure {
    let message = format!("the source changed while it was copied: {}", shown(path));
    Failure::new(Exit::Failed, "mk.changed", message).hint("let whatever writes it finish, then run again").retryable()
}

fn endless(path: &Path) -> Failure {
    let message = format!("{} of the source is the root itself, or what is being built", shown(path));
    Failure::new(Exit::Failed, "mk.source", message)
        .hint("leave it out with --exclude, or build from another directory")
}
