//! What is settled whenever the lock is taken: what a killed holder left, and what people changed by hand.
//!
//! The link is the truth. A kill between the link's rename and its `done` line leaves an open intent, and what the link
//! says decides how it ends; so an interrupted switch is in the history whichever way it went.

use std::collections::BTreeSet;
use std::time::SystemTime;

use dir::Name;
use nix::errno::Errno;

use crate::history::{self, Entry, Kind};
use crate::link::{self, LinkState};
use crate::{Lock, manifest};

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
    let links = link::all(lock)?;
    let now = record::clock::now();
    let open: Vec<Entry> = lock.history().open_intents().cloned().collect();
    for intent in open {
        let on_disk = links.iter().find(|link| link.name == intent.link);
        let arrived = on_disk.is_some_and(|link| names_the_same(link, &intent));
        history::close(lock, &intent, if arrived { Kind::Done } else { Kind::Abort }, now)?;
    }
    let known: BTreeSet<Name> = lock.history().links().cloned().collect();
    let pointing_inside = links.iter().filter(|link| link.release.is_some()).map(|link| link.name.clone());
    for name in known.iter().cloned().chain(pointing_inside).collect::<BTreeSet<_>>() {
        let on_disk = links.iter().find(|link| link.name == name);
        note_if_changed(lock, &name, on_disk, now)?;
    }
    Ok(())
}

fn note_if_changed(lock: &Lock<'_>, name: &Name, on_disk: Option<&LinkState>, now: SystemTime) -> anyhow::Result<()> {
    let newest = lock.history().newest(name).cloned();
    let as_recorded = match (&newest, on_disk) {
        (Some(newest), Some(link)) => names_the_same(link, newest),
        (Some(newest), None) => newest.to.is_none() && newest.target.is_none(),
        (None, Some(_)) => false,
        (None, None) => true,
    };
    let to = on_disk.and_then(|link| link.release.clone());
    let manifest = to.as_ref().and_then(|id| manifest::read(lock, id).ok().flatten());
    // The same id may be another release by now.
    let same_release = match (&newest, &manifest) {
        (Some(newest), Some(manifest)) => newest.to_seq.is_none_or(|seq| seq == manifest.seq),
        _ => true,
    };
    if as_recorded && same_release {
        return Ok(());
    }
    history::found(
        lock,
        Entry {
            seq: 0,
            at: record::clock::rfc3339(now),
            pipe: None,
            link: name.clone(),
            kind: Kind::Found,
            from: newest.and_then(|newest| newest.to),
            to,
            to_seq: manifest.as_ref().map(|manifest| manifest.seq),
            target: on_disk.map(|link| link.target.to_string_lossy().into_owned()),
            digest: manifest.map(|manifest| manifest.digest),
            by: None,
            host: None,
            reason: None,
            intent: None,
            stages: Vec::new(),
        },
    )
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
