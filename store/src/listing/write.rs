//! From entries to a listing.

use std::cmp::Ordering;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::{Entry, HEAD, What, hex, hex_digits, order};

/// What a listing adds up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// `sha256:` and the digest over the listing's bytes: the release's digest.
    pub digest: String,
    /// How many entries there are.
    pub files: u64,
    /// How many bytes the files have.
    pub bytes: u64,
}

/// So many bytes are hashed and written at once.
const PIECE: usize = 64 * 1024;

/// Writes a listing, entry by entry, and refuses a wrong order. In pieces, so that `out` need not be buffered.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    hash: Sha256,
    last: Option<Vec<u8>>,
    files: u64,
    bytes: u64,
    lines: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a listing.
    pub fn new(out: W) -> Self {
        let mut lines = Vec::with_capacity(PIECE + 1024);
        lines.extend_from_slice(HEAD);
        Self { out, hash: Sha256::new(), last: None, files: 0, bytes: 0, lines }
    }

    /// Writes the next entry; one that does not come after the last one is an error.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.put(&entry.path, &entry.what)
    }

    /// The same of a path and what it is.
    pub fn put(&mut self, path: &[u8], what: &What) -> io::Result<()> {
        if self.last.as_ref().is_some_and(|last| order(last, path) != Ordering::Less) {
            let path = String::from_utf8_lossy(path);
            return Err(io::Error::other(format!("{} is out of order in the listing", path.escape_debug())));
        }
        write_entry(&mut self.lines, path, what);
        if self.lines.len() >= PIECE {
            self.write()?;
        }
        self.files += 1;
        if let What::File { size, .. } = what {
            self.bytes = self.bytes.saturating_add(*size);
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(path);
        Ok(())
    }

    /// Ends the listing and gives the writer back.
    pub fn finish(mut self) -> io::Result<(W, Sum)> {
        self.write()?;
        self.out.flush()?;
        let digest = format!("sha256:{}", hex(&self.hash.finalize()));
        Ok((self.out, Sum { digest, files: self.files, bytes: self.bytes }))
    }

    fn write(&mut self) -> io::Result<()> {
        self.hash.update(&self.lines);
        self.out.write_all(&self.lines)?;
        self.lines.clear();
        Ok(())
    }
}

fn write_entry(line: &mut Vec<u8>, path: &[u8], what: &What) {
    match what {
        What::Directory { mode } => {
            line.extend_from_slice(b"#d ");
            push_mode(line, *mode);
            push_escaped(line, path, b"");
        }
        What::File { mode, size, sha256 } => {
            line.extend_from_slice(b"#f ");
            push_mode(line, *mode);
            push_decimal(line, *size);
            line.push(b'\n');
            if has_escaped(path) {
                line.push(b'\\');
            }
            let mut digits = [0; 64];
            for (pair, byte) in digits.chunks_exact_mut(2).zip(sha256) {
                pair.copy_from_slice(&hex_digits(*byte));
            }
            line.extend_from_slice(&digits);
            // sha256sum takes a lone "-" for its own standard input.
            line.extend_from_slice(if path == b"-" { b"  ./" } else { b"  " });
            push_escaped(line, path, b"");
        }
        What::Symlink { target } => {
            line.extend_from_slice(b"#l ");
            // A blank in the path could be taken for the arrow, so here it is escaped too.
            push_escaped(line, path, b" ");
            line.extend_from_slice(b" -> ");
            push_escaped(line, target, b"");
        }
    }
    line.push(b'\n');
}

/// At least four octal digits and a blank.
fn push_mode(line: &mut Vec<u8>, mode: u32) {
    // Modes have twelve bits.
    line.extend([9, 6, 3, 0].map(|shift| b'0' + u8::try_from(mode >> shift & 7).unwrap_or(0)));
    line.push(b' ');
}

fn push_decimal(line: &mut Vec<u8>, number: u64) {
    let start = line.len();
    let mut rest = number;
    loop {
        line.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line[start..].reverse();
}

fn push_escaped(line: &mut Vec<u8>, text: &[u8], also: &[u8]) {
    if !has_escaped(text) && !also.iter().any(|byte| text.contains(byte)) {
        return line.extend_from_slice(text);
    }
    for &byte in text {
        match escaped(byte) {
            Some(letter) => line.extend([b'\\', letter]),
            None if also.contains(&byte) => line.extend([b'\\', b's']),
            None => line.push(byte),
        }
    }
}

/// Whether there is a byte that cannot stand for itself. Looks at all of them: that is faster than to stop at one.
fn has_escaped(text: &[u8]) -> bool {
    text.iter().fold(false, |found, byte| found | escaped(*byte).is_some())
}

/// The letter that stands for a byte which would end the line, or which begins an escape.
fn escaped(byte: u8) -> Option<u8> {
    match byte {
        b'\\' => Some(b'\\'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        _ => None,
    }
}
