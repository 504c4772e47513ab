//! Everything under a root, read once into one value; what plans are made from.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use dir::{Kind, Name};
use record::Record;

use crate::history::Entry;
use crate::link::{self, LinkState};
use crate::staging::{self, StagingState};
use crate::{History, Lock, Manifest, PinState, ReleaseId, Root, both, manifest, pins, recover, trash};

/// A name in `releases/` that is no release of ours. Reported, never touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its name, in whatever bytes.
    pub name: OsString,
    /// Why it does not count.
    pub why: String,
}

/// A root as it was in one moment. Without the lock the parts may be some milliseconds apart.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The releases, oldest first by sequence number: those with both a tree and a manifest.
    pub releases: Vec<Manifest>,
    /// Manifests without a tree, by id: no releases.
    pub without_tree: Vec<ReleaseId>,
    /// What lies in `releases/` besides.
    pub strangers: Vec<Stranger>,
    /// Every symlink directly in the root.
    pub links: Vec<LinkState>,
    /// Builds, live or not.
    pub staging: Vec<StagingState>,
    /// What waits to be deleted.
    pub trash: Vec<String>,
    /// Pins, readable or not.
    pub pins: BTreeMap<ReleaseId, PinState>,
    /// The activation log.
    pub history: History,
    /// The same as whoever takes the lock next will find it, where that is something else: after a switch that was killed, or
    /// a change by hand.
    pub settled: Option<History>,
    /// The record of the pipe in progress, or of the last one.
    pub run: Option<Record>,
    /// What does not add up. A collection does nothing while there is something.
    pub problems: Vec<String>,
}

/// Reads `root`. Never follows a link, takes no lock, writes nothing.
pub fn read(root: &Root) -> anyhow::Result<Inventory> {
    let (history, rest) = both(|| History::read(root), || read_rest(root))?;
    let mut inventory = with_history(rest?, history?);
    if !recover::unsettled(root, &inventory.history, &inventory.links).is_empty() {
        inventory.settled = Some(inventory.history.clone().settled(root)?);
    }
    Ok(inventory)
}

/// Reads the root under its lock, with the history that the lock already knows.
pub fn read_locked(lock: &Lock<'_>) -> anyhow::Result<Inventory> {
    let history = lock.history().clone();
    Ok(with_history(read_rest(lock)?, history))
}

fn with_history(mut inventory: Inventory, history: History) -> Inventory {
    inventory.problems.extend(history.problems.iter().cloned());
    inventory.history = history;
    inventory
}

fn read_rest(root: &Root) -> anyhow::Result<Inventory> {
    let mut inventory = Inventory {
        links: link::all(root)?,
        staging: staging::list(root)?,
        trash: trash::list(root)?,
        pins: pins::read_all(root)?,
        run: record::RunFile::of(root.rootdir())?.read()?,
        ..Inventory::default()
    };
    read_releases(root, &mut inventory)?;
    if !inventory.releases.is_empty() || !inventory.strangers.is_empty() {
        inventory.problems.extend(root.lost_parts()?);
    }
    for pair in inventory.releases.windows(2) {
        if let [one, other] = pair
            && one.seq == other.seq
        {
            inventory.problems.push(format!("{} and {} have the same sequence number {}", one.id, other.id, one.seq));
        }
    }
    Ok(inventory)
}

fn read_releases(root: &Root, inventory: &mut Inventory) -> anyhow::Result<()> {
    let manifests = manifest::read_all(root)?;
    let mut trees: BTreeSet<OsString> = BTreeSet::new();
    for name in root.releases().names()? {
        match root.releases().stat_if_there(&name)?.map(|stat| stat.kind()) {
            None => {}
            Some(Kind::Directory) => {
                trees.insert(name);
            }
            Some(_) => inventory.strangers.push(Stranger { name, why: "it is no directory".into() }),
        }
    }
    let mut sort = |id: ReleaseId, read: anyhow::Result<Manifest>| match read {
        Ok(manifest) => inventory.releases.push(manifest),
        Err(error) => {
            let mend = manifest::adopting(root.path());
            inventory.problems.push(format!("{error:#}; once it is moved away, {mend}"));
            let why = "its manifest does not read".into();
            inventory.strangers.push(Stranger { name: id.as_str().into(), why });
        }
    };
    for (id, read) in manifests {
        if trees.remove(OsStr::new(id.as_str())) {
            sort(id, read);
        } else {
            inventory.without_tree.push(id);
        }
    }
    for name in trees {
        // Published since the manifests were read, or removed since its manifest was: asked again, both are plain.
        let published = ReleaseId::of_entry(&name).map(|id| (manifest::read(root, &id), id));
        match published {
            Some((Ok(Some(manifest)), _)) => inventory.releases.push(manifest),
            Some((Err(error), id)) => inventory.problems.push(format!("{id}: {error:#}")),
            _ if root.releases().stat_if_there(&name)?.is_none() => {}
            _ => inventory.strangers.push(Stranger { name, why: "it has no manifest".into() }),
        }
    }
    inventory.strangers.sort_by(|one, other| one.name.cmp(&other.name));
    inventory.releases.sort_by_key(|manifest| manifest.seq);
    if dir::planted("gc-by-mtime") {
        let mtime = |id: &ReleaseId| root.releases().stat_if_there(id).ok().flatten().map(|stat| stat.0.st_mtime);
        inventory.releases.sort_by_key(|manifest| mtime(&manifest.id));
    }
    Ok(())
}

impl Inventory {
    /// The release of this id.
    pub fn release(&self, id: &ReleaseId) -> Option<&Manifest> {
        self.releases.iter().find(|manifest| manifest.id == *id)
    }

    /// The link of this name.
    pub fn link(&self, name: &Name) -> Option<&LinkState> {
        self.links.iter().find(|link| link.name == *name)
    }

    /// The release that the link names on disk, if it is one.
    pub fn current(&self, link: &Name) -> Option<&Manifest> {
        self.link(link)?.release.as_ref().and_then(|id| self.release(id))
    }

    /// Where a rollback of the link goes, see [`History::previous`]; the activation names the target within the
    /// release too.
    pub fn previous(&self, link: &Name) -> Option<(&Manifest, &Entry)> {
        let seqs: BTreeMap<&ReleaseId, u64> =
            self.releases.iter().map(|manifest| (&manifest.id, manifest.seq)).collect();
        let current = self.current(link).map(|manifest| manifest.seq);
        let history = self.settled.as_ref().unwrap_or(&self.history);
        let entry = history.previous(link, |id, seq| Some(seq) != current && seqs.get(id).copied() == Some(seq))?;
        Some((self.release(entry.to.as_ref()?)?, entry))
    }
}
