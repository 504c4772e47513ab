//! The bytes of one file: copied, hashed on the way, holes kept, shared with the source where the
//! file system can.
//!
//! Every byte is looked at exactly once for both purposes. `copy_file_range` is not used: the bytes
//! have to come through here for the digest anyway. Large files are hashed by a second thread while
//! this one reads and writes.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use nix::errno::Errno;
use nix::unistd::{Whence, ftruncate, lseek};
use rustix::fs::Advice;
use sha2::{Digest, Sha256};

use crate::progress::Meter;

/// A file's digest, raw.
pub(crate) type Sha = [u8; 32];

/// So much of a hole is hashed between two looks at whether to go on.
const ZEROS: u64 = 64 << 20;
const CHUNK: usize = 256 * 1024;
/// From this size on a second thread hashes; below it would cost more than it wins.
const ASIDE: u64 = 4 * 1024 * 1024;
/// Chunks between the thread that copies and the one that hashes: 3 MiB, which last while the disk keeps the first waiting.
const IN_FLIGHT: usize = 12;
/// So much of a large file is written before the disk is asked to begin with it.
const BEGIN: u64 = 8 * 1024 * 1024;

/// One thread's buffers for copying file after file.
#[derive(Default)]
pub(crate) struct Copier {
    spare: Vec<Vec<u8>>,
}

/// Why a copy stopped half way.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The source could not be read.
    Read(io::Error),
    /// The copy could not be written.
    Write(io::Error),
    /// The source has become shorter since it was opened.
    Changed,
    /// Somebody else failed, or a signal came.
    Stopped,
}

/// What is copied, and how.
pub(crate) struct Job<'a> {
    /// Read from here, at any position.
    pub(crate) from: &'a File,
    /// Written to from its start; empty so far. `None` only hashes.
    pub(crate) to: Option<&'a File>,
    /// The length the source had when it was opened.
    pub(crate) size: u64,
    /// Whether the source has fewer blocks than bytes, so that holes are looked for.
    pub(crate) sparse: bool,
    /// Cleared when the file system turns out not to share blocks.
    pub(crate) reflink: &'a AtomicBool,
    /// Told what is written while it is, of all but large files.
    pub(crate) meter: Option<&'a Meter>,
}

enum Hasher {
    Inline(Box<Sha256>),
    Aside { full: SyncSender<Part>, empty: Receiver<Vec<u8>> },
}

enum Part {
    Bytes(Vec<u8>),
    Zeros(u64),
}

impl Copier {
    /// Copies the job's content and says its digest. Writes to the job's file only.
    pub(crate) fn copy(&mut self, job: &Job<'_>, stopped: &dyn Fn() -> bool) -> Result<Sha, Fault> {
        let shared = job.to.is_some_and(|to| job.size >= CHUNK as u64 && share_blocks(job.from, to, job.reflink));
        let job = &Job { to: if shared { None } else { job.to }, ..*job };
        if job.size < ASIDE {
            return self.copy_alone(job, stopped);
        }
        let (full, parts) = sync_channel(IN_FLIGHT);
        let (give_back, empty) = sync_channel(IN_FLIGHT + 2);
        std::thread::scope(|scope| {
            let hashing = Builder::new().spawn_scoped(scope, move || hash_parts(&parts, &give_back));
            let Ok(hashing) = hashing else { return self.copy_alone(job, stopped) };
            let mut hasher = Hasher::Aside { full, empty };
            let pumped = self.pump(job, &mut hasher, stopped);
            if let Hasher::Aside { empty, .. } = &hasher {
                self.spare.extend(empty.try_iter());
            }
            // Closes the channel, which ends the other thread.
            drop(hasher);
            let sha = hashing.join().map_err(|_| Fault::Stopped)?;
            self.spare.truncate(1);
            pumped.map(|()| sha)
        })
    }

    fn copy_alone(&mut self, job: &Job<'_>, stopped: &dyn Fn() -> bool) -> Result<Sha, Fault> {
        let mut hasher = Hasher::Inline(Box::new(Sha256::new()));
        self.pump(job, &mut hasher, stopped)?;
        let Hasher::Inline(sha) = hasher else { unreachable!("an inline hasher stays one") };
        Ok(sha.finalize().into())
    }

