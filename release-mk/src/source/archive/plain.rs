//! A plain tar archive in a file: only its headers are read here, and the files' bytes by who writes them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tar::Header;

use super::state::State;

/// How long a header is.
pub(super) const HEADER: usize = 512;
/// What stands in the header of every archive that a tool of the last thirty years made, and where.
const MAGIC: (Range<usize>, &[u8]) = (257..262, b"ustar");

/// The archive, to be parsed from the state's position on. The file's own position is let alone.
pub(super) struct Plain<'a> {
    from: Arc<File>,
    state: &'a State<'a>,
}

/// Whether a tar archive starts like this, whatever a compressed one starts with: a member's name can look like that, and a
/// compressed file can hold the word.
pub(super) fn is_tar(start: &[u8]) -> bool {
    let Some(header) = start.get(..HEADER).map(Header::from_byte_slice) else { return false };
    let mut summed = header.clone();
    summed.set_cksum();
    header.as_bytes()[MAGIC.0] == *MAGIC.1 && header.cksum().ok() == summed.cksum().ok()
}

/// Whether `from` is a file with a plain tar archive, to be read from its start.
pub(super) fn is_plain(mut from: &File) -> bool {
    let mut start = [0; HEADER];
    from.metadata().is_ok_and(|about| about.is_file())
        && from.stream_position().is_ok_and(|at| at == 0)
        && from.read_exact_at(&mut start, 0).is_ok()
        && is_tar(&start)
}

impl<'a> Plain<'a> {
    /// From the start.
    pub(super) fn new(from: Arc<File>, state: &'a State<'a>) -> Self {
        Self { from, state }
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state.tick()?;
        let count = self.from.read_at(buffer, self.state.position())?;
        if count == 0 && !buffer.is_empty() {
            self.state.end(None);
        }
        self.state.has_read(count as u64)?;
        Ok(count)
    }
}

impl Seek for Plain<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let beyond = || io::Error::from(io::ErrorKind::InvalidInput);
        let position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.state.position().checked_add_signed(by).ok_or_else(beyond)?,
            SeekFrom::End(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        // Beyond this no file can be asked, and no archive reaches.
        i64::try_from(position).map_err(|_| beyond())?;
        self.state.seek(position);
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_known_by_its_word_and_its_sum() {
        let mut header = Header::new_ustar();
        header.set_path("\u{1f}name").unwrap();
        header.set_size(0);
        header.set_cksum();
        let good = *header.as_bytes();
        assert!(is_tar(&good) && !is_tar(&good[..511]) && !is_tar(b""));
        let changed = |at: usize| {
            let mut bad = good;
            bad[at] ^= 1;
            is_tar(&bad)
        };
        assert!(!changed(0) && !changed(257) && !changed(150) && !changed(511));
    }
}
