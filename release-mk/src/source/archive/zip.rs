//! Zip archives: parsed by the zip crate, judged and written by [`Unpack`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use ::zip::result::ZipError;
use ::zip::{CompressionMethod, ZipArchive};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::refuse;
use super::state::State;
use super::target::Target;
use super::unpack::{Header, Unpack, unpack};
use super::window::Window;
use crate::content::Sha;

/// The system that made an entry, whose external attributes are then a mode in the upper half.
const UNIX: u8 = 3;
const KIND: u32 = 0o170_000;
const SYMLINK: u32 = 0o120_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
/// Longer symlink targets are none.
const LONGEST_TARGET: u64 = 4096;

/// Unpacks a zip archive and says its digest if that is asked for.
pub(crate) fn read(mut from: File, target: &Target<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<Option<Sha>> {
    let sha256 = if target.hashed { Some(digest(&mut from, tick)?) } else { None };
    let state = State::new(tick);
    unpack(target, &mut || state.look(), |unpack, _| parse(from, unpack, &state))?;
    Ok(sha256)
}

fn digest(from: &mut File, tick: &mut dyn FnMut() -> Result<()>) -> Result<Sha> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer).context("read the archive")? {
            0 => break,
            count => sha.update(&buffer[..count]),
        }
        tick()?;
    }
    from.seek(SeekFrom::Start(0)).context("read the archive")?;
    Ok(sha.finalize().into())
}

fn parse(from: File, unpack: &mut Unpack<'_>, state: &State<'_>) -> Result<()> {
    let size = from.metadata().context("read the archive")?.len();
    if let Some(entries) = announced(&from, size) {
        // The whole table is held in memory below.
        unpack.target().limits.refuse_entries(entries)?;
    }
    let mut directory = Window::over(from.try_clone().context("read the archive")?, size);
    let mut archive = ZipArchive::new(Window::over(from, size)).map_err(damaged)?;
    refuse_by_table(&mut directory, archive.central_directory_start(), archive.len())?;
    refuse_overlaps(&mut archive)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        state.tick().map_err(|error| state.blame(error))?;
        let name = entry.name_raw().to_vec();
        if name.contains(&b'\\') {
            let shown = String::from_utf8_lossy(&name).escape_debug().to_string();
            bail!(refuse("archive.path", format!("the archive is refused: there is a backslash in '{shown}'")));
        }
        let stored = entry.unix_mode();
        let is_directory = name.ends_with(b"/");
        let mode = stored.unwrap_or(if is_directory { 0o755 } else { 0o644 });
        let header = Header { mode, mtime: mtime(&entry), blob: None };
        let size = entry.size();
        match stored.map_or(0, |mode| mode & KIND) {
            SYMLINK => {
                let mut text = Vec::new();
                (&mut entry).take(LONGEST_TARGET + 1).read_to_end(&mut text).map_err(|e| damaged(e.into()))?;
                if text.len() as u64 > LONGEST_TARGET {
                    bail!(refuse("archive.link", "the archive is refused: a symlink's target is too long"));
                }
                unpack.symlink(&name, OsStr::from_bytes(&text).to_os_string(), header)
            }
            DIRECTORY => unpack.directory(&name, header),
            0 | REGULAR if is_directory => unpack.directory(&name, header),
            0 | REGULAR => unpack.file(&name, header, size, &mut Looked { from: &mut entry, state }),
            _ => {
                let shown = String::from_utf8_lossy(&name).escape_debug().to_string();
                bail!(refuse(
                    "archive.kind",
                    format!("the archive is refused: '{shown}' is neither file, directory nor link")
                ))
            }
        }
        .map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(error) => state.blame(error),
            Err(error) => error,
        })?;
    }
    Ok(())
}

/// How many entries the end of the archive says that there are; `None` where it says nothing that is understood here. Not
/// relied upon but for refusing.
fn announced(from: &File, size: u64) -> Option<u64> {
    // Behind the last record there is nothing but a comment.
    let mut tail = vec![0; usize::try_from(size.min(20 + 22 + 0xffff)).ok()?];
    let first = size - tail.len() as u64;
    from.read_exact_at(&mut tail, first).ok()?;
    let at = tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06")?;
    let count = u16::from_le_bytes(tail.get(at + 10..at + 12)?.try_into().ok()?);
    let locator = tail.get(at.checked_sub(20).unwrap_or(at)..at).filter(|bytes| bytes.starts_with(b"PK\x06\x07"));
    let Some(locator) = locator.filter(|_| count == u16::MAX) else { return Some(u64::from(count)) };
    let mut large = [0; 56];
    from.read_exact_at(&mut large, u64::from_le_bytes(locator.get(8..16)?.try_into().ok()?)).ok()?;
    let entries = u64::from_le_bytes(large[32..40].try_into().ok()?);
    large.starts_with(b"PK\x06\x06").then_some(entries)
}

/// One entry, which may be very long: between reads the signals and the pipe are looked after.
struct Looked<'l, 's, R> {
    from: R,
    state: &'l State<'s>,
}

impl<R: Read> Read for Looked<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.state.tick()?;
        self.from.read(buffer)
    }
}

/// The crate keeps the last of several entries of one name and drops set-id bits; here the table itself is read.
fn refuse_by_table<R: Read + Seek>(table: &mut R, start: u64, kept: usize) -> Result<()> {
    let broken = |error: std::io::Error| damaged(error.into());
    table.seek(SeekFrom::Start(start)).map_err(broken)?;
    let mut count = 0;
    let mut header = [0; 46];
    while table.read_exact(&mut header).is_ok() && header.starts_with(b"PK\x01\x02") {
        count += 1;
        if header[5] == UNIX && header[41] & 0o14 != 0 {
            bail!(refuse("archive.set_id", "the archive is refused: an entry is set-user-id or set-group-id"));
        }
        let length = |at: usize| i64::from(u16::from_le_bytes([header[at], header[at + 1]]));
        table.seek(SeekFrom::Current(length(28) + length(30) + length(32))).map_err(broken)?;
    }
    if count != kept {
        bail!(refuse("archive.duplicate", "the archive is refused: it has several entries of one name"));
    }
    Ok(())
}

/// Entries that share bytes of the archive are a bomb, or two readings of one file.
fn refuse_overlaps<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<()> {
    let mut extents = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        if entry.encrypted() {
            bail!(refuse("archive.encrypted", "the archive is refused: it is encrypted"));
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            bail!(refuse("archive.kind", "the archive is refused: only stored and deflated entries are read"));
        }
        let start = entry.header_start();
        let data = entry.data_start().unwrap_or(start);
        extents.push((start, data.saturating_add(entry.compressed_size())));
    }
    extents.sort_unstable();
    if extents.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        bail!(refuse("archive.overlap", "the archive is refused: its entries overlap"));
    }
    Ok(())
}

/// Zip stores local time without a zone and even seconds; taken as UTC.
fn mtime<R: Read>(entry: &::zip::read::ZipFile<'_, R>) -> i64 {
    let Some(time) = entry.last_modified() else { return 0 };
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    let at = record::clock::parse_rfc3339(&text);
    at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

fn damaged(error: ZipError) -> anyhow::Error {
    let failure = refuse("archive.damaged", "the archive is damaged or no zip archive");
    anyhow::Error::new(error).context(failure)
}
