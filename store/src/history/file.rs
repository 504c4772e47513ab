//! `history.jsonl` on disk: opened by whoever holds the lock, appended to in single writes.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::SystemTime;

use anyhow::{Context, bail};
use dir::Name;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use record::{Exit, Failure};

use super::parse::parse;
use super::{Entry, History, Kind, StageTime};
use crate::{Lock, ReleaseId, Root};

const NAME: &str = "history.jsonl";

/// What is asked of a link, as the history keeps it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The pipe that asks.
    pub pipe: String,
    /// The link.
    pub link: Name,
    /// The release it names now.
    pub from: Option<ReleaseId>,
    /// The release it shall name.
    pub to: ReleaseId,
    /// The manifest's sequence number of `to`; `None` for a tree of another tool that is put back.
    pub to_seq: Option<u64>,
    /// The digest of `to`.
    pub digest: Option<String>,
    /// The text the link shall have.
    pub target: String,
    /// Why, as a person said.
    pub reason: Option<String>,
    /// How long the pipe's stages took so far, see [`super::StageTime::of`].
    pub stages: Vec<StageTime>,
    /// When.
    pub at: SystemTime,
}

/// An intent on disk, with room reserved for its end.
#[derive(Debug)]
#[must_use = "an intent ends with done or abort"]
pub struct OpenIntent {
    entry: Entry,
}

/// Writes that `change` is about to happen. A kill finds it; it need not survive a power cut that the change does not
/// survive either, so the disk is waited for once, with the line that ends it. Blocks for the line that ends it are reserved
/// first, so that a full disk is met before the link is touched and never after.
pub fn intent(lock: &Lock<'_>, change: Change) -> anyhow::Result<OpenIntent> {
    let entry = Entry {
        seq: 0,
        at: record::clock::rfc3339(change.at),
        pipe: Some(change.pipe),
        link: change.link,
        kind: Kind::Intent,
        from: change.from,
        to: Some(change.to),
        to_seq: change.to_seq,
        target: Some(change.target),
        digest: change.digest,
        by: Some(record::host::user_name()),
        host: Some(record::host::host_name()),
        reason: change.reason,
        intent: None,
        stages: change.stages,
    };
    let mut journal = lock.journal().borrow_mut();
    // Twice the line and some: the end repeats its members, and its number may be longer.
    let room = 2 * serde_json::to_vec(&entry)?.len() + 1024;
    journal.reserve(lock, room)?;
    let entry = journal.append(lock, entry, Disk::Later)?;
    Ok(OpenIntent { entry })
}

/// Writes that the link was replaced, durable when it returns.
pub fn done(lock: &Lock<'_>, intent: OpenIntent, at: SystemTime) -> anyhow::Result<()> {
    close(lock, &intent.entry, Kind::Done, at)
}

/// Writes that the link was not replaced, durable when it returns.
pub fn abort(lock: &Lock<'_>, intent: OpenIntent, at: SystemTime) -> anyhow::Result<()> {
    close(lock, &intent.entry, Kind::Abort, at)
}

/// Ends `intent`; what recovery and the tools share.
pub(crate) fn close(lock: &Lock<'_>, intent: &Entry, kind: Kind, at: SystemTime) -> anyhow::Result<()> {
    let end = Entry { kind, at: record::clock::rfc3339(at), intent: Some(intent.seq), ..intent.clone() };
    lock.journal().borrow_mut().append(lock, end, Disk::Now).map(drop)
}

/// Writes that the release's pipe came through, durable when it returns.
pub fn good(lock: &Lock<'_>, judged: Change) -> anyhow::Result<()> {
    judge(lock, judged, Kind::Good)
}

/// Writes that the release's own answer was no, durable when it returns. `Change::to` is the release that is judged.
pub fn bad(lock: &Lock<'_>, judged: Change) -> anyhow::Result<()> {
    judge(lock, judged, Kind::Bad)
}

fn judge(lock: &Lock<'_>, judged: Change, kind: Kind) -> anyhow::Result<()> {
    let entry = Entry {
        seq: 0,
        at: record::clock::rfc3339(judged.at),
        pipe: Some(judged.pipe),
        link: judged.link,
        kind,
        from: None,
        to: Some(judged.to),
        to_seq: judged.to_seq,
        target: None,
        digest: judged.digest,
        by: Some(record::host::user_name()),
        host: Some(record::host::host_name()),
        reason: judged.reason,
        intent: None,
        stages: judged.stages,
    };
    lock.journal().borrow_mut().append(lock, entry, Disk::Now).map(drop)
}

