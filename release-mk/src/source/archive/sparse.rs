//! Files whose holes were left out, as pax headers tell of them: bsdtar writes such unasked, GNU tar with `--sparse`.
//!
//! The parser knows only the older form, of GNU's own headers. To it these are files with another name and other content.

use std::io::{self, Read};

use anyhow::{Result, bail};
use tar::{Entry, EntryType};

use super::refuse;

/// More pieces of data are refused: each is held in memory.
const MOST: u64 = 100_000;
const BLOCK: usize = 512;

/// What the pax header says of a file with holes.
pub(super) struct Sparse {
    /// Its path; that of the entry is another.
    pub(super) name: Vec<u8>,
    /// Its size, with its holes.
    pub(super) size: u64,
}

impl Sparse {
    /// Of an entry that has a form of its own for them; of any other `None`.
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>) -> Result<Option<Self>> {
        let kind = entry.header().entry_type();
        // Asked of this kind, the parser would take its content for a header of its own.
        if kind == EntryType::XGlobalHeader {
            return Ok(None);
        }
        let (mut is_sparse, mut version, mut name, mut size) = (false, [None, None], None, None);
        for said in entry.pax_extensions()?.into_iter().flatten() {
            // Of any kind: where the parser does not understand one, it silently takes a shortened name from the header.
            let said = said?;
            let Some(key) = said.key_bytes().strip_prefix(b"GNU.sparse.") else { continue };
            is_sparse = true;
            let number = || std::str::from_utf8(said.value_bytes()).ok().and_then(|value| value.parse::<u64>().ok());
            match key {
                b"major" => version[0] = number(),
                b"minor" => version[1] = number(),
                b"name" => name = Some(said.value_bytes().to_vec()),
                b"realsize" => size = number(),
                _ => {}
            }
        }
        match (is_sparse, version, name, size) {
            (false, ..) => Ok(None),
            _ if !matches!(kind, EntryType::Regular | EntryType::Continuous) => Ok(None),
            (true, [Some(1), Some(0)], Some(name), Some(size)) => Ok(Some(Self { name, size })),
            _ => bail!(
                refuse("archive.kind", "the archive is refused: a sparse file in it has a form that is not read")
                    .hint("make the archive without holes, or with GNU tar's --sparse-version=1.0")
            ),
        }
    }

    /// The whole content, zeros in its holes; `stored` begins with a map of where the data belongs.
    pub(super) fn fill<R: Read>(&self, mut stored: R) -> io::Result<Filled<R>> {
        let pieces = map(&mut stored, self.size)?;
        Ok(Filled { stored, pieces: pieces.into_iter(), piece: (0, 0), at: 0, size: self.size })
    }
}

/// Count, then offset and length of each piece, each a decimal line; as a whole in blocks.
fn map(stored: &mut impl Read, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let (mut numbers, mut number) = (Vec::new(), None::<u64>);
    let mut block = [0; BLOCK];
    let is_whole = |numbers: &[u64]| numbers.first().is_some_and(|count| numbers.len() as u64 == 1 + 2 * count);
    while !is_whole(&numbers) {
        stored.read_exact(&mut block)?;
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let more = number.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit));
                    number = Some(more.ok_or_else(wrong)?);
                }
                b'\n' => numbers.push(number.take().ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
            if numbers.first().is_some_and(|count| *count > MOST) {
                return Err(wrong());
            }
            if is_whole(&numbers) {
                break;
            }
        }
    }
    let mut end = 0;
    let pieces = numbers[1..].chunks_exact(2).map(|piece| {
        let (offset, length) = (piece[0], piece[1]);
        let is_next = offset >= end && offset.checked_add(length).is_some_and(|after| after <= size);
        end = offset.saturating_add(length);
        is_next.then_some((offset, length)).ok_or_else(wrong)
    });
    pieces.collect()
}

/// A file of which only the data is stored.
pub(super) struct Filled<R> {
    stored: R,
    pieces: std::vec::IntoIter<(u64, u64)>,
    /// The piece at hand, or the next one.
    piece: (u64, u64),
    at: u64,
    size: u64,
}

impl<R: Read> Read for Filled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.0.saturating_add(self.piece.1) && self.at < self.size {
            self.piece = self.pieces.next().unwrap_or((self.size, 0));
            if self.piece.0 >= self.size {
                break;
            }
        }
        let (offset, length) = self.piece;
        let most = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = if self.at >= self.size {
            // More data than the map has room for: the file is longer than it says.
            return self.stored.read(buffer);
        } else if self.at < offset {
            let count = most(offset - self.at);
            buffer[..count].fill(0);
            count
        } else {
            let count = most(offset + length - self.at);
            let count = self.stored.read(&mut buffer[..count])?;
            if count == 0 && !buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            count
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(map: &str, data: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let mut stored = map.as_bytes().to_vec();
        stored.resize(map.len().next_multiple_of(BLOCK), 0);
        stored.extend_from_slice(data);
        let mut content = Vec::new();
        Sparse { name: Vec::new(), size }.fill(&stored[..])?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn holes_are_where_the_map_says_and_a_map_that_contradicts_itself_is_none() {
        for (map, data, size, content) in [
            ("0\n", "", 3, Some(&b"\0\0\0"[..])),
            ("1\n0\n2\n", "ab", 2, Some(b"ab")),
            ("1\n2\n2\n", "ab", 5, Some(b"\0\0ab\0")),
            ("2\n1\n1\n4\n1\n", "ab", 5, Some(b"\0a\0\0b")),
            ("3\n0\n1\n1\n1\n2\n0\n", "ab", 2, Some(b"ab")),
            ("0\n", "", 0, Some(b"")),
            ("1\n0\n2\n", "a", 2, None),
            ("1\n2\n2\n", "ab", 3, None),
            ("2\n2\n1\n0\n1\n", "ab", 3, None),
            ("2\n0\n2\n1\n1\n", "abc", 3, None),
            ("200000\n", "", 3, None),
            ("1\n0\n", "", 3, None),
            ("x", "", 3, None),
            ("\n", "", 3, None),
            ("99999999999999999999\n", "", 3, None),
        ] {
            assert_eq!(filled(map, data.as_bytes(), size).ok().as_deref(), content, "{map:?} {data:?}");
        }
        // What is left over makes the content longer than it should be, which whoever unpacks it notices.
        assert_eq!(filled("1\n0\n1\n", b"ab", 1).unwrap(), b"ab");
    }
}
