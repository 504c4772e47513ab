//! `tree/<id>`: the per-file listing behind a release's digest.
//!
//! `cd releases/<id> && sha256sum -c ../../.cutover/tree/<id>` checks it: files stand as sha256sum writes them
//! (names with a backslash, line feed or carriage return are escaped and the line begins with a backslash), all the
//! rest in lines that begin with `#`, which sha256sum takes for comments:
//!
//! ```text
//! #cutover.tree/1
//! #d 0755 bin
//! #f 0755 5120
//! 9f86d08…  bin/app
//! #l config -> ../../../shared/config
//! ```
//!
//! Entries are in the order of a walk that takes each directory's names bytewise and a directory before what is in it.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::cmp::Ordering;

pub use read::{Half, Reader};
pub use write::{Sum, Writer};

/// What one path of a release is. Times and owners are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Size in bytes.
        size: u64,
        /// Of its content.
        sha256: [u8; 32],
    },
    /// A symlink.
    Symlink {
        /// Its text, in whatever bytes.
        target: Vec<u8>,
    },
}

/// One path of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the release, `/` between its parts, in whatever bytes.
    pub path: Vec<u8>,
    /// What is there.
    pub what: What,
}

const HEAD: &[u8] = b"#cutover.tree/1\n";

/// The order of entries: as a walk meets them, so `a/b` comes before `a-b`.
pub fn order(one: &[u8], other: &[u8]) -> Ordering {
    // A slash sorts before every other byte, so nothing has to be split.
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    let differ = shared_prefix(one, other);
    match (one.get(differ), other.get(differ)) {
        (Some(a), Some(b)) => rank(*a).cmp(&rank(*b)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// How many bytes both begin with. Eight at a time: paths of one tree have most of theirs in common.
fn shared_prefix(one: &[u8], other: &[u8]) -> usize {
    let (eights, _) = one.as_chunks::<8>();
    let (other_eights, _) = other.as_chunks::<8>();
    let same = eights.iter().zip(other_eights).take_while(|(a, b)| a == b).count() * 8;
    same + one[same..].iter().zip(&other[same..]).take_while(|(a, b)| a == b).count()
}

/// Two lowercase digits per byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| hex_digits(*byte)).map(char::from).collect()
}

fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}
