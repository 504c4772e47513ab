//! What killed tools leave in `.cutover/`: papers without a release, and files that never got their name.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::manifest::{file_name, id_of_file};
use crate::{Lock, ReleaseId, Root};

/// One file that belongs to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debris {
    /// `manifests`, `tree`, `pins`, or empty for `.cutover/` itself.
    pub part: &'static str,
    /// The file's name there.
    pub name: OsString,
}

/// Finds what the next collection removes. Only true while the lock is held: a publisher has papers without a
/// release for a moment. Writes nothing.
pub fn find(root: &Root) -> anyhow::Result<Vec<Debris>> {
    let visible: BTreeSet<OsString> = root.releases().names()?.into_iter().collect();
    let has_no_release = |id: Option<ReleaseId>| id.is_some_and(|id| !visible.contains(OsStr::new(id.as_str())));
    let mut debris = Vec::new();
    for (part, of_file) in [
        ("manifests", id_of_file as fn(&OsString) -> Option<ReleaseId>),
        ("pins", id_of_file),
        ("tree", |name| ReleaseId::of_entry(name)),
    ] {
        let Some(dir) = root.part_if_there(part)? else { continue };
        let left = dir.names()?.into_iter().filter(|name| is_temporary(name) || has_no_release(of_file(name)));
        debris.extend(left.map(|name| Debris { part, name }));
    }
    let left = root.state().names()?.into_iter().filter(|name| is_temporary(name));
    debris.extend(left.map(|name| Debris { part: "", name }));
    Ok(debris)
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

/// Removes the pin, listing and manifest of a release whose tree is gone, durable when it returns.
pub(crate) fn remove_papers(lock: &Lock<'_>, id: &ReleaseId) -> anyhow::Result<()> {
    let json = file_name(id);
    for (part, name) in [("manifests", json.as_str()), ("tree", id.as_str()), ("pins", json.as_str())] {
        remove_in(&lock.part(part)?, &[OsStr::new(name)])?;
    }
    Ok(())
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
