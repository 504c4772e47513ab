//! `trash/<id>.<random>/`: renamed away under the lock, deleted without it.

use anyhow::Context;
use dir::{Dir, Kind};

use crate::{Lock, ReleaseId, Root, debris};

/// What became of one release that was to be moved.
#[derive(Debug)]
pub struct Moved {
    /// The release.
    pub id: ReleaseId,
    /// Its name in `trash/`, or why it stayed where it was.
    pub result: anyhow::Result<String>,
}

/// Takes releases away: from now on they do not exist. The trees go first, and the disk confirms that
/// before any manifest, listing or pin goes, so that what is visible is complete at every instant, a power cut
/// included. What a kill leaves are papers without a tree.
pub fn move_releases(lock: &Lock<'_>, ids: &[ReleaseId]) -> anyhow::Result<Vec<Moved>> {
    move_releases_if(lock, ids, |_| true)
}

/// The same, asking for each release right before its rename whether it may still go. Those that may not are
/// not in the answer.
pub fn move_releases_if(
    lock: &Lock<'_>,
    ids: &[ReleaseId],
    mut may_go: impl FnMut(&ReleaseId) -> bool,
) -> anyhow::Result<Vec<Moved>> {
    let trash = lock.part("trash")?;
    let going = ids.iter().filter(|id| may_go(id));
    let moved: Vec<Moved> = going.map(|id| Moved { id: id.clone(), result: move_tree(lock, &trash, id) }).collect();
    if moved.iter().any(|one| one.result.is_ok()) {
        trash.sync()?;
        lock.releases().sync()?;
    }
    for one in moved.iter().filter(|one| one.result.is_ok()) {
        debris::remove_papers(lock, &one.id)?;
    }
    Ok(moved)
}

/// Takes one release away, see [`move_releases`]; the name it has in `trash/`.
pub fn move_release(lock: &Lock<'_>, id: &ReleaseId) -> anyhow::Result<String> {
    let moved = move_releases(lock, std::slice::from_ref(id))?;
    moved.into_iter().next().context("move a release to trash")?.result
}

/// Takes a build away, whoever made it; the name it has in `trash/`.
pub fn move_staging(lock: &Lock<'_>, name: &str) -> anyhow::Result<String> {
    let trash = lock.part("trash")?;
    let staging = lock.part("staging")?;
    move_dir(&staging, name, &trash, name)?;
    Ok(name.to_owned())
}

/// What waits to be deleted, by name in `trash/`; entries that we did not make are left out. Writes nothing.
pub fn list(root: &Root) -> anyhow::Result<Vec<String>> {
    let Some(trash) = root.part_if_there("trash")? else { return Ok(Vec::new()) };
    Ok(trash.names()?.filter(|name| crate::staging::is_ours(name)).filter_map(|name| name.into_string().ok()).collect())
}

/// Opens `trash/`, to delete what [`list`] names.
pub fn open(root: &Root) -> anyhow::Result<Dir> {
    root.part("trash")
}

/// Deletes what is left of a build that was published: a few files, and directories of files. Anything deeper, and
/// whatever fails, stays for the next collection. Needs no lock.
pub fn delete_small(root: &Root, name: &str) -> anyhow::Result<()> {
    let trash = root.part("trash")?;
    let dir = trash.open_dir(name)?;
    clear_small(&dir)?;
    Ok(trash.remove_dir(name)?)
}

pub(crate) fn clear_small(dir: &Dir) -> dir::Result<()> {
    for entry in dir.names()? {
        if dir.stat(&entry)?.kind() == Kind::Directory {
            let below = dir.open_dir(&entry)?;
            for entry in below.names()? {
                below.remove_file(&entry)?;
            }
            dir.remove_dir(&entry)?;
        } else {
            dir.remove_file(&entry)?;
        }
    }
    Ok(())
}

fn move_tree(lock: &Lock<'_>, trash: &Dir, id: &ReleaseId) -> anyhow::Result<String> {
    let name = format!("{id}.{}", dir::random_suffix());
    move_dir(lock.releases(), id.as_str(), trash, &name)?;
    Ok(name)
}

fn move_dir(from: &Dir, name: &str, to: &Dir, new: &str) -> dir::Result<()> {
    match from.rename_new(name, to, new) {
        // A directory that changes its parent is written itself (its `..`), which its own mode may forbid.
        Err(e) if matches!(e.errno(), nix::errno::Errno::EACCES | nix::errno::Errno::EPERM) => {
            let dir = from.open_dir(name).map_err(|_| e.clone())?;
            // Without setgid, which a sandbox may not let pass and nobody needs any more.
            dir.set_mode(dir.own_stat()?.mode() & 0o777 | 0o700).map_err(|_| e)?;
            from.rename_new(name, to, new)
        }
        moved => moved,
    }
}
