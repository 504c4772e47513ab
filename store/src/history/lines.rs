//! The lines that tools write, each with what it promises about the disk.

use std::time::SystemTime;

use dir::Name;

use super::journal::Disk;
use super::{Entry, Kind, StageTime};
use crate::{Lock, ReleaseId};

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

fn close(lock: &Lock<'_>, intent: &Entry, kind: Kind, at: SystemTime) -> anyhow::Result<()> {
    append(lock, end_of(intent, kind, at))
}

/// The line that ends `intent`, without its number.
pub(crate) fn end_of(intent: &Entry, kind: Kind, at: SystemTime) -> Entry {
    Entry { seq: 0, kind, at: record::clock::rfc3339(at), intent: Some(intent.seq), ..intent.clone() }
}

/// Appends a line, which gets its number, durable when it returns.
pub(crate) fn append(lock: &Lock<'_>, entry: Entry) -> anyhow::Result<()> {
    lock.journal().borrow_mut().append(lock, entry, Disk::Now).map(drop)
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
    append(lock, entry)
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
    append(lock, entry)
}
