//! Whether a release is still what it was when it was made. Reads only.
//!
//! The walk through the tree and the listing are in the same order, so both are read once and side by side; the files'
//! content is hashed by as many threads as there are processors.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;
use std::time::Instant;

use anyhow::{Context, anyhow};
use dir::Kind;
use nix::fcntl::OFlag;
use record::sections::{LsDifference, LsVerified};
use sha2::{Digest, Sha256};
use store::listing::{self, Entry, Reader, What};
use store::{Manifest, Root};

use crate::walk::{Met, Walk};

/// A file to hash, and what it should come to.
struct Job {
    path: Vec<u8>,
    file: File,
    sha256: [u8; 32],
}

/// Read from a file at once, in bytes.
const BUFFER: usize = 256 << 10;

/// What was found so far, by all threads.
#[derive(Default)]
struct Found {
    differences: Vec<(Vec<u8>, LsDifference)>,
    hashed_bytes: u64,
}

/// Compares one release with its listing, and the listing with its digest.
pub(crate) fn verify(root: &Root, manifest: &Manifest) -> anyhow::Result<LsVerified> {
    let began = Instant::now();
    let found = Mutex::new(Found::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    // Every job is an open file; the channel's bound is the bound on descriptors.
    let (sender, receiver) = sync_channel::<Job>(4 * threads);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let begin = || Builder::new().spawn_scoped(scope, || hash_all(&receiver, &found)).is_ok();
        let begun = (0..threads).take_while(|_| begin()).count();
        // Where no thread is to be had, each file is hashed when its turn comes.
        let compared = compare(root, manifest, &found, |job| match begun {
            0 => {
                hash_one(job, &mut vec![0; BUFFER], &found);
                true
            }
            _ => sender.send(job).is_ok(),
        });
        drop(sender);
        compared
    })
    .with_context(|| format!("verify {}", manifest.id))?;
    let mut found = found.into_inner().map_err(|_| anyhow!("verify {}", manifest.id))?;
    found.differences.sort_by(|(one, _), (other, _)| listing::order(one, other));
    Ok(LsVerified {
        root: root.path().display().to_string(),
        id: manifest.id.to_string(),
        ok: found.differences.is_empty(),
        files: manifest.files,
        hashed_bytes: found.hashed_bytes,
        elapsed_ms: record::clock::milliseconds(began.elapsed()),
        differences: found.differences.into_iter().map(|(_, difference)| difference).collect(),
    })
}

fn compare(root: &Root, manifest: &Manifest, found: &Mutex<Found>, hash: impl Fn(Job) -> bool) -> anyhow::Result<()> {
    let listing = root.state().open_dir("tree").and_then(|tree| tree.open_file(&manifest.id, OFlag::O_RDONLY, 0));
    let listing = match listing {
        Ok(file) => file,
        Err(error) => {
            note(found, b"", "listing", Some(format!("{error}: {}", error.errno().desc())));
            return Ok(());
        }
    };
    let mut reader = match Reader::new(BufReader::with_capacity(1 << 16, listing)) {
        Ok(reader) => reader,
        Err(error) => {
            note(found, b"", "listing", Some(format!("{error:#}")));
            return Ok(());
        }
    };
    let mut next = || {
        reader.entry().unwrap_or_else(|error| {
            note(found, b"", "listing", Some(format!("{error:#}")));
            None
        })
    };
    let mut walk = Walk::from(root.releases().open_dir(&manifest.id)?);
    let mut expected = next();
    while let Some(met) = walk.next()? {
        while let Some(entry) = expected.take_if(|entry| listing::order(&entry.path, met.path) == Ordering::Less) {
            note(found, &entry.path, "missing", None);
            expected = next();
        }
        match expected.take_if(|entry| entry.path == met.path) {
            Some(entry) => {
                compare_one(&entry, &met, found, &hash);
                expected = next();
            }
            None => note(found, met.path, "extra", None),
        }
    }
    while let Some(entry) = expected {
        note(found, &entry.path, "missing", None);
        expected = next();
    }
    if reader.digest() != manifest.digest {
        note(found, b"", "listing", Some(format!("its digest is {}, not {}", reader.digest(), manifest.digest)));
    }
    Ok(())
}

fn compare_one(entry: &Entry, met: &Met<'_>, found: &Mutex<Found>, hash: impl Fn(Job) -> bool) {
    let wrong = |what: &str, detail: String| note(found, &entry.path, what, Some(detail));
    let check_mode = |mode: u32| {
        if met.stat.mode() != mode {
            wrong("mode", format!("{:04o}, not {mode:04o}", met.stat.mode()));
        }
    };
    match (&entry.what, met.stat.kind()) {
        (What::Directory { mode }, Kind::Directory) => {
            check_mode(*mode);
            if let Some(error) = &met.unreadable {
                wrong("unreadable", error.errno().desc().to_owned());
            }
        }
        (What::Symlink { target }, Kind::Symlink) => match met.dir.read_link(&met.name) {
            Ok(text) if text.as_bytes() == target => {}
            Ok(text) => wrong("target", format!("{}, not {}", text.to_string_lossy(), String::from_utf8_lossy(target))),
            Err(error) => wrong("unreadable", error.errno().desc().to_owned()),
        },
        (What::File { mode, size, sha256 }, Kind::File) => {
            check_mode(*mode);
            if met.stat.size() != *size {
                wrong("size", format!("{}, not {size}", met.stat.size()));
                return;
            }
            match met.dir.open_file(&met.name, OFlag::O_RDONLY, 0) {
                Ok(file) => {
                    hash(Job { path: entry.path.clone(), file, sha256: *sha256 });
                }
                Err(error) => wrong("unreadable", error.errno().desc().to_owned()),
            }
        }
        (_, kind) => wrong("type", format!("now {}", word(kind))),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "a directory",
        Kind::File => "a file",
        Kind::Symlink => "a link",
        Kind::Other => "a device, FIFO or socket",
    }
}

fn hash_all(jobs: &Mutex<Receiver<Job>>, found: &Mutex<Found>) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(Ok(job)) = jobs.lock().map(|jobs| jobs.recv()) {
        hash_one(job, &mut buffer, found);
    }
}

fn hash_one(job: Job, buffer: &mut [u8], found: &Mutex<Found>) {
    match hash(job.file, buffer) {
        Ok((sum, bytes)) => {
            if sum != job.sha256 {
                note(found, &job.path, "content", None);
            }
            if let Ok(mut found) = found.lock() {
                found.hashed_bytes += bytes;
            }
        }
        Err(error) => note(found, &job.path, "unreadable", Some(error.to_string())),
    }
}

fn hash(mut file: File, buffer: &mut [u8]) -> std::io::Result<([u8; 32], u64)> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok((hash.finalize().into(), bytes)),
            length => {
                hash.update(&buffer[..length]);
                bytes += length as u64;
            }
        }
    }
}

fn note(found: &Mutex<Found>, path: &[u8], what: &str, detail: Option<String>) {
    let difference = LsDifference { path: String::from_utf8_lossy(path).into_owned(), what: what.to_owned(), detail };
    if let Ok(mut found) = found.lock() {
        found.differences.push((path.to_vec(), difference));
    }
}
