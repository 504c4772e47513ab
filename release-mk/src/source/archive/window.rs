//! A file that is read here and there: a piece of it is kept, so that short ways cost no call.
//!
//! The standard library's buffered reader throws its buffer away at each seek, and the table of a zip archive is nothing but
//! seeks of a few bytes.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// So much is kept.
const WINDOW: usize = 64 << 10;

/// A reader with a position of its own, whoever else reads the file.
pub(super) struct Window {
    file: File,
    size: u64,
    at: u64,
    start: u64,
    kept: Vec<u8>,
}

impl Window {
    /// From the beginning of a file of `size` bytes.
    pub(super) fn over(file: File, size: u64) -> Self {
        Self { file, size, at: 0, start: 0, kept: Vec::new() }
    }

    /// What is kept from the position on.
    fn ahead(&self) -> &[u8] {
        let passed = self.at.checked_sub(self.start).and_then(|passed| usize::try_from(passed).ok());
        passed.and_then(|passed| self.kept.get(passed..)).unwrap_or_default()
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.ahead().is_empty() {
            if buffer.len() >= WINDOW {
                let count = self.file.read_at(buffer, self.at)?;
                self.at += count as u64;
                return Ok(count);
            }
            self.kept.resize(WINDOW, 0);
            let count = self.file.read_at(&mut self.kept, self.at);
            self.start = self.at;
            self.kept.truncate(*count.as_ref().unwrap_or(&0));
            count?;
        }
        let count = buffer.len().min(self.ahead().len());
        buffer[..count].copy_from_slice(&self.ahead()[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.at = at.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_what_the_file_would_give(ways in proptest::collection::vec((0u64..200_000, -70_000i64..70_000, 0usize..90_000), 1..30)) {
            let mut file = tempfile::tempfile().unwrap();
            let bytes: Vec<u8> = (0..150_000u32).flat_map(|n| n.to_le_bytes()).take(150_000).collect();
            file.write_all(&bytes).unwrap();
            let mut window = Window::over(file.try_clone().unwrap(), bytes.len() as u64);
            for (start, by, length) in ways {
                let (mut expected, mut read) = (vec![0; length], vec![0; length]);
                if window.seek(SeekFrom::Start(start)).and_then(|_| window.seek(SeekFrom::Current(by))).is_err() {
                    continue;
                }
                let at = start.checked_add_signed(by).unwrap();
                prop_assert_eq!(window.stream_position().unwrap(), at);
                let wanted = file.read_exact_at(&mut expected, at).is_ok();
                prop_assert_eq!(window.read_exact(&mut read).is_ok(), wanted);
                prop_assert!(!wanted || expected == read);
            }
        }
    }
}
