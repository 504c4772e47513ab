//! What a directory holds, read in large pieces into a buffer that its reader keeps.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dir::{Dir, Kind};
use nix::errno::Errno;
use rustix::fs::{FileType, RawDir, RawDirEntry};

/// Some 800 entries with names of usual length.
const BUFFER: usize = 32 * 1024;

/// One thread's buffer for reading directory after directory.
pub(crate) struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(Vec::with_capacity(BUFFER))
    }
}

/// The entries of an open directory, from where its descriptor stands.
pub(crate) struct Children<'a> {
    raw: RawDir<'a, &'a Dir>,
    dir: &'a Dir,
}

/// One of them.
pub(crate) struct Child<'a> {
    entry: RawDirEntry<'a>,
    /// What it is; asked for where the file system does not tell it along with the name.
    pub(crate) kind: Kind,
}

impl Child<'_> {
    /// Its name.
    pub(crate) fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.entry.file_name().to_bytes())
    }

    /// Its path, where `parent` is that of the directory. In one allocation: there is one for each file of a tree.
    pub(crate) fn path_in(&self, parent: &Path) -> PathBuf {
        let mut path = PathBuf::with_capacity(parent.as_os_str().len() + 1 + self.name().len());
        path.push(parent);
        path.push(self.name());
        path
    }

    /// Its inode's number.
    pub(crate) fn inode(&self) -> u64 {
        self.entry.ino()
    }

    /// Whether it is the directory itself, or the one above.
    pub(crate) fn is_dots(&self) -> bool {
        matches!(self.entry.file_name().to_bytes(), b"." | b"..")
    }
}

impl<'a> Children<'a> {
    /// Begins to read `dir`, which nobody else may be reading through the same descriptor.
    pub(crate) fn of(dir: &'a Dir, buffer: &'a mut Buffer) -> Self {
        Self { raw: RawDir::new(dir, buffer.0.spare_capacity_mut()), dir }
    }

    /// The next entry, [`Child::is_dots`] included; `None` at the end.
    pub(crate) fn next(&mut self) -> dir::Result<Option<Child<'_>>> {
        let dir = self.dir;
        let entry = match self.raw.next() {
            None => return Ok(None),
            Some(Err(errno)) => return Err(dir.error("list", OsStr::new(""), Errno::from_raw(errno.raw_os_error()))),
            Some(Ok(entry)) => entry,
        };
        let kind = match entry.file_type() {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::Unknown => dir.stat(OsStr::from_bytes(entry.file_name().to_bytes()))?.kind(),
            _ => Kind::Other,
        };
        Ok(Some(Child { entry, kind }))
    }
}
