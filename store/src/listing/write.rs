//! From entries to a listing.

use std::cmp::Ordering;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::{Entry, HEAD, What, hex, order};

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

/// Writes a listing, entry by entry, and refuses a wrong order.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    hash: Sha256,
    last: Option<Vec<u8>>,
    files: u64,
    bytes: u64,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a listing.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(HEAD)?;
        let mut hash = Sha256::new();
        hash.update(HEAD);
        Ok(Self { out, hash, last: None, files: 0, bytes: 0, line: Vec::new() })
    }

    /// Writes the next entry; one that does not come after the last one is an error.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if self.last.as_ref().is_some_and(|last| order(last, &entry.path) != Ordering::Less) {
            let path = String::from_utf8_lossy(&entry.path);
            return Err(io::Error::other(format!("{} is out of order in the listing", path.escape_debug())));
        }
        self.line.clear();
        write_entry(&mut self.line, entry);
        self.hash.update(&self.line);
        self.out.write_all(&self.line)?;
        self.files += 1;
        if let What::File { size, .. } = entry.what {
            self.bytes = self.bytes.saturating_add(size);
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(&entry.path);
        Ok(())
    }

    /// Ends the listing and gives the writer back.
    pub fn finish(mut self) -> io::Result<(W, Sum)> {
        self.out.flush()?;
        let digest = format!("sha256:{}", hex(&self.hash.finalize()));
        Ok((self.out, Sum { digest, files: self.files, bytes: self.bytes }))
    }
}

fn write_entry(line: &mut Vec<u8>, entry: &Entry) {
    let path = escape(&entry.path);
    match &entry.what {
        What::Directory { mode } => {
            line.extend_from_slice(format!("#d {mode:04o} ").as_bytes());
            line.extend_from_slice(&path);
        }
        What::File { mode, size, sha256 } => {
            line.extend_from_slice(format!("#f {mode:04o} {size}\n").as_bytes());
            if path.len() != entry.path.len() {
                line.push(b'\\');
            }
            line.extend_from_slice(hex(sha256).as_bytes());
            // sha256sum takes a lone "-" for its own standard input.
            line.extend_from_slice(if path == b"-" { b"  ./" } else { b"  " });
            line.extend_from_slice(&path);
        }
        What::Symlink { target } => {
            line.extend_from_slice(b"#l ");
            // A blank in the path could be taken for the arrow, so here it is escaped too.
            line.extend_from_slice(
                &path.iter().flat_map(|&b| if b == b' ' { b"\\s".to_vec() } else { vec![b] }).collect::<Vec<_>>(),
            );
            line.extend_from_slice(b" -> ");
            line.extend_from_slice(&escape(target));
        }
    }
    line.push(b'\n');
}

fn escape(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            byte => escaped.push(byte),
        }
    }
    escaped
}
