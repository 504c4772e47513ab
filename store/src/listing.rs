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

use std::cmp::Ordering;
use std::io::{self, BufRead, Write};

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};

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

const HEAD: &[u8] = b"#cutover.tree/1\n";

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
            self.bytes += size;
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

/// The order of entries: as a walk meets them, so `a/b` comes before `a-b`.
pub fn order(one: &[u8], other: &[u8]) -> Ordering {
    one.split(|&b| b == b'/').cmp(other.split(|&b| b == b'/'))
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

/// Reads a listing entry by entry, with no more memory than one of them takes.
#[derive(Debug)]
pub struct Reader<R> {
    lines: R,
    line: Vec<u8>,
    number: u64,
    hash: Sha256,
}

impl<R: BufRead> Reader<R> {
    /// Begins to read; anything but a listing of this format is an error.
    pub fn new(lines: R) -> anyhow::Result<Self> {
        let mut reader = Self { lines, line: Vec::new(), number: 0, hash: Sha256::new() };
        ensure!(reader.next_line()? && reader.line == HEAD, "the listing begins with another format");
        Ok(reader)
    }

    /// The next entry; `None` at the end.
    pub fn entry(&mut self) -> anyhow::Result<Option<Entry>> {
        if !self.next_line()? {
            return Ok(None);
        }
        let number = self.number;
        self.parse().map(Some).with_context(|| format!("read line {number} of the listing"))
    }

    /// The digest of what was read so far, to compare with the release's.
    pub fn digest(&self) -> String {
        format!("sha256:{}", hex(&self.hash.clone().finalize()))
    }

    fn next_line(&mut self) -> anyhow::Result<bool> {
        self.line.clear();
        self.lines.read_until(b'\n', &mut self.line).context("read the listing")?;
        self.number += 1;
        self.hash.update(&self.line);
        ensure!(self.line.is_empty() || self.line.ends_with(b"\n"), "the listing is cut off in line {}", self.number);
        Ok(!self.line.is_empty())
    }

    fn parse(&mut self) -> anyhow::Result<Entry> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if let Some(rest) = line.strip_prefix(b"#d ") {
            let (mode, path) = cut(rest, b" ").context("no mode")?;
            return Ok(Entry { path: unescape(path)?, what: What::Directory { mode: octal(mode)? } });
        }
        if let Some(rest) = line.strip_prefix(b"#l ") {
            let (path, target) = cut(rest, b" -> ").context("no target")?;
            return Ok(Entry { path: unescape(path)?, what: What::Symlink { target: unescape(target)? } });
        }
        let rest = line.strip_prefix(b"#f ").context("neither directory nor file nor link")?;
        let (mode, size) = cut(rest, b" ").context("no mode")?;
        let (mode, size) = (octal(mode)?, std::str::from_utf8(size)?.parse()?);
        ensure!(self.next_line()?, "no checksum");
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let escaped = line.strip_prefix(b"\\");
        let (sum, path) = cut(escaped.unwrap_or(line), b"  ").context("no checksum")?;
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let path = if escaped.is_some() { unescape(path)? } else { path.to_vec() };
        Ok(Entry { path, what: What::File { mode, size, sha256: unhex(sum)? } })
    }
}

/// Two lowercase digits per byte.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

fn unhex(text: &[u8]) -> anyhow::Result<[u8; 32]> {
    ensure!(text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit), "no sha256 checksum");
    let text = std::str::from_utf8(text)?;
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16)?;
    }
    Ok(bytes)
}

fn octal(text: &[u8]) -> anyhow::Result<u32> {
    Ok(u32::from_str_radix(std::str::from_utf8(text)?, 8)?)
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let index = text.windows(at.len()).position(|window| window == at)?;
    Some((&text[..index], &text[index + at.len()..]))
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

fn unescape(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'\\') => b'\\',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b's') => b' ',
                _ => bail!("an escape that means nothing"),
            },
            byte => byte,
        });
    }
    Ok(plain)
}
