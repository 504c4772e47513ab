//! What a switch must know before it decides: which release is asked for, and what linked configuration says today.
//! Writes nothing.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, bail, ensure};
use dir::Kind;
use record::{Exit, Failure, Pipe};
use sha2::{Digest, Sha256};
use store::{History, Manifest, ReleaseId, Root, manifest};

use crate::cli::{Switch, Target};
use crate::link_path;
use crate::plan::Wish;

/// A shared file of more bytes is no configuration, and nobody who goes back waits until it is read.
const MOST: u64 = 16 << 20;

/// The manifest of a release that is whole: its tree and its manifest are both there.
pub(crate) fn whole(root: &Root, id: &ReleaseId) -> anyhow::Result<Option<Manifest>> {
    let has_tree = root.releases().stat_if_there(id)?.is_some_and(|stat| stat.kind() == Kind::Directory);
    if has_tree { manifest::read(root, id) } else { Ok(None) }
}

/// Whether a manifest did not read for a reason that says nothing of the release: the disk or the system did not answer.
pub(crate) fn may_be_whole(error: &anyhow::Error) -> bool {
    use nix::errno::Errno::{EISDIR, ELOOP, ENOENT, ENOTDIR};
    let asked = error.downcast_ref::<dir::Error>();
    asked.is_some_and(|error| ![EISDIR, ELOOP, ENOENT, ENOTDIR].contains(&error.errno()))
}

/// The release that is asked for, checked against the disk; in a dry run it need not be there yet.
pub(crate) fn wish(pipe: &Pipe, root: &Root, switch: &Switch, history: &History) -> anyhow::Result<Wish> {
    let id = match &switch.target {
        Target::Previous => return Ok(Wish::Previous),
        Target::Id(id) => id.clone(),
        Target::Record => recorded(pipe, root)?,
    };
    let Some(manifest) = whole(root, &id)? else {
        if pipe.dry_run() && pipe.has_input() {
            return Ok(Wish::Named { id, verdict: store::Verdict::Never, file: None });
        }
        bail!(missing(root, &id)?);
    };
    if pipe.has_input() {
        agrees(pipe, &manifest)?;
    }
    let file = switch.link_path.as_ref().map(|pattern| link_path::find(root, &id, pattern)).transpose()?;
    Ok(Wish::Named { verdict: history.verdict(manifest.seq), id, file })
}

/// The record's release; a path that is not that of this root's release is refused.
fn recorded(pipe: &Pipe, root: &Root) -> anyhow::Result<ReleaseId> {
    let Some(release) = &pipe.record().release else {
        bail!(
            Failure::new(Exit::InvalidInput, "input.release", "the record names no release")
                .hint("begin the pipe with release-mk, or with release-switch --to ID")
        );
    };
    let id = ReleaseId::new(release.id.as_str())
        .map_err(|e| Failure::new(Exit::InvalidInput, "input.release", format!("the record's release: {e}")))?;
    let path = root.release_path(&id);
    if release.path.as_ref().is_some_and(|recorded| *recorded != path.display().to_string()) {
        let message = format!("the record says that {id} lies elsewhere than at {}", path.display());
        bail!(Failure::new(Exit::InvalidInput, "input.release", message));
    }
    Ok(id)
}

/// Refuses a record that says something else of the release than the disk does.
fn agrees(pipe: &Pipe, manifest: &Manifest) -> anyhow::Result<()> {
    let Some(release) = &pipe.record().release else { return Ok(()) };
    let other_digest = release.digest.as_ref().is_some_and(|digest| *digest != manifest.digest);
    let other_seq = release.seq.is_some_and(|seq| seq != manifest.seq);
    if other_digest || other_seq {
        let what = if other_digest { "digest" } else { "sequence number" };
        let message = format!("the record has another {what} of {} than the disk", manifest.id);
        bail!(
            Failure::new(Exit::InvalidInput, "input.release", message)
                .hint("the record is of another root, or the release was collected and its name used again")
        );
    }
    Ok(())
}

fn missing(root: &Root, id: &ReleaseId) -> anyhow::Result<Failure> {
    let (path, top) = (root.release_path(id), root.path().display());
    let failure = |message: String| Failure::new(Exit::NoCandidate, "switch.no_release", message);
    Ok(match root.releases().stat_if_there(id)? {
        None => {
            failure(format!("there is no release {id} in {top}")).hint(format!("release-ls {top} shows what is there"))
        }
        Some(stat) if stat.kind() == Kind::Directory => {
            failure(format!("{} has no manifest: it is not whole, or another tool made it", path.display()))
                .hint(format!("release-switch -n --root {top} --adopt takes over what another tool made"))
        }
        Some(_) => failure(format!("{} is no directory", path.display())),
    })
}

/// Warns of each file in `shared/` that is not what it was when the release was built.
pub(crate) fn warn_of_configuration(pipe: &mut Pipe, root: &Root, id: &ReleaseId) {
    // Where links in `shared/` lead is the owner's choice, so root reads no more than he may.
    let Ok(_acting) = root.rootdir().act_as_owner() else { return };
    // What another tool made has no manifest that says what it was built with.
    if let Ok(Some(manifest)) = whole(root, id) {
        for changed in changed_configuration(root, &manifest) {
            pipe.warn("switch.configuration", changed);
        }
    }
}

fn changed_configuration(root: &Root, manifest: &Manifest) -> Vec<String> {
    let digests = manifest.shared.iter().filter_map(|shared| Some((&shared.path, shared.digest.as_ref()?)));
    digests
        .filter_map(|(path, then)| match digest(root, path) {
            Ok(None) => None,
            Ok(Some(now)) if now == *then => None,
            Ok(Some(_)) => Some(format!("shared/{path} is not what {} was built with", manifest.id)),
            Err(e) => Some(format!("shared/{path}, which {} links to: {e:#}", manifest.id)),
        })
        .collect()
}

/// As release-mk has it: links in `shared/` are an administrator's choice and are followed. Nothing is waited for: no
/// FIFO, no device, and no file of more than [`MOST`], whose digest is `None`.
fn digest(root: &Root, path: &str) -> anyhow::Result<Option<String>> {
    let place = root.path().join("shared").join(path);
    // Before it is opened: that alone can be too much for a device.
    let about = place.metadata().with_context(|| format!("look at shared/{path}"))?;
    ensure!(about.is_file(), "shared/{path} is no file any more");
    if about.len() > MOST {
        return Ok(None);
    }
    let file = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(place)
        .with_context(|| format!("open shared/{path}"))?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).with_context(|| format!("read shared/{path}"))?;
    // It may have grown since.
    let is_small = bytes.len() as u64 <= MOST;
    Ok(is_small.then(|| format!("sha256:{}", store::listing::hex(&Sha256::digest(bytes)))))
}
