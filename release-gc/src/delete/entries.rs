//! A batch of a directory's entries, read without a call per entry and without memory for all of them.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// Entries in one batch, at most: about 2 MiB.
const LARGEST: usize = 32 << 10;
/// From here on the order of inodes is worth sorting for: the order of a large directory is that of
/// hashes, and freeing inodes at random touches a block of the inode table each.
const WORTH_SORTING: usize = 512;
const BUFFER: usize = 64 << 10;

/// Room for one batch, used again for each.
pub(super) struct Batch {
    buffer: Vec<MaybeUninit<u8>>,
    names: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    inode: u64,
    name: usize,
    kind: FileType,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { buffer: vec![MaybeUninit::uninit(); BUFFER], names: Vec::new(), entries: Vec::new() }
    }

    /// Reads on in `directory`, from where the descriptor stands; says whether that was the end.
    pub(super) fn read(&mut self, directory: impl AsFd) -> Result<bool, Errno> {
        self.names.clear();
        self.entries.clear();
        let mut listing = RawDir::new(directory, &mut self.buffer);
        loop {
            let Some(entry) = listing.next() else { return Ok(true) };
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                self.entries.push(Entry { inode: entry.ino(), name: self.names.len(), kind: entry.file_type() });
                self.names.extend_from_slice(name.to_bytes_with_nul());
            }
            // Only at the end of what the kernel handed out, or entries would be lost.
            if self.entries.len() >= LARGEST && listing.is_buffer_empty() {
                return Ok(false);
            }
        }
    }

    pub(super) fn sort(&mut self) {
        if self.entries.len() >= WORTH_SORTING {
            self.entries.sort_unstable_by_key(|entry| entry.inode);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&CStr, FileType)> {
        self.entries.iter().filter_map(|entry| {
            let name = CStr::from_bytes_until_nul(self.names.get(entry.name..)?).ok()?;
            Some((name, entry.kind))
        })
    }
}
