//! What `shop-disk` wrote down of a disk, and every disk that a power cut could have left.
//!
//! A disk with a volatile cache keeps what was written before its last flush, and of what was written since then any
//! part, in blocks of [`BLOCK`] bytes. So a cut is a place in the log and a choice among the blocks behind the flush.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a disk writes whole or not at all.
pub const BLOCK: usize = 4096;

/// One thing that happened to a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes that were written, and where.
    Write(u64, Vec<u8>),
    /// Whatever was written before is on the medium.
    Flush,
    /// What the story did at this moment.
    Mark(String),
}

/// Everything that happened to a disk, in order.
#[derive(Debug, Clone)]
pub struct Log(pub Vec<Event>);

impl Log {
    /// Reads what `shop-disk` wrote.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let (mut events, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((head, behind)) = rest.split_at_checked(13) {
            let offset = u64::from_le_bytes(head[1..9].try_into().expect("eight bytes"));
            let length = u32::from_le_bytes(head[9..13].try_into().expect("four bytes")) as usize;
            let (body, behind) = behind.split_at(length);
            events.push(match head[0] {
                b'W' => Event::Write(offset, body.to_vec()),
                b'F' => Event::Flush,
                _ => Event::Mark(String::from_utf8_lossy(body).trim().to_owned()),
            });
            rest = behind;
        }
        Ok(Self(events))
    }

    /// The places right after a write: where a cut differs from the one before.
    pub fn cuts(&self) -> Vec<usize> {
        (1..=self.0.len()).filter(|at| matches!(self.0[at - 1], Event::Write(..))).collect()
    }

    /// The marks before a place.
    pub fn marks(&self, at: usize) -> Vec<&str> {
        let marks = self.0[..at].iter().filter_map(|event| match event {
            Event::Mark(text) => Some(text.as_str()),
            _ => None,
        });
        marks.collect()
    }

    /// Makes of the disk as it was before the log one that lost power at a place in it: `kept` decides of each block
    /// that was written since the last flush.
    pub fn replay(&self, image: &File, at: usize, mut kept: impl FnMut() -> bool) -> io::Result<()> {
        let flushed = self.0[..at].iter().rposition(|event| *event == Event::Flush).unwrap_or(0);
        for (index, event) in self.0[..at].iter().enumerate() {
            let Event::Write(offset, bytes) = event else { continue };
            for (block, bytes) in bytes.chunks(BLOCK).enumerate() {
                if index < flushed || kept() {
                    image.write_all_at(bytes, offset + (block * BLOCK) as u64)?;
                }
            }
        }
        Ok(())
    }
}

/// A repeatable choice, for a seed: xorshift.
pub fn chance(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state & 1 << 33 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_what_was_flushed_and_a_choice_of_the_rest() {
        let write = |at: u64, byte: u8| Event::Write(at, vec![byte; 2 * BLOCK]);
        let log = Log(vec![write(0, 1), Event::Flush, write(0, 2), Event::Mark("done".into()), write(8192, 3)]);
        assert_eq!((log.cuts(), log.marks(5), log.marks(3)), (vec![1, 3, 5], vec!["done"], vec![]));
        let left = |at: usize, kept: &[bool]| {
            let image = tempfile::tempfile().unwrap();
            image.set_len(4 * BLOCK as u64).unwrap();
            let mut kept = kept.iter();
            log.replay(&image, at, || *kept.next().unwrap()).unwrap();
            [0, 1, 2, 3].map(|block| {
                let mut byte = [0];
                image.read_exact_at(&mut byte, block * BLOCK as u64).unwrap();
                byte[0]
            })
        };
        assert_eq!(left(1, &[true, false]), [1, 0, 0, 0]);
        assert_eq!(left(5, &[true; 4]), [2, 2, 3, 3]);
        assert_eq!(left(5, &[false; 4]), [1, 1, 0, 0]);
        assert_eq!(left(5, &[false, true, true, false]), [1, 2, 3, 0]);
        let (mut one, mut other) = (chance(7), chance(7));
        let choices: Vec<_> = (0..64).map(|_| one()).collect();
        assert!(choices.iter().all(|choice| *choice == other()) && choices.contains(&true) && choices.contains(&false));
    }
}
