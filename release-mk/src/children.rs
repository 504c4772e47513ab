//! What a directory holds, read in large pieces into a buffer that its reader keeps, and names that are kept for later.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

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

/// Names of files and symlinks of one directory, in one piece: there is no allocation for each file of a tree.
#[derive(Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    each: Vec<Name>,
}

struct Name {
    inode: u64,
    at: Range<usize>,
    kind: Kind,
}

impl Names {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.each.len()
    }

    /// Adds one.
    pub(crate) fn push(&mut self, child: &Child<'_>) {
        self.add(child.name(), child.entry.ino(), child.kind);
    }

    fn add(&mut self, name: &OsStr, inode: u64, kind: Kind) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.each.push(Name { inode, at: start..self.bytes.len(), kind });
    }

    /// Forgets them all, but keeps their room.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.each.clear();
    }

    /// Brings them into the order of their inodes, which is about that of the disk.
    pub(crate) fn sort_by_inode(&mut self) {
        self.each.sort_unstable_by_key(|name| name.inode);
    }

    /// Those of a range, in the order they are in.
    pub(crate) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = (&OsStr, Kind)> {
        self.each[range].iter().map(|name| (OsStr::from_bytes(&self.bytes[name.at.clone()]), name.kind))
    }

    /// A copy of those of a range.
    pub(crate) fn cut(&self, range: Range<usize>) -> Self {
        let mut cut = Self::default();
        self.each[range].iter().for_each(|name| {
            cut.add(OsStr::from_bytes(&self.bytes[name.at.clone()]), name.inode, name.kind);
        });
        cut
    }
}
