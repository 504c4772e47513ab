//! How far a build is: counters for all threads, and a line on the terminal.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::space::BLOCK;

/// What a directory takes, and one more name of a file: less than on the disk, since both are written by the journal, which
/// is quicker with many at once.
const DIRECTORY: u64 = 1024;
const LINK: u64 = 128;

/// What has been put into the tree so far.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    files: AtomicU64,
    bytes: AtomicU64,
    linked: AtomicU64,
    written: AtomicU64,
}

impl Meter {
    /// One more file or symlink of `bytes` is complete.
    pub(crate) fn file(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A piece of a file was written.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes.next_multiple_of(BLOCK), Ordering::Relaxed);
    }

    /// A directory was made.
    pub(crate) fn directory(&self) {
        self.written.fetch_add(DIRECTORY, Ordering::Relaxed);
    }

    /// One more file is complete, shared with the previous release.
    pub(crate) fn linked(&self, bytes: u64) {
        self.file(bytes);
        self.linked.fetch_add(1, Ordering::Relaxed);
        self.written.fetch_add(LINK, Ordering::Relaxed);
    }

    /// Bytes that the disk has to take for it, about.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Files and symlinks that are complete.
    pub(crate) fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Bytes that are complete.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files that are shared with the previous release.
    pub(crate) fn linked_files(&self) -> u64 {
        self.linked.load(Ordering::Relaxed)
    }
}

/// One line on stderr that is written over; nothing at all when stderr is no terminal.
pub(crate) struct Line {
    shown: bool,
    on: bool,
}

impl Line {
    /// A line for people, unless they asked for quiet.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { shown: false, on: !quiet && std::io::stderr().is_terminal() }
    }

    /// Writes what is done of `total` files over the former line.
    pub(crate) fn show(&mut self, what: &str, meter: &Meter, total: Option<u64>) {
        if !self.on {
            return;
        }
        self.shown = true;
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        // A terminal that went away is no reason to stop a build.
        let _ = write!(std::io::stderr(), "\r\x1b[K{what}: {}{of} files, {}", meter.files(), size(meter.bytes()));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// A size for people: `914 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 10_000 {
            break;
        }
        (value, unit) = (value / 1000, larger);
    }
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_to_four_digits() {
        for (bytes, text) in [(0, "0 B"), (9_999, "9999 B"), (10_000, "10 kB"), (914_332_160, "914 MB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
