//! Tar archives: parsed by the tar crate, judged and written by [`Unpack`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, bail};
use tar::EntryType;

use super::refuse;
use super::sparse::Sparse;
use super::stream::{State, Stream};
use super::target::Target;
use super::unpack::{Header, Unpack, unpack};
use crate::content::Sha;

/// Unpacks a tar archive, compressed or not, from a file or a stream, and says the digest of what was read
/// if that is asked for.
pub(crate) fn read(from: File, target: &Target<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<Option<Sha>> {
    let state = State::new(tick);
    unpack(target, |unpack| parse(Stream::begin(from, target.hashed, &state), &state, unpack))?;
    Ok(state.sha256())
}

fn parse(stream: Stream<'_>, state: &State<'_>, unpack: &mut Unpack<'_>) -> Result<()> {
    let mut archive = ::tar::Archive::new(stream);
    let blame = |error: std::io::Error| state.blame(error);
    for entry in archive.entries().map_err(blame)? {
        let mut entry = entry.map_err(blame)?;
        state.expect_headers_behind(stored_size(&entry));
        one(&mut entry, unpack).map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(error) => state.blame(error),
            Err(error) => error,
        })?;
    }
    // Cut off between two entries, everything before looks whole; only the end marker tells.
    if state.has_ended() {
        bail!(refuse("archive.damaged", "the archive is damaged: it ends without an end marker"));
    }
    state.expect_anything();
    drain(&mut archive.into_inner()).map_err(blame)?;
    Ok(())
}

/// What an entry takes in the archive; one with holes says what it takes without.
fn stored_size(entry: &::tar::Entry<'_, Stream<'_>>) -> u64 {
    match entry.header().entry_type() {
        EntryType::GNUSparse => entry.header().entry_size().unwrap_or(0),
        _ => entry.size(),
    }
}

fn one(entry: &mut ::tar::Entry<'_, Stream<'_>>, unpack: &mut Unpack<'_>) -> Result<()> {
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
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => match sparse {
            Some(sparse) => unpack.file(&name, header, sparse.size, &mut sparse.fill(entry)?),
            None => {
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

/// Reads to the end of the compressed data, whose checksum comes last. Behind the end marker only zeros may follow.
fn drain(stream: &mut Stream<'_>) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if buffer[..count].iter().any(|byte| *byte != 0) {
            return Err(std::io::Error::other("something follows the end of the archive"));
        }
    }
}
