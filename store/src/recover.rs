//! What is settled whenever the lock is taken: what a killed holder left, and what people changed by hand.
//!
//! The link is the truth. A kill between the link's rename and its `done` line leaves an open intent, and what the link
//! says decides how it ends; so an interrupted switch is in the history whichever way it went.

use std::collections::BTreeSet;
use std::time::SystemTime;

use dir::Name;
use nix::errno::Errno;

use crate::history::{self, Entry, History, Kind};
use crate::link::{self, LinkState};
use crate::{Lock, Root, manifest};

pub(crate) fn recover(lock: &Lock<'_>) -> anyhow::Result<()> {
    match settle(lock) {
        // A collection must get the lock to make room. What is not settled now is later: an open intent keeps both of
        // its ends, and whoever wants to switch fails for want of room before anything happens.
        Err(error) if is_for_want_of_room(&error) => Ok(()),
        settled => settled,
    }
}

fn is_for_want_of_room(error: &anyhow::Error) -> bool {
    matches!(record::errno_of(error), Some(Errno::ENOSPC | Errno::EDQUOT))
}

fn settle(lock: &Lock<'_>) -> anyhow::Result<()> {
    link::remove_temporaries(lock)?;
    let unsettled = unsettled(lock, &lock.history(), &link::all(lock)?);
    unsettled.into_iter().try_for_each(|entry| history::append(lock, entry))
}

/// The lines that would be written now, without their numbers: ends of open intents, and links that were changed by hand.
/// Writes nothing.
pub(crate) fn unsettled(root: &Root, history: &History, links: &[LinkState]) -> Vec<Entry> {
    let now = record::clock::now();
    let named = |name: &Name| links.iter().find(|link| link.name == *name);
    let mut lines: Vec<Entry> = Vec::new();
    for intent in history.open_intents() {
        let arrived = named(&intent.link).is_some_and(|link| names_the_same(link, intent));
        lines.push(history::end_of(intent, if arrived { Kind::Done } else { Kind::Abort }, now));
    }
    let pointing_inside = links.iter().filter(|link| link.release.is_some()).map(|link| &link.name);
    for name in history.links().chain(pointing_inside).collect::<BTreeSet<_>>() {
        let ended = lines.iter().find(|line| line.link == *name && line.kind == Kind::Done);
        let newest = ended.or_else(|| history.newest(name));
        lines.extend(found(root, name, newest, named(name), now));
    }
    lines
}

impl History {
    /// As whoever takes the lock next will find it: for plans that are made without the lock. Writes nothing.
    pub fn settled(mut self, root: &Root) -> anyhow::Result<Self> {
        let unsettled = unsettled(root, &self, &link::all(root)?);
        unsettled.into_iter().for_each(|line| self.push(line));
        Ok(self)
    }
}

/// The line that says what the link names now, if that is not what its newest line says.
fn found(
    root: &Root,
    name: &Name,
    newest: Option<&Entry>,
    on_disk: Option<&LinkState>,
    now: SystemTime,
) -> Option<Entry> {
    let as_recorded = match (newest, on_disk) {
        (Some(newest), Some(link)) => names_the_same(link, newest),
        (Some(newest), None) => newest.to.is_none() && newest.target.is_none(),
        (None, Some(_)) => false,
        (None, None) => true,
    };
    let to = on_disk.and_then(|link| link.release.clone());
    let manifest = to.as_ref().and_then(|id| manifest::read(root, id).ok().flatten());
    // The same id may be another release by now.
    let same_release = match (newest, &manifest) {
        (Some(newest), Some(manifest)) => newest.to_seq.is_none_or(|seq| seq == manifest.seq),
        _ => true,
    };
    if as_recorded && same_release {
        return None;
    }
    Some(Entry {
        seq: 0,
        at: record::clock::rfc3339(now),
        pipe: None,
        link: name.clone(),
        kind: Kind::Found,
        from: newest.and_then(|newest| newest.to.clone()),
        to,
        to_seq: manifest.as_ref().map(|manifest| manifest.seq),
        target: on_disk.map(|link| link.target.to_string_lossy().into_owned()),
        digest: manifest.map(|manifest| manifest.digest),
        by: None,
        host: None,
        reason: None,
        intent: None,
        stages: Vec::new(),
    })
}

/// Whether the link on disk is what the line says, in other words or not (`./releases/x`, an absolute path).
fn names_the_same(link: &LinkState, entry: &Entry) -> bool {
    let text = link.target.to_string_lossy();
    if entry.target.as_deref() == Some(text.as_ref()) {
        return true;
    }
    let Some(id) = &link.release else { return false };
    let in_entry = entry.target.as_deref().map(link::parts_of_relative);
    match in_entry {
        Some(Some((entry_id, inside))) => entry_id == *id && inside == link.inside,
        _ => entry.to.as_ref() == Some(id) && link.inside.is_none(),
    }
}
