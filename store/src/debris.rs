//! What killed tools leave in `.cutover/`: papers without a release, and files that never got their name.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use crate::manifest::{file_name, id_of_file};
use crate::staging::Elsewhere;
use crate::{Lock, ReleaseId, Root, manifest, pins, staging};

/// One file that belongs to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debris {
    /// `manifests`, `tree`, `pins`, or empty for `.cutover/` itself.
    pub part: &'static str,
    /// The file's name there.
    pub name: OsString,
}

/// Finds what the next collection removes, except the papers of the `missing`. Only true while the lock is held: a
/// publisher has papers without a release for a moment. Writes nothing.
pub fn find(root: &Root, missing: &BTreeSet<ReleaseId>) -> anyhow::Result<Vec<Debris>> {
    let visible: BTreeSet<OsString> = root.releases().names()?.collect();
    let has_no_release = |id: Option<ReleaseId>| {
        id.is_some_and(|id| !visible.contains(OsStr::new(id.as_str())) && !missing.contains(&id))
    };
    let mut debris = Vec::new();
    for (part, of_file) in [
        ("manifests", id_of_file as fn(&OsString) -> Option<ReleaseId>),
        ("pins", id_of_file),
        ("tree", |name| ReleaseId::of_entry(name)),
    ] {
        let Some(dir) = root.part_if_there(part)? else { continue };
        let left = dir.names()?.filter(|name| is_temporary(name) || has_no_release(of_file(name)));
        debris.extend(left.map(|name| Debris { part, name }));
    }
    let left = root.state().names()?.filter(|name| is_temporary(name));
    debris.extend(left.map(|name| Debris { part: "", name }));
    Ok(debris)
}

/// The pinned releases whose tree is gone though no tool of ours took it: a collection does not move what is pinned,
/// and a build that failed or was killed while it was published still has its tree, in staging or in the trash. Somebody moved
/// them away, maybe for a while. Writes nothing.
pub fn missing(root: &Root, now: SystemTime) -> anyhow::Result<BTreeSet<ReleaseId>> {
    let visible: BTreeSet<OsString> = root.releases().names()?.collect();
    let pinned = pins::read_all(root)?.into_iter().filter(|(_, pin)| pin.keeps(now)).map(|(id, _)| id);
    let mut missing = BTreeSet::new();
    for id in pinned.filter(|id| !visible.contains(OsStr::new(id.as_str()))) {
        if let Ok(Some(manifest)) = manifest::read(root, &id)
            && staging::elsewhere(root, &id, Some(manifest.seq))? != Elsewhere::Build
        {
            missing.insert(id);
        }
    }
    Ok(missing)
}

/// What is said of a release that is [`missing`].
pub fn told_missing(id: &ReleaseId) -> String {
    format!("{id} is pinned and missing in releases/; what is known of it is kept")
}

/// Removes what [`find`] found, durable when it returns. Besides the short lock the caller holds the deploy lock, as
/// the record of a pipe in progress is replaced without the short one.
pub fn remove(lock: &Lock<'_>, debris: &[Debris]) -> anyhow::Result<()> {
    for part in ["manifests", "tree", "pins"] {
        let names: Vec<_> = debris.iter().filter(|d| d.part == part).map(|d| d.name.as_os_str()).collect();
        if !names.is_empty() {
            remove_in(&lock.part(part)?, &names)?;
        }
    }
    let names: Vec<_> = debris.iter().filter(|d| d.part.is_empty()).map(|d| d.name.as_os_str()).collect();
    remove_in(lock.state(), &names)
}

/// Removes the pin, listing and manifest of a release whose tree is gone, durable when it returns. What one of them meets
/// does not keep the others, and the pin goes first: with a manifest it would say that the release is missing.
pub(crate) fn remove_papers(lock: &Lock<'_>, id: &ReleaseId) -> anyhow::Result<()> {
    let json = file_name(id);
    let papers = [("pins", json.as_str()), ("manifests", json.as_str()), ("tree", id.as_str())];
    let removed = papers.map(|(part, name)| remove_in(&lock.part(part)?, &[OsStr::new(name)]));
    removed.into_iter().collect()
}

fn remove_in(dir: &dir::Dir, names: &[&OsStr]) -> anyhow::Result<()> {
    let mut removed = false;
    for name in names {
        match dir.remove_file(name) {
            Err(e) if e.is_not_found() => {}
            done => {
                done?;
                removed = true;
            }
        }
    }
    if removed {
        dir.sync()?;
    }
    Ok(())
}

/// Whether the name is one that [`dir::Dir::replace_file`] writes under before its rename.
fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.first() == Some(&b'.')
        && name
            .rsplitn(2, |&b| b == b'.')
            .next()
            .is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
}
