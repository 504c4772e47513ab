//! From a listing to entries.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};

use super::{Entry, HEAD, What, hex};

const BUFFER: usize = 256 * 1024;
/// How long a checksum is in text.
const DIGITS: usize = 64;

/// The value of each hexadecimal digit, and more than 15 for every other byte.
const NIBBLES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

/// Reads a listing entry by entry, with no more memory than one of them takes.
#[derive(Debug)]
pub struct Reader<R> {
    lines: R,
    line: Vec<u8>,
    number: u64,
    /// Not where only a part is read.
    hash: Option<Sha256>,
}

/// Of one half of a listing.
pub type Half = Reader<Box<dyn BufRead + Send>>;

impl Half {
    /// Two readers that have all entries of a listing between them, about half each, to read both at once. Takes the same
    /// file, opened twice; the digests of the readers mean nothing.
    pub fn halves(file: File, again: File) -> anyhow::Result<[Self; 2]> {
        let mut at = file.metadata().context("read the listing")?.len() / 2;
        let mut second = BufReader::with_capacity(BUFFER, again);
        second.seek(SeekFrom::Start(at)).context("read the listing")?;
        loop {
            // The rest of a line, and then lines that do not begin an entry.
            at += second.read_until(b'\n', &mut Vec::new()).context("read the listing")? as u64;
            if second.fill_buf().context("read the listing")?.first().is_none_or(|byte| *byte == b'#') {
                break;
            }
        }
        let first = BufReader::with_capacity(BUFFER, file.take(at));
        let mut halves = [Self::new(Box::new(first))?, Self::new(Box::new(HEAD.chain(second)))?];
        halves.iter_mut().for_each(|half| half.hash = None);
        Ok(halves)
    }
}

impl<R: BufRead> Reader<R> {
    /// Begins to read; anything but a listing of this format is an error.
    pub fn new(lines: R) -> anyhow::Result<Self> {
        let mut reader = Self { lines, line: Vec::new(), number: 0, hash: Some(Sha256::new()) };
        ensure!(reader.next_line()? && reader.line == HEAD, "the listing begins with another format");
        Ok(reader)
    }

    /// The next entry; `None` at the end.
    pub fn entry(&mut self) -> anyhow::Result<Option<Entry>> {
        let mut path = Vec::new();
        Ok(self.entry_at(&mut path)?.map(|what| Entry { path, what }))
    }

    /// What the next entry is; its path takes the place of what is in `path`, whose room is used again. `None` at the end.
    pub fn entry_at(&mut self, path: &mut Vec<u8>) -> anyhow::Result<Option<What>> {
        if !self.next_line()? {
            return Ok(None);
        }
        let number = self.number;
        path.clear();
        self.parse(path).map(Some).with_context(|| format!("read line {number} of the listing"))
    }

    /// The digest of what was read so far, to compare with the release's.
    pub fn digest(&self) -> String {
        format!("sha256:{}", hex(&self.hash.clone().unwrap_or_default().finalize()))
    }

    fn next_line(&mut self) -> anyhow::Result<bool> {
        self.line.clear();
        self.lines.read_until(b'\n', &mut self.line).context("read the listing")?;
        self.number += 1;
        if let Some(hash) = &mut self.hash {
            hash.update(&self.line);
        }
        ensure!(self.line.is_empty() || self.line.ends_with(b"\n"), "the listing is cut off in line {}", self.number);
        Ok(!self.line.is_empty())
    }

    fn parse(&mut self, to: &mut Vec<u8>) -> anyhow::Result<What> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if let Some(rest) = line.strip_prefix(b"#d ") {
            let (mode, path) = cut(rest, b" ").context("no mode")?;
            unescape(path, to)?;
            return Ok(What::Directory { mode: octal(mode)? });
        }
        if let Some(rest) = line.strip_prefix(b"#l ") {
            let (path, target) = cut(rest, b" -> ").context("no target")?;
            unescape(path, to)?;
            let mut text = Vec::new();
            unescape(target, &mut text)?;
            return Ok(What::Symlink { target: text });
        }
        let rest = line.strip_prefix(b"#f ").context("neither directory nor file nor link")?;
        let (mode, size) = cut(rest, b" ").context("no mode")?;
        let (mode, size) = (octal(mode)?, std::str::from_utf8(size)?.parse()?);
        ensure!(self.next_line()?, "no checksum");
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let escaped = line.strip_prefix(b"\\");
        let (sum, path) = escaped.unwrap_or(line).split_at_checked(DIGITS).context("no checksum")?;
        let path = path.strip_prefix(b"  ").context("no checksum")?;
        let path = path.strip_prefix(b"./").unwrap_or(path);
        match escaped {
            Some(_) => unescape(path, to)?,
            None => to.extend_from_slice(path),
        }
        Ok(What::File { mode, size, sha256: unhex(sum)? })
    }
}

fn unhex(text: &[u8]) -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    ensure!(text.len() == DIGITS && all <= 15, "no sha256 checksum");
    Ok(bytes)
}

fn octal(text: &[u8]) -> anyhow::Result<u32> {
    Ok(u32::from_str_radix(std::str::from_utf8(text)?, 8)?)
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let index = text.windows(at.len()).position(|window| window == at)?;
    Some((&text[..index], &text[index + at.len()..]))
}

fn unescape(text: &[u8], plain: &mut Vec<u8>) -> anyhow::Result<()> {
    plain.reserve(text.len());
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
    Ok(())
}
