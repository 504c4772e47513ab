//! [`Dir`]: every operation beneath a root goes through one of these.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, symlinkat, syncfs, unlinkat};
use rustix::fs::{RenameFlags, renameat_with};

use crate::{Error, Flock, Kind, Names, Result, Stat, Wait};

/// An open directory. Its path is kept for messages only; nothing is resolved through it again.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// Whether to wait for the disk.
#[derive(Clone, Copy)]
enum Sync {
    Now,
    Later,
}

pub(crate) const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_RDONLY).union(OFlag::O_CLOEXEC);

impl Dir {
    /// The path of an entry, in one allocation.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        let mut path = PathBuf::with_capacity(self.path.as_os_str().len() + 1 + name.len());
        path.push(&self.path);
        path.push(name);
        path
    }

    pub(crate) fn held(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// Opens the directory at `path`, following symlinks: for paths that a person named.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = nix::fcntl::open(path, DIRECTORY, Mode::empty()).map_err(|e| Error::new("open directory", path, e))?;
        Ok(Self { fd, path: path.to_path_buf() })
    }

    /// Opens the directory `name` in here; a symlink is refused (`ENOTDIR` or `ELOOP`).
    pub fn open_dir(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        let name = name.as_ref();
        let fd = openat(&self.fd, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(|e| self.error("open directory", name, e))?;
        Ok(Self { fd, path: self.path_of(name) })
    }

    /// The same, `None` where there is nothing.
    pub fn open_dir_if_there(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>> {
        match self.open_dir(name) {
            Err(e) if e.is_not_found() => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Makes the directory `name` and opens it; the mode is exact, whatever the umask.
    pub fn create_dir(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<Self> {
        let name = name.as_ref();
        mkdirat(&self.fd, name, Mode::S_IRWXU).map_err(|e| self.error("make directory", name, e))?;
        let made = self.open_dir(name)?;
        made.set_mode(mode)?;
        Ok(made)
    }

    /// The directory `name`, made with `mode` when it is missing. Also says whether it was made.
    pub fn ensure_dir(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<(Self, bool)> {
        let name = name.as_ref();
        match self.open_dir(name) {
            Err(e) if e.is_not_found() => match self.create_dir(name, mode) {
                Err(e) if e.is_already_there() => Ok((self.open_dir(name)?, false)),
                made => Ok((made?, true)),
            },
            opened => Ok((opened?, false)),
        }
    }

    /// Sets the permission bits of this directory itself.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        nix::sys::stat::fchmod(&self.fd, Mode::from_bits_truncate(mode))
            .map_err(|e| self.own_error("change mode of", e))
    }

    /// Opens the file `name` with `flags`; never through a symlink, never blocking on a FIFO.
    pub fn open_file(&self, name: impl AsRef<OsStr>, flags: OFlag, mode: u32) -> Result<File> {
        let name = name.as_ref();
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd =
            openat(&self.fd, name, flags, Mode::from_bits_truncate(mode)).map_err(|e| self.error("open", name, e))?;
        Ok(File::from(fd))
    }

    /// Opens the regular file `name`, made with `mode` when missing, and locks it; `Ok(Err(file))` when
    /// somebody else holds it after `wait`. Anything but a regular file is refused.
    pub fn lock_file(
        &self,
        name: impl AsRef<OsStr>,
        mode: u32,
        wait: Wait,
    ) -> Result<std::result::Result<Flock, File>> {
        let name = name.as_ref();
        let file = self.open_file(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
        self.refuse_irregular(&file, name)?;
        Flock::acquire(file, wait).map_err(|e| Error::from_io("lock", self.path.join(name), &e))
    }

    /// Asks what `name` is, without following it.
    pub fn stat(&self, name: impl AsRef<OsStr>) -> Result<Stat> {
        let name = name.as_ref();
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(Stat).map_err(|e| self.error("look at", name, e))
    }

    /// The same, `None` where there is nothing.
    pub fn stat_if_there(&self, name: impl AsRef<OsStr>) -> Result<Option<Stat>> {
        match self.stat(name) {
            Err(e) if e.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// What this directory itself is.
    pub fn own_stat(&self) -> Result<Stat> {
        fstat(&self.fd).map(Stat).map_err(|e| self.own_error("look at", e))
    }

    /// The target of the symlink `name`.
    pub fn read_link(&self, name: impl AsRef<OsStr>) -> Result<OsString> {
        let name = name.as_ref();
        readlinkat(&self.fd, name).map_err(|e| self.error("read link", name, e))
    }

    /// Makes the symlink `name`; fails if anything is there.
    pub fn symlink(&self, target: impl AsRef<OsStr>, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref();
        symlinkat(target.as_ref(), &self.fd, name).map_err(|e| self.error("make link", name, e))
    }

    /// Renames `name` to `to`'s `new`, replacing a file or link that is there.
    pub fn rename(&self, name: impl AsRef<OsStr>, to: &Self, new: impl AsRef<OsStr>) -> Result<()> {
        let new = new.as_ref();
        renameat(&self.fd, name.as_ref(), &to.fd, new).map_err(|e| to.error("rename to", new, e))
    }

    /// Renames `name` to `to`'s `new`, which must not be there (`EEXIST`).
    pub fn rename_new(&self, name: impl AsRef<OsStr>, to: &Self, new: impl AsRef<OsStr>) -> Result<()> {
        let new = new.as_ref();
        renameat_with(&self.fd, name.as_ref(), &to.fd, new, RenameFlags::NOREPLACE)
            .map_err(|e| to.error("rename to", new, errno(e)))
    }

    /// Removes the entry `name`, which is no directory. Never what a symlink points to.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref();
        unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir).map_err(|e| self.error("remove", name, e))
    }

    /// Removes the empty directory `name`.
    pub fn remove_dir(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref();
        unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir).map_err(|e| self.error("remove directory", name, e))
    }

    /// The entries' names in bytewise order, without `.` and `..`.
    pub fn names(&self) -> Result<Names> {
        nix::dir::Dir::openat(&self.fd, ".", DIRECTORY, Mode::empty())
            .and_then(|mut listing| Names::read(&mut listing))
            .map_err(|e| self.own_error("list", e))
    }

    /// Reads the regular file `name`, at most `limit` bytes; a larger one is `EFBIG`.
    pub fn read_file(&self, name: impl AsRef<OsStr>, limit: u64) -> Result<Vec<u8>> {
        let name = name.as_ref();
        let file = self.open_file(name, OFlag::O_RDONLY, 0)?;
        let size = self.refuse_irregular(&file, name)?.size();
        // One byte more than the file has, so that a second read finds its end without growing the buffer.
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0) + 1);
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::from_io("read", self.path.join(name), &e))?;
        if bytes.len() as u64 > limit {
            return Err(self.error("read", name, Errno::EFBIG));
        }
        Ok(bytes)
    }

    /// Replaces the file `name` by one with these bytes, durable when it returns: a reader sees the
    /// old or the new one, whole. Anything that stands under the name is replaced, never written through.
    pub fn replace_file(&self, name: impl AsRef<OsStr>, bytes: &[u8], mode: u32) -> Result<()> {
        self.put_file(name.as_ref(), bytes, mode, RenameFlags::empty(), Sync::Now)
    }

    /// The same without waiting for the disk: whole for every reader and after any kill, but a power cut may bring the
    /// old one back or leave an empty one.
    pub fn swap_file(&self, name: impl AsRef<OsStr>, bytes: &[u8], mode: u32) -> Result<()> {
        self.put_file(name.as_ref(), bytes, mode, RenameFlags::empty(), Sync::Later)
    }

    /// Makes the file `name`, durable when it returns; it must not be there yet (`EEXIST`).
    pub fn create_file(&self, name: impl AsRef<OsStr>, bytes: &[u8], mode: u32) -> Result<()> {
        self.put_file(name.as_ref(), bytes, mode, RenameFlags::NOREPLACE, Sync::Now)
    }

    fn put_file(&self, name: &OsStr, bytes: &[u8], mode: u32, flags: RenameFlags, sync: Sync) -> Result<()> {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}", random_suffix()));
        let written = self.write_new(&temporary, bytes, mode, sync).and_then(|()| {
            renameat_with(&self.fd, temporary.as_os_str(), &self.fd, name, flags)
                .map_err(|e| self.error("rename to", name, errno(e)))
        });
        if let Err(error) = written {
            // Best effort: the error that matters is the first one.
            let _ = self.remove_file(&temporary);
            return Err(error);
        }
        match sync {
            // The rename lives in this directory's pages only, until they are on disk.
            Sync::Now => self.sync(),
            Sync::Later => Ok(()),
        }
    }

    /// Removes what killed writers of the file `name` left beside it. Only for who keeps other writers away; what cannot
    /// be removed stays for the next one.
    pub fn remove_unfinished(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let mut prefix = OsString::from(".");
        prefix.push(name.as_ref());
        prefix.push(".");
        let is_random = |rest: &[u8]| rest.len() == 16 && rest.iter().all(u8::is_ascii_hexdigit);
        for entry in self.names()? {
            if entry.as_bytes().strip_prefix(prefix.as_bytes()).is_some_and(is_random) {
                let _ = self.remove_file(&entry);
            }
        }
        Ok(())
    }

    fn write_new(&self, name: &OsStr, bytes: &[u8], mode: u32, sync: Sync) -> Result<()> {
        let mut file = self.open_file(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?;
        nix::sys::stat::fchmod(&file, Mode::from_bits_truncate(mode))
            .map_err(|e| self.error("change mode of", name, e))?;
        file.write_all(bytes)
            .and_then(|()| match sync {
                // The content must be on disk before the name can be seen.
                Sync::Now if !crate::planted("no-fsync-of-file") => file.sync_all(),
                Sync::Now | Sync::Later => Ok(()),
            })
            .map_err(|e| Error::from_io("write", self.path.join(name), &e))
    }

    /// Waits until the entries of this directory are on disk.
    pub fn sync(&self) -> Result<()> {
        if crate::planted("no-fsync-of-directory") {
            return Ok(());
        }
        fsync(&self.fd).map_err(|e| self.own_error("sync", e))
    }

    /// Waits until all of the file system that holds this directory is on disk. Reports write-back
    /// errors since this directory was opened (Linux ≥ 5.8), so open it before the first write.
    pub fn sync_file_system(&self) -> Result<()> {
        if crate::planted("no-syncfs") {
            return Ok(());
        }
        syncfs(&self.fd).map_err(|e| self.own_error("sync file system of", e))
    }

    /// The path as people know it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error of `verb` on the entry `name`, for operations this type does not have.
    pub fn error(&self, verb: &'static str, name: &OsStr, errno: Errno) -> Error {
        Error::new(verb, if name.is_empty() { self.path.clone() } else { self.path.join(name) }, errno)
    }

    fn own_error(&self, verb: &'static str, errno: Errno) -> Error {
        Error::new(verb, &self.path, errno)
    }

    fn refuse_irregular(&self, file: &File, name: &OsStr) -> Result<Stat> {
        let stat = fstat(file).map(Stat).map_err(|e| self.error("look at", name, e))?;
        if stat.kind() == Kind::File {
            Ok(stat)
        } else {
            Err(self.error("open as a regular file", name, Errno::EINVAL))
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

// nix has renameat2(2) with glibc only; rustix has it with musl too.
fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// Sixteen random hexadecimal digits, for names that nobody else may guess or share.
pub fn random_suffix() -> String {
    if crate::planted("pid-only-temporary-names") {
        return format!("{:016x}", std::process::id());
    }
    // Without the kernel's random source no name is safe to make; all zeros then collides at O_EXCL
    // or RENAME_NOREPLACE, which is an error and no harm.
    getrandom::u64().map_or_else(|_| "0".repeat(16), |n| format!("{n:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_killed_writers_of_that_file_left_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let left = [".a.conf.0123456789abcdef", ".a.conf.fedcba9876543210"];
        let others = ["a.conf", ".a.conf", ".a.conf.lock", ".a.conf.0123", ".b.conf.0123456789abcdef"];
        for name in left.iter().chain(&others) {
            dir.create_file(name, b"", 0o600).unwrap();
        }
        dir.remove_unfinished("a.conf").unwrap();
        let mut kept = others.map(OsString::from).to_vec();
        kept.sort();
        assert!(dir.names().unwrap().eq(kept));
    }
}