/// Writes what another tool's log tells of the time before these tools: `Found` for a link that named a release then,
/// `Good` or `Bad` for what came of it. Never dated before the line above it. Durable when it returns.
pub fn past(lock: &Lock<'_>, told: Change, kind: Kind, by: Option<String>) -> anyhow::Result<()> {
    let at = record::clock::rfc3339(told.at);
    let newest = lock.history().entries().last().map(|entry| entry.at.clone()).unwrap_or_default();
    let entry = Entry {
        seq: 0,
        at: at.max(newest),
        pipe: Some(told.pipe),
        link: told.link,
        kind,
        from: told.from,
        to: Some(told.to),
        to_seq: told.to_seq,
        target: (kind == Kind::Found).then_some(told.target),
        digest: told.digest,
        by,
        host: None,
        reason: told.reason,
        intent: None,
        stages: Vec::new(),
    };
    lock.journal().borrow_mut().append(lock, entry, Disk::Now).map(drop)
}

/// Writes that a link was found to name something that no line says.
pub(crate) fn found(lock: &Lock<'_>, entry: Entry) -> anyhow::Result<()> {
    lock.journal().borrow_mut().append(lock, Entry { kind: Kind::Found, ..entry }, Disk::Now).map(drop)
}

impl History {
    /// Reads the history of `root` without its lock. Writes nothing; a torn last line is left out.
    pub fn read(root: &Root) -> anyhow::Result<Self> {
        let mut file = match root.state().open_file(NAME, OFlag::O_RDONLY, 0) {
            Err(e) if e.is_not_found() => return Ok(Self::default()),
            opened => opened?,
        };
        Ok(parse(&read_whole(root, &mut file)?).0)
    }
}

/// Whether a line is waited for until it is on disk.
#[derive(Debug, Clone, Copy)]
enum Disk {
    Now,
    Later,
}

/// The open file and what it holds.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<File>,
    end: u64,
    history: History,
}

impl Journal {
    /// Reads the history and cuts off what a crash left half written at its end.
    pub(crate) fn open(root: &Root) -> anyhow::Result<Self> {
        let mut file = match root.state().open_file(NAME, OFlag::O_RDWR | OFlag::O_APPEND, 0) {
            Err(e) if e.is_not_found() => return Ok(Self { file: None, end: 0, history: History::default() }),
            opened => opened?,
        };
        let (mut history, end) = parse(&read_whole(root, &mut file)?);
        if history.torn_bytes > 0 {
            file.set_len(end)
                // Durable before the next line: else that one could follow zeros after a power cut.
                .and_then(|()| file.sync_all())
                .with_context(|| format!("repair the end of {}", path(root)))?;
            history.torn_bytes = 0;
        }
        Ok(Self { file: Some(file), end, history })
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Numbers `entry` and appends it in one write.
    fn append(&mut self, root: &Root, entry: Entry, disk: Disk) -> anyhow::Result<Entry> {
        let entry = Entry { seq: self.history.next_line(), ..entry };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let end = self.end;
        let file = self.file(root)?;
        // One write, so that readers without the lock see a line or a part of one, never two mixed.
        let written = match file.write_at(&line, end) {
            Ok(written) if written == line.len() => match disk {
                Disk::Now => file.sync_data(),
                Disk::Later => Ok(()),
            },
            Ok(_) => Err(std::io::Error::from_raw_os_error(Errno::ENOSPC as i32)),
            Err(e) => Err(e),
        };
        if let Err(error) = written {
            // Taken back, so that an intent nobody acted upon does not count. The next writer would cut it off too.
            let _ = file.set_len(end);
            return Err(error).with_context(|| format!("append to {}", path(root)));
        }
        self.end += line.len() as u64;
        self.history.exists = true;
        self.history.push(entry.clone());
        Ok(entry)
    }

    /// Reserves blocks after the last line, without making the file longer.
    fn reserve(&mut self, root: &Root, room: usize) -> anyhow::Result<()> {
        let end = i64::try_from(self.end)?;
        let file = self.file(root)?;
        match fallocate(&*file, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, i64::try_from(room)?) {
            // Where the file system cannot reserve, the link's own text still tells what happened.
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => {
                let path = path(root);
                bail!(
                    Failure::new(Exit::Failed, "disk.full", format!("no room for a line in {path}: {}", errno.desc()))
                        .hint(format!("release-gc -n --root {} frees what no rule keeps", root.path().display()))
                )
            }
            Err(errno) => Err(errno).with_context(|| format!("reserve room in {}", path(root))),
        }
    }

    fn file(&mut self, root: &Root) -> anyhow::Result<&mut File> {
        if self.file.is_none() {
            let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL;
            let file = root.state().open_file(NAME, flags, 0o644)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o644))
                .with_context(|| format!("change mode of {}", path(root)))?;
            // The name must survive a power cut before a line in it counts.
            root.state().sync()?;
            self.file = Some(file);
        }
        self.file.as_mut().context("the history is open")
    }
}

fn read_whole(root: &Root, file: &mut File) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("read {}", path(root));
    let metadata = file.metadata().with_context(reading)?;
    if !metadata.is_file() {
        bail!(Failure::new(Exit::Unsafe, "root.unsafe", format!("{} is not a regular file", path(root))));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).with_context(reading)?;
    Ok(bytes)
}

fn path(root: &Root) -> String {
    root.state().path().join(NAME).display().to_string()
}
