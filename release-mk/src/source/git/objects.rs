//! The tree of a commit, read object by object from two `git cat-file` while `git ls-tree` still lists it.
//!
//! Four processes and a thread, connected by pipes: whoever is slowest sets the pace, nobody holds more than a
//! pipe's worth. Two, because decoding is most of the work. The objects come as they were stored: no attribute of the
//! repository has a say. What is known to be as in the previous release is linked to it and not decoded at all.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use anyhow::{Context, Result, bail, ensure};
use record::{Exit, Failure};

use super::running::{Late, Running};
use super::submodules::Part;
use crate::blobs::Blob;
use crate::content::Sha;
use crate::pool::no_thread;
use crate::source::archive::refuse;
use crate::source::archive::target::Target;
use crate::source::archive::unpack::{Header, Unpack, unpack as unpack_into};

/// Entries asked of one process before the other's turn. Their ids fit in a pipe, so that asking never waits for an
/// answer that nobody takes yet.
const ASKED: usize = 64;
/// Entries that are asked for ahead: enough for each process to fill its buffers.
const AHEAD: usize = 1024;
/// What a pipe may hold, so that one process can work while the other is read from.
const PIPE: usize = 1 << 20;
/// Longer symlink targets are none.
const LONGEST_TARGET: u64 = 4096;

struct Listed {
    mode: u32,
    path: Vec<u8>,
    blob: Blob,
    answer: Answer,
}

/// Where an entry's content comes from.
enum Answer {
    /// From this process.
    Of(usize),
    /// It is known to be this.
    Known(Sha, u64),
    /// It has none.
    Nothing,
}

/// What is known of a path and its object id, so that it need not be asked for.
type Known<'a> = dyn Fn(&[u8], &Blob) -> Option<(Sha, u64)> + 'a;

/// Puts the trees of the commits into the target. Every file gets the time of its commit.
pub(super) fn unpack(parts: &[Part], target: &Target<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    unpack_into(target, tick, |unpack, tick| parts.iter().try_for_each(|part| tree(part, unpack, tick)))
}

fn tree(part: &Part, unpack: &mut Unpack<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let commit = &part.commit;
    let mut list =
        Running::start(commit, &["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", &commit.revision])?;
    let target = unpack.target();
    // Buffered answers stay with a process that is asked nothing more, and what is known is not asked for.
    let arguments: &[&str] =
        if target.blobs.is_some() { &["cat-file", "--batch"] } else { &["cat-file", "--batch", "--buffer"] };
    let mut objects = [Running::start(commit, arguments)?, Running::start(commit, arguments)?];
    let [first, second] = &mut objects;
    let listing = BufReader::with_capacity(64 * 1024, list.stdout()?);
    let to_ask = [first.stdin()?, second.stdin()?].map(|stdin| BufWriter::with_capacity(64 * 1024, stdin));
    let mut answers = [answers_of(first)?, answers_of(second)?];
    let (listed, entries) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let asking = move || {
            let known = |path: &[u8], blob: &Blob| {
                target.blobs.and_then(|_| target.known(&[&part.prefix, path].concat(), blob))
            };
            ask(listing, to_ask, &listed, &known)
        };
        let asker = Builder::new().spawn_scoped(scope, asking).with_context(no_thread)?;
        let unpacked = take(&entries, &mut answers, part, unpack, tick);
        // Whoever still waits for an answer or a taker ends with the processes.
        drop(entries);
        if unpacked.is_err() {
            list.end();
            objects.iter_mut().for_each(Running::end);
        }
        let asked =
            asker.join().map_err(|_| anyhow::anyhow!("the thread that asks git is gone")).and_then(|asked| asked);
        unpacked.and(asked)
    })?;
    list.finish("ls-tree")?;
    objects.into_iter().try_for_each(|process| process.finish("cat-file"))
}

fn answers_of(process: &mut Running) -> Result<BufReader<ChildStdout>> {
    let stdout = process.stdout()?;
    // Smaller ones, where the kernel allows no more, are only slower.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
    Ok(BufReader::with_capacity(256 * 1024, stdout))
}

fn ask(
    mut listing: impl BufRead,
    mut asking: [BufWriter<ChildStdin>; 2],
    listed: &SyncSender<Listed>,
    known: &Known<'_>,
) -> Result<()> {
    let mut batch = Vec::with_capacity(ASKED);
    let mut line = Vec::new();
    for turn in [0, 1].into_iter().cycle() {
        let asking = &mut asking[turn];
        let mut over = false;
        while batch.len() < ASKED && !over {
            line.clear();
            over = listing.read_until(0, &mut line).context("read from git ls-tree")? == 0;
            if over {
                break;
            }
            let (mut entry, id) = parse(line.strip_suffix(&[0]).unwrap_or(&line))?;
            let kind = entry.mode & KIND;
            if kind != SUBMODULE {
                entry.answer = match known(&entry.path, &entry.blob) {
                    Some((sha256, size)) if kind == REGULAR => Answer::Known(sha256, size),
                    _ => {
                        asking.write_all(id).and_then(|()| asking.write_all(b"\n")).context("ask git cat-file")?;
                        Answer::Of(turn)
                    }
                };
            }
            batch.push(entry);
        }
        asking.flush().context("ask git cat-file")?;
        for entry in batch.drain(..) {
            if listed.send(entry).is_err() {
                return Ok(());
            }
        }
        if over {
            break;
        }
    }
    Ok(())
}

