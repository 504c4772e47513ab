//! What of an archive has to wait until every file is there: hard links, directories' times, where symlinks lead.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use dir::Kind;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::time::TimeSpec;
use nix::unistd::linkat;
use store::listing::What;

use super::target::Target;
use super::write::conflict;
use super::{Limits, refuse, symlinks};
use crate::content::{Copier, Job, Sha};
use crate::entries::{self, Page};
use crate::metadata;
use crate::pool::{self, Worker};
use crate::shown::shown;

/// What has to wait until every file is there. Its paths are held in memory, within a bound.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Their modes and times; without a time where only the way to an entry leads through them.
    directories: HashMap<PathBuf, (u32, Option<TimeSpec>)>,
    symlinks: BTreeMap<PathBuf, OsString>,
    hard_links: Vec<(PathBuf, PathBuf)>,
    /// About what all of them take, in bytes.
    held: usize,
}

/// What one of them takes besides the bytes of its paths.
const OVERHEAD: usize = 128;

impl Waiting {
    /// A directory that is there, and what it gets in the end.
    pub(super) fn directory(&mut self, limits: Limits, path: PathBuf, mode: u32, time: Option<TimeSpec>) -> Result<()> {
        let bytes = path.as_os_str().len();
        if self.directories.insert(path, (mode, time)).is_none() {
            self.hold(limits, bytes)?;
        }
        // Those count, too, that are only on the way to an entry.
        limits.refuse_entries(self.directories.len() as u64)
    }

    /// A symlink that is there; where it leads is judged when all are known.
    pub(super) fn symlink(&mut self, limits: Limits, path: PathBuf, target: OsString) -> Result<()> {
        self.hold(limits, path.as_os_str().len() + target.len())?;
        self.symlinks.insert(path, target);
        Ok(())
    }

    /// A hard link that is to be made, and the file that it is a name of.
    pub(super) fn hard_link(&mut self, limits: Limits, path: PathBuf, first: PathBuf) -> Result<()> {
        self.hold(limits, path.as_os_str().len() + first.as_os_str().len())?;
        self.hard_links.push((path, first));
        Ok(())
    }

    /// Whether this directory is there.
    pub(super) fn has(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.directories.contains_key(path)
    }

    /// Whether there is nothing but directories, none but the top.
    pub(super) fn is_bare(&self) -> bool {
        self.hard_links.is_empty() && self.directories.keys().all(|path| path.as_os_str().is_empty())
    }

    fn hold(&mut self, limits: Limits, bytes: usize) -> Result<()> {
        self.held += OVERHEAD + bytes;
        let most = limits.archive_held();
        if self.held > most {
            let message =
                format!("the archive is refused: its directories and links take more than {most} bytes of memory");
            bail!(
                refuse("archive.limit", message)
                    .hint("if that is meant, allow more with --max-files, which counts for 256 bytes each")
            );
        }
        Ok(())
    }
}

/// Does what had to wait. Stops at an error of `tick`, which looks after the signals and the pipe.
pub(super) fn finish(target: &Target<'_>, waiting: Waiting, tick: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let Waiting { directories, symlinks, hard_links, .. } = waiting;
    if !target.limits.external_symlinks
        && let Some(path) = symlinks::first_that_leaves(&symlinks, tick)?
    {
        bail!(
            refuse(
                "archive.link",
                format!("the archive is refused: the symlink '{}' leads out of the tree", shown(path))
            )
            .hint("if that is meant, allow it with --allow-external-symlinks")
        );
    }
    // What has a thousand names is read once more, not a thousand times.
    let mut digests = HashMap::new();
    for (path, first) in &hard_links {
        tick()?;
        hard_link(target, path, first, &mut digests)?;
    }
    let now = TimeSpec::new(target.now, 0);
    let of_ours = |(path, _): &(PathBuf, _)| !path.as_os_str().is_empty();
    let work = |_: &Worker<'_, _>, page: &mut Page, (path, (mode, mtime)): (PathBuf, (u32, Option<TimeSpec>))| {
        let dir = target.tree.open_beneath(&path)?;
        metadata::finish(&dir, mode, &mtime.unwrap_or(now)).with_context(|| format!("set mode of {}", shown(&path)))?;
        page.push(&path, What::Directory { mode });
        target.entries.turn(page)
    };
    let pages = pool::run(directories.into_iter().filter(of_ours).collect(), Page::default, work, tick)?;
    pages.into_iter().try_for_each(|page| target.entries.close(page))
}

fn hard_link<'l>(
    target: &Target<'_>,
    path: &Path,
    first: &'l Path,
    digests: &mut HashMap<&'l Path, Sha>,
) -> Result<()> {
    let parent = |path: &Path| target.tree.open_beneath(path.parent().unwrap_or(Path::new("")));
    let nothing = || {
        let message = format!(
            "the archive is refused: '{}' is a hard link to '{}', which is no file of it or is left out",
            shown(path),
            shown(first)
        );
        refuse("archive.link", message)
    };
    let (from, name) = (parent(first).map_err(|_| nothing())?, first.file_name().unwrap_or_default());
    let stat = from.stat(name).map_err(|_| nothing())?;
    if stat.kind() != Kind::File {
        bail!(nothing());
    }
    let to = parent(path).map_err(|e| conflict(path, e))?;
    let own = path.file_name().unwrap_or_default();
    linkat(&from, name, &to, own, AtFlags::empty()).map_err(|e| conflict(path, to.error("link", own, e)))?;
    let sha256 = match digests.get(first) {
        Some(sha256) => *sha256,
        None => {
            let file = from.open_file(name, OFlag::O_RDONLY, 0)?;
            let reflink = AtomicBool::new(false);
            let job = Job { from: &file, to: None, size: stat.size(), sparse: false, reflink: &reflink, meter: None };
            let sha256 = Copier::default().copy(&job, &|| target.is_stopped());
            let sha256 = sha256.map_err(|fault| anyhow::anyhow!("read {} again: {fault:?}", shown(first)))?;
            digests.insert(first, sha256);
            sha256
        }
    };
    target.meter.file(stat.size());
    target.entries.add([entries::file(path.to_path_buf(), stat.mode(), stat.size(), sha256)])
}
