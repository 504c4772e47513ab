//! Tar archives: parsed by the tar crate, judged and written by [`Unpack`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use anyhow::{Result, bail};
use rustix::fs::Advice;
use tar::{Entries, Entry, EntryType};

use super::plain::{self, Plain};
use super::refuse;
use super::sparse::Sparse;
use super::state::State;
use super::stream::Stream;
use super::target::Target;
use super::unpack::{Header, Unpack, unpack};
use crate::content::Sha;
use crate::pool::{self, Worker};

/// Unpacks a tar archive, compressed or not, from a file or a stream, and says the digest of what was read
/// if that is asked for.
pub(crate) fn read(from: File, target: &Target<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<Option<Sha>> {
    if !target.hashed && plain::is_plain(&from) {
        return read_plain(&Arc::new(from), target, tick).map(|()| None);
    }
    let state = State::new(tick);
    unpack(target, &mut || state.look(), |unpack, _| {
        let mut archive = ::tar::Archive::new(Stream::begin(from, target.hashed, &state)?);
        let entries = archive.entries().map_err(|error| state.blame(error))?;
        parse(entries, &state, &mut |entry| one(entry, None, unpack))?;
        drain(&mut archive.into_inner(), &state)
    })?;
    Ok(state.sha256())
}

/// Only the headers are read one after the other.
fn read_plain(from: &Arc<File>, target: &Target<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    // Not being told only makes it slower.
    let _ = rustix::fs::fadvise(from, 0, None, Advice::Sequential);
    let work = |worker: &Worker<'_, ()>, (): &mut (), ()| {
        let target = &Target { stopped: worker.stop_flag(), ..*target };
        let mut stopped = || match target.is_stopped() {
            true => bail!("stopped"),
            false => Ok(()),
        };
        let state = State::new(&mut stopped);
        unpack(target, &mut || state.look(), |unpack, _| {
            let mut archive = ::tar::Archive::new(Plain::new(Arc::clone(from), &state));
            let entries = archive.entries_with_seek().map_err(|error| state.blame(error))?;
            parse(entries, &state, &mut |entry| one(entry, Some(from), unpack))?;
            drain(&mut archive.into_inner(), &state)
        })
    };
    pool::run(vec![()], || (), work, tick).map(drop)
}

fn parse<R: Read>(
    entries: Entries<'_, R>,
    state: &State<'_>,
    one: &mut dyn FnMut(&mut Entry<'_, R>) -> Result<()>,
) -> Result<()> {
    for entry in entries {
        let mut entry = entry.map_err(|error| state.blame(error))?;
        state.expect_headers_behind(stored_size(&entry));
        one(&mut entry).map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(error) => state.blame(error),
            Err(error) => error,
        })?;
    }
    // Cut off between two entries, everything before looks whole; only the end marker tells.
    if state.has_ended() {
        if state.position() == 0 {
            bail!(refuse("archive.damaged", "there is not one byte in it"));
        }
        bail!(refuse("archive.damaged", "the archive is damaged: it ends without an end marker"));
    }
    Ok(())
}

/// What an entry takes in the archive; one with holes says what it takes without.
fn stored_size<R: Read>(entry: &Entry<'_, R>) -> u64 {
    match entry.header().entry_type() {
        EntryType::GNUSparse => entry.header().entry_size().unwrap_or(0),
        _ => entry.size(),
    }
}

/// Hands one entry over; `archive` is given where a file's bytes need not be read here.
fn one<R: Read>(entry: &mut Entry<'_, R>, archive: Option<&Arc<File>>, unpack: &mut Unpack<'_>) -> Result<()> {
    let kind = entry.header().entry_type();
    let sparse = Sparse::of(entry)?;
    let name = sparse.as_ref().map_or_else(|| entry.path_bytes().into_owned(), |sparse| sparse.name.clone());
    let stored = entry.header();
    let header = Header {
        mode: stored.mode().unwrap_or(0o644),
        mtime: stored.mtime().ok().and_then(|mtime| i64::try_from(mtime).ok()).unwrap_or(i64::MAX),
        blob: None,
    };
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse if name.ends_with(b"/") => {
            unpack.directory(&name, header)
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => match (sparse, archive) {
            (Some(sparse), _) => unpack.file(&name, header, sparse.size, &mut sparse.fill(entry)?),
            (None, Some(from)) if kind != EntryType::GNUSparse => {
                unpack.stored_file(&name, header, entry.size(), from, entry.raw_file_position())
            }
            (None, _) => {
                let size = entry.size();
                unpack.file(&name, header, size, entry)
            }
        },
        EntryType::Directory => unpack.directory(&name, header),
        EntryType::Symlink => {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            unpack.symlink(&name, OsStr::from_bytes(&target).to_os_string(), header)
        }
        EntryType::Link => {
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            unpack.hard_link(&name, &target)
        }
        // What git archive says of the whole.
        EntryType::XGlobalHeader => Ok(()),
        other => {
            let what = match other {
                EntryType::Char | EntryType::Block => "a device",
                EntryType::Fifo => "a FIFO",
                _ => "of an unknown kind",
            };
            let shown = String::from_utf8_lossy(&name).escape_debug().to_string();
            bail!(refuse("archive.kind", format!("the archive is refused: '{shown}' is {what}")))
        }
    }
}

/// Reads to the end, where compressed data has its checksum. Behind the end marker only zeros may follow.
fn drain(stream: &mut impl Read, state: &State<'_>) -> Result<()> {
    state.expect_anything();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer).map_err(|error| state.blame(error))?;
        if count == 0 {
            return Ok(());
        }
        if buffer[..count].iter().any(|byte| *byte != 0) {
            return Err(state.blame(std::io::Error::other("something follows the end of the archive")));
        }
    }
}
