//! One file or symlink of a directory: linked to the previous release, linked to another name of itself, or copied.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use dir::{Kind, Stat};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, UtimensatFlags, fstat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{AccessFlags, faccessat, linkat};
use record::{Exit, Failure};
use store::listing::What;

use super::{Engine, Pair, Task, changed, lost};
use crate::content::{Copier, Fault, Job, Sha};
use crate::links::Copied;
use crate::metadata;
use crate::pool::Worker;
use crate::shown::shown;

impl Engine<'_> {
    pub(super) fn symlink(&self, pair: &Pair, name: &OsStr, path: &Path) -> Result<What> {
        let stat = pair.from.stat(name).map_err(|error| lost(error, changed(path)))?;
        let target = pair.from.read_link(name).map_err(|error| lost(error, changed(path)))?;
        pair.to.symlink(&target, name)?;
        let mtime = metadata::modified(&stat.0);
        utimensat(&pair.to, name, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::NoFollowSymlink)
            .map_err(|e| pair.to.error("set time of", name, e))?;
        self.copy.meter.file(0);
        Ok(What::Symlink { target: target.into_vec() })
    }

    pub(super) fn file(
        &self,
        worker: &Worker<'_, Task>,
        copier: &mut Copier,
        pair: &Pair,
        name: &OsStr,
        path: &Path,
    ) -> Result<What> {
        // Most files of a new release are as they were: those are not even opened.
        let (from, stat) = match &pair.previous {
            Some(_) => (None, Self::look(pair, name, path)?),
            None => Self::open(pair, name, path).map(|(file, stat)| (Some(file), stat))?,
        };
        let mut stat = stat;
        let mode = metadata::mode_of_copy(&stat, self.uid, self.gid);
        let size = Stat(stat).size();
        let inode = (stat.st_nlink > 1).then(|| Stat(stat).identity());
        if let Some(inode) = inode
            && let Some(first) = self.links.claim(inode, &|| worker.is_stopped())
        {
            self.link_to(&first, pair, name)?;
            self.copy.meter.file(size);
            return Ok(What::File { mode, size, sha256: first.sha256 });
        }
        let sha256 = match self.unchanged(pair, name, path, &stat, mode) {
            Some(sha256) => sha256,
            None => {
                let from = match from {
                    Some(from) => from,
                    None => {
                        let (from, opened) = Self::open(pair, name, path)?;
                        if Stat(opened).identity() != Stat(stat).identity() || Stat(opened).size() != size {
                            return Err(changed(path).into());
                        }
                        stat = opened;
                        from
                    }
                };
                self.copy_file(worker, copier, &from, pair, name, path, &stat, mode)?
            }
        };
        if let Some(inode) = inode {
            self.links.settle(inode, Copied { parent: Arc::clone(&pair.path), name: name.to_os_string(), sha256 });
        }
        Ok(What::File { mode, size, sha256 })
    }

    /// What a file is that may be read: not to be linked to is what could not have been copied.
    fn look(pair: &Pair, name: &OsStr, path: &Path) -> Result<FileStat> {
        let stat = pair.from.stat(name).map_err(|error| lost(error, unreadable(path)))?;
        let is_open = stat.mode() & 0o004 != 0;
        if !is_open && faccessat(&pair.from, name, AccessFlags::R_OK, AtFlags::AT_EACCESS).is_err() {
            return Err(unreadable(path).into());
        }
        Ok(stat.0)
    }

    fn open(pair: &Pair, name: &OsStr, path: &Path) -> Result<(File, FileStat)> {
        let from = pair.from.open_file(name, OFlag::O_RDONLY, 0).map_err(|error| lost(error, unreadable(path)))?;
        let stat = fstat(&from).map_err(|e| pair.from.error("look at", name, e))?;
        if Stat(stat).kind() != Kind::File {
            return Err(changed(path).into());
        }
        Ok((from, stat))
    }

    #[expect(clippy::too_many_arguments, reason = "one file, its two ends and what is known about it")]
    fn copy_file(
        &self,
        worker: &Worker<'_, Task>,
        copier: &mut Copier,
        from: &File,
        pair: &Pair,
        name: &OsStr,
        path: &Path,
        stat: &FileStat,
        mode: u32,
    ) -> Result<Sha> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let (made_with, exact) = self.modes.for_new(mode);
        let to = openat(&pair.to, name, flags, made_with).map_err(|e| pair.to.error("make file", name, e))?;
        let to = File::from(to);
        let size = Stat(*stat).size();
        let sparse = u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < size;
        let job = Job { from, to: Some(&to), size, sparse, reflink: &self.reflink, meter: Some(self.copy.meter) };
        let sha256 = copier.copy(&job, &|| worker.is_stopped()).map_err(|fault| match fault {
            Fault::Read(error) => anyhow::Error::new(error).context(format!("read {}", shown(path))),
            Fault::Write(error) => anyhow::Error::new(error).context(format!("write {}", shown(path))),
            Fault::Changed => changed(path).into(),
            Fault::Stopped => anyhow::anyhow!("stopped while copying {}", shown(path)),
        })?;
        // A writer that came meanwhile would leave a mixture of old and new.
        let after = fstat(from).map_err(|e| pair.from.error("look at", name, e))?;
        if (after.st_size, after.st_mtime, after.st_mtime_nsec) != (stat.st_size, stat.st_mtime, stat.st_mtime_nsec) {
            return Err(changed(path).into());
        }
        metadata::copy_attributes(from, &to, self.uid == 0)
            .map_err(|e| pair.to.error("copy extended attributes of", name, e))?;
        let mtime = metadata::modified(stat);
        let finished = if exact { metadata::set_time(&to, &mtime) } else { metadata::finish(&to, mode, &mtime) };
        finished.map_err(|e| pair.to.error("set mode of", name, e))?;
        self.copy.meter.file(size);
        Ok(sha256)
    }

    fn unchanged(&self, pair: &Pair, name: &OsStr, path: &Path, stat: &FileStat, mode: u32) -> Option<Sha> {
        let previous = self.copy.previous?;
        let sha256 = previous.link(pair.previous.as_ref()?, &pair.to, name, path, stat, mode)?;
        self.copy.meter.linked(Stat(*stat).size());
        Some(sha256)
    }

    fn link_to(&self, first: &Copied, pair: &Pair, name: &OsStr) -> Result<()> {
        let parent = self.copy.to.open_beneath(&first.parent)?;
        linkat(&parent, first.name.as_os_str(), &pair.to, name, AtFlags::empty())
            .map_err(|e| pair.to.error("link", name, e))?;
        Ok(())
    }
}

fn unreadable(path: &Path) -> Failure {
    Failure::new(Exit::Failed, "mk.source", format!("cannot read {} of the source", shown(path)))
        .hint("it vanished meanwhile, or the root's owner may not read it; --exclude leaves it out")
}
