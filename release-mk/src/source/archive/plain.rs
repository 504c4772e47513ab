//! A plain tar archive in a file: only its headers are read here, and the files' bytes by who writes them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::stream::State;

/// What stands in the first header of every tar archive that a tool of the last thirty years made.
const MAGIC: (&[u8], u64) = (b"ustar", 257);

/// The archive, to be parsed. It has a position of its own: the file's own is let alone.
pub(super) struct Plain<'a> {
    /// The archive.
    from: Arc<File>,
    at: u64,
    state: &'a State<'a>,
}

/// Whether `from` is a file, to be read from its start, and a tar archive that is not compressed.
pub(super) fn is_plain(mut from: &File) -> bool {
    let mut magic = [0; MAGIC.0.len()];
    from.metadata().is_ok_and(|about| about.is_file())
        && from.stream_position().is_ok_and(|at| at == 0)
        && from.read_exact_at(&mut magic, MAGIC.1).is_ok()
        && magic == MAGIC.0
}

impl<'a> Plain<'a> {
    /// From the start.
    pub(super) fn new(from: Arc<File>, state: &'a State<'a>) -> Self {
        Self { from, at: 0, state }
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state.tick()?;
        let count = self.from.read_at(buffer, self.at)?;
        if count == 0 && !buffer.is_empty() {
            self.state.end();
        }
        self.at += count as u64;
        self.state.has_read_to(self.at)?;
        Ok(count)
    }
}

impl Seek for Plain<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let beyond = || io::Error::from(io::ErrorKind::InvalidInput);
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.at.checked_add_signed(by).ok_or_else(beyond)?,
            SeekFrom::End(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(self.at)
    }
}