    fn pump(&mut self, job: &Job<'_>, hasher: &mut Hasher, stopped: &dyn Fn() -> bool) -> Result<(), Fault> {
        let mut at = 0;
        let mut data_end = if job.sparse { 0 } else { u64::MAX };
        while at < job.size {
            if at >= data_end {
                let (start, end) = next_data(job.from, at, job.size).map_err(Fault::Read)?;
                while at < start {
                    let zeros = (start - at).min(ZEROS);
                    self.hash(hasher, Part::Zeros(zeros));
                    at += zeros;
                    if stopped() {
                        return Err(Fault::Stopped);
                    }
                }
                data_end = end;
                continue;
            }
            let want = usize::try_from((data_end.min(job.size) - at).min(CHUNK as u64)).unwrap_or(CHUNK);
            let mut chunk = self.chunk(hasher);
            chunk.resize(want, 0);
            if read_full(job.from, &mut chunk, at).map_err(Fault::Read)? < want {
                return Err(Fault::Changed);
            }
            if let Some(to) = job.to {
                to.write_all_at(&chunk, at).map_err(Fault::Write)?;
                if job.size >= ASIDE {
                    begin_writing(to, at, want as u64);
                } else if let Some(meter) = job.meter {
                    meter.wrote(want as u64);
                }
            }
            at += want as u64;
            self.hash(hasher, Part::Bytes(chunk));
            if stopped() {
                return Err(Fault::Stopped);
            }
        }
        match job.to {
            // A hole at the end has no byte that was written.
            Some(to) if job.sparse => {
                ftruncate(to, i64::try_from(job.size).unwrap_or(i64::MAX)).map_err(|e| Fault::Write(e.into()))
            }
            _ => Ok(()),
        }
    }

    fn chunk(&mut self, hasher: &Hasher) -> Vec<u8> {
        if let Some(chunk) = self.spare.pop() {
            return chunk;
        }
        match hasher {
            Hasher::Aside { empty, .. } => empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK)),
            Hasher::Inline(_) => Vec::with_capacity(CHUNK),
        }
    }

    fn hash(&mut self, hasher: &mut Hasher, part: Part) {
        match hasher {
            Hasher::Inline(sha) => {
                if let Some(chunk) = update(sha, part) {
                    self.spare.push(chunk);
                }
            }
            // The other thread ends only when this one lets go of the channel.
            Hasher::Aside { full, .. } => drop(full.send(part)),
        }
    }
}

fn hash_parts(parts: &Receiver<Part>, give_back: &SyncSender<Vec<u8>>) -> Sha {
    let mut sha = Sha256::new();
    for part in parts {
        if let Some(chunk) = update(&mut sha, part) {
            // A full channel only means that there are chunks enough.
            let _ = give_back.try_send(chunk);
        }
    }
    sha.finalize().into()
}

fn update(sha: &mut Sha256, part: Part) -> Option<Vec<u8>> {
    match part {
        Part::Bytes(chunk) => {
            sha.update(&chunk);
            Some(chunk)
        }
        Part::Zeros(mut count) => {
            let zeros = [0_u8; 8192];
            while count > 0 {
                let now = count.min(zeros.len() as u64);
                sha.update(&zeros[..usize::try_from(now).unwrap_or(zeros.len())]);
                count -= now;
            }
            None
        }
    }
}

/// Fills a chunk from this place on and says how much there was; less than asked for at the end of the file.
pub(crate) fn read_full(from: &File, chunk: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < chunk.len() {
        match from.read_at(&mut chunk[got..], at + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

/// Where the next bytes that are no hole begin and end; both `size` when only a hole is left.
fn next_data(from: &File, at: u64, size: u64) -> io::Result<(u64, u64)> {
    let position = |at: u64| i64::try_from(at).map_err(|_| io::Error::from(Errno::EOVERFLOW));
    let start = match lseek(from, position(at)?, Whence::SeekData) {
        Ok(start) => u64::try_from(start).unwrap_or(size),
        Err(Errno::ENXIO) => return Ok((size, size)),
        Err(errno) => return Err(errno.into()),
    };
    let end = u64::try_from(lseek(from, position(start)?, Whence::SeekHole)?).unwrap_or(size);
    // A file system that says nothing useful has one piece of data up to the end.
    Ok((start.min(size), if end > start { end.min(size) } else { size }))
}

/// Lets the disk begin with what has been written, without waiting for it: of a file, unlike of a file system, without a
/// commit of the journal, which would stop the writer.
pub(crate) fn begin_writing(file: &File, at: u64, count: u64) {
    let end = at + count;
    if at / BEGIN != end / BEGIN {
        let start = (at / BEGIN) * BEGIN;
        // Of dirty pages none is dropped; who cannot do it only waits longer at the end.
        let _ = rustix::fs::fadvise(file, start, NonZero::new(end - start), Advice::DontNeed);
    }
}

fn share_blocks(from: &File, to: &File, reflink: &AtomicBool) -> bool {
    if !reflink.load(Ordering::Relaxed) {
        return false;
    }
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => true,
        Err(_) => {
            // Another file system, or one without shared blocks: not asked again for this source.
            reflink.store(false, Ordering::Relaxed);
            false
        }
    }
}
