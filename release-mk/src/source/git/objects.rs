//! The tree of a commit, read object by object from `git cat-file` while `git ls-tree` still lists it.
//!
//! Three processes and a thread, connected by pipes: whoever is slowest sets the pace, nobody holds more than a
//! pipe's worth. The objects come as they were stored: no attribute of the repository has a say.
#![expect(clippy::disallowed_methods, reason = "these children are talked to both ways, while they run")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result, bail, ensure};
use record::{Exit, Failure};

use super::mirror::{Commit, environment, hardened};
use super::submodules::Part;
use crate::source::archive::refuse;
use crate::source::archive::unpack::{Header, Target, Unpack, unpack as unpack_into};

/// Entries asked for at once. Their ids fit in a pipe, so that asking never waits for an answer that nobody takes yet.
const ASKED: usize = 256;
/// Longer symlink targets are none.
const LONGEST_TARGET: u64 = 4096;

struct Listed {
    mode: u32,
    path: Vec<u8>,
}

/// Puts the trees of the commits into the target. Every file gets the time of its commit.
pub(super) fn unpack(parts: &[Part], target: &Target<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    unpack_into(target, |unpack| parts.iter().try_for_each(|part| tree(part, unpack, tick)))
}

fn tree(part: &Part, unpack: &mut Unpack<'_>, tick: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let commit = &part.commit;
    let mut list =
        Running::start(commit, &["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", &commit.revision])?;
    let mut objects = Running::start(commit, &["cat-file", "--batch", "--buffer"])?;
    let listing = BufReader::with_capacity(64 * 1024, list.stdout()?);
    let asking = BufWriter::with_capacity(64 * 1024, objects.stdin()?);
    let mut answers = BufReader::with_capacity(256 * 1024, objects.stdout()?);
    let (listed, entries) = sync_channel(4 * ASKED);
    std::thread::scope(|scope| {
        let asker = scope.spawn(move || ask(listing, asking, &listed));
        let unpacked = take(&entries, &mut answers, part, unpack, tick);
        // Whoever still waits for an answer or a taker ends with the processes.
        drop(entries);
        if unpacked.is_err() {
            list.end();
            objects.end();
        }
        let asked =
            asker.join().map_err(|_| anyhow::anyhow!("the thread that asks git is gone")).and_then(|asked| asked);
        unpacked.and(asked)
    })?;
    list.finish("ls-tree")?;
    objects.finish("cat-file")
}

fn ask(mut listing: impl BufRead, mut asking: BufWriter<ChildStdin>, listed: &SyncSender<Listed>) -> Result<()> {
    let mut batch = Vec::with_capacity(ASKED);
    let mut line = Vec::new();
    loop {
        line.clear();
        let over = listing.read_until(0, &mut line).context("read from git ls-tree")? == 0;
        if !over {
            let (entry, id) = parse(line.strip_suffix(&[0]).unwrap_or(&line))?;
            if entry.mode & 0o170_000 != SUBMODULE {
                asking.write_all(id).and_then(|()| asking.write_all(b"\n")).context("ask git cat-file")?;
            }
            batch.push(entry);
        }
        if over || batch.len() == ASKED {
            asking.flush().context("ask git cat-file")?;
            for entry in batch.drain(..) {
                if listed.send(entry).is_err() {
                    return Ok(());
                }
            }
        }
        if over {
            return Ok(());
        }
    }
}

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
    Ok((Listed { mode, path: path.to_vec() }, id))
}

fn take(
    entries: &Receiver<Listed>,
    answers: &mut BufReader<ChildStdout>,
    part: &Part,
    unpack: &mut Unpack<'_>,
    tick: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let at = part.commit.at;
    for (count, Listed { mode, path }) in entries.iter().enumerate() {
        if count % 64 == 0 {
            tick()?;
        }
        let path = [part.prefix.as_slice(), &path].concat();
        refuse_repository(&path)?;
        let header = Header { mode: mode & 0o777, mtime: at };
        match mode & 0o170_000 {
            // Their trees, where they are wanted, come after this one; git, too, leaves an empty directory else.
            SUBMODULE => {
                unpack.directory(&path, Header { mode: 0o755, mtime: at })?;
                continue;
            }
            kind => {
                let size = announced(answers)?;
                let mut content = answers.by_ref().take(size);
                if kind == SYMLINK {
                    ensure!(size <= LONGEST_TARGET, "a symlink's target is longer than any path");
                    let mut text = Vec::new();
                    content.read_to_end(&mut text).context("read from git cat-file")?;
                    unpack.symlink(&path, OsStr::from_bytes(&text).to_os_string(), header)?;
                } else if kind == REGULAR {
                    unpack.file(&path, header, size, &mut content)?;
                    // What stays behind is not read by the taker.
                    std::io::copy(&mut content, &mut std::io::sink()).context("read from git cat-file")?;
                } else {
                    bail!(refuse("archive.kind", "the repository is refused: an entry is neither file nor link"));
                }
            }
        }
        let mut end = [0];
        answers.read_exact(&mut end).context("read from git cat-file")?;
    }
    Ok(())
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

/// A git process; it ends with this value.
struct Running(Child);

impl Running {
    fn start(commit: &Commit, arguments: &[&str]) -> Result<Self> {
        let argv = hardened(Path::new(&commit.mirror));
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        for (name, value) in environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.spawn().map(Self).context(Failure::new(Exit::Failed, "mk.git", "git could not be started"))
    }

    fn stdin(&mut self) -> Result<ChildStdin> {
        self.0.stdin.take().context("talk to git")
    }

    fn stdout(&mut self) -> Result<ChildStdout> {
        self.0.stdout.take().context("talk to git")
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
    }

    fn finish(mut self, what: &str) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait().context("wait for git")?;
        ensure!(status.success(), Failure::new(Exit::Failed, "mk.git", format!("git {what} failed: {status}")));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let _ = self.0.wait();
    }
}