const KIND: u32 = 0o170_000;
const SUBMODULE: u32 = 0o160_000;
const SYMLINK: u32 = 0o120_000;
const REGULAR: u32 = 0o100_000;

/// `100644 blob 9f86d08…<TAB>path`.
fn parse(line: &[u8]) -> Result<(Listed, &[u8])> {
    let strange = || anyhow::anyhow!("git ls-tree says something strange");
    let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(strange)?;
    let (about, path) = (&line[..tab], &line[tab + 1..]);
    let mut words = about.split(|byte| *byte == b' ');
    let mode = words.next().and_then(|mode| std::str::from_utf8(mode).ok()).ok_or_else(strange)?;
    let mode = u32::from_str_radix(mode, 8).map_err(|_| strange())?;
    let id = words.nth(1).ok_or_else(strange)?;
    ensure!(id.iter().all(u8::is_ascii_hexdigit), strange());
    let blob = object(id).ok_or_else(strange)?;
    Ok((Listed { mode, path: path.to_vec(), blob, answer: Answer::Nothing }, id))
}

/// The bytes of a hexadecimal id.
fn object(id: &[u8]) -> Option<Blob> {
    let mut blob = [0; 32];
    for (byte, digits) in blob.iter_mut().zip(id.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    matches!(id.len(), 40 | 64).then_some(blob)
}

fn take(
    entries: &Receiver<Listed>,
    answers: &mut [BufReader<ChildStdout>; 2],
    part: &Part,
    unpack: &mut Unpack<'_>,
    tick: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let at = part.commit.at;
    let mut late = None;
    for (count, Listed { mode, path, blob, answer }) in entries.iter().enumerate() {
        if count % 64 == 0 {
            tick()?;
        }
        let path = [part.prefix.as_slice(), &path].concat();
        refuse_repository(&path)?;
        let header = Header { mode: mode & 0o777, mtime: at, blob: Some(blob) };
        match answer {
            // Their trees, where they are wanted, come after this one; git, too, leaves an empty directory else.
            Answer::Nothing => unpack.directory(&path, Header { mode: 0o755, ..header })?,
            Answer::Of(process) => object_of(&mut answers[process], mode, &path, header, unpack)?,
            Answer::Known(sha256, size) => {
                if !unpack.known_file(&path, header, sha256, size)? {
                    // It was changed or removed in the previous release, or has too many links.
                    let late = match &mut late {
                        Some(late) => late,
                        none => none.insert(Late::start(&part.commit)?),
                    };
                    object_of(late.ask(&blob)?, mode, &path, header, unpack)?;
                }
            }
        }
    }
    late.map_or(Ok(()), Late::finish)
}

/// Puts the next object of a process into the tree.
fn object_of(
    answers: &mut BufReader<ChildStdout>,
    mode: u32,
    path: &[u8],
    header: Header,
    unpack: &mut Unpack<'_>,
) -> Result<()> {
    let size = announced(answers)?;
    let mut content = answers.by_ref().take(size);
    match mode & KIND {
        SYMLINK => {
            ensure!(size <= LONGEST_TARGET, "a symlink's target is longer than any path");
            let mut text = Vec::new();
            content.read_to_end(&mut text).context("read from git cat-file")?;
            unpack.symlink(path, OsStr::from_bytes(&text).to_os_string(), header)?;
        }
        REGULAR => {
            unpack.file(path, header, size, &mut content)?;
            // What stays behind is not read by the taker.
            std::io::copy(&mut content, &mut std::io::sink()).context("read from git cat-file")?;
        }
        _ => bail!(refuse("archive.kind", "the repository is refused: an entry is neither file nor link")),
    }
    let mut end = [0];
    answers.read_exact(&mut end).context("read from git cat-file")
}

/// A tree that holds a repository of its own would have git act on it.
fn refuse_repository(path: &[u8]) -> Result<()> {
    if path.split(|byte| *byte == b'/').any(|name| name.eq_ignore_ascii_case(b".git")) {
        bail!(refuse("archive.path", "the repository is refused: it contains a .git of its own"));
    }
    Ok(())
}

/// The size in `9f86d08… blob 1234`.
fn announced(answers: &mut impl BufRead) -> Result<u64> {
    let mut line = String::new();
    answers.by_ref().take(200).read_line(&mut line).context("read from git cat-file")?;
    let size = line.trim_end().rsplit_once(" blob ").or_else(|| line.trim_end().rsplit_once("blob "));
    size.and_then(|(_, size)| size.parse().ok()).with_context(|| {
        Failure::new(Exit::Failed, "mk.git", "an object of the commit is missing")
            .hint("remove the mirror below .cutover/mirrors; it is fetched again")
    })
}
