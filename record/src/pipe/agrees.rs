//! What a record says of its release, held against what lies on disk: it may be edited, old or of another root.

use std::path::Path;

use anyhow::bail;
use dir::Dir;
use serde::Deserialize;

use super::{Pipe, Role};
use crate::{Exit, Failure, Release};

/// As much of a manifest as a record repeats.
#[derive(Debug, Deserialize)]
struct Papers {
    seq: u64,
    digest: String,
}

const LARGEST: u64 = 64 << 20;

impl Pipe {
    /// Refuses with 65 a record whose release has another path, digest or sequence number than the disk says, or is
    /// not there. An undo stage must do with what is left: it refuses only what is there and another one.
    pub fn refuse_contradiction(&self) -> anyhow::Result<()> {
        let passes_on = self.role == Role::Undoes && !self.undoing();
        let Some(release) = self.record.release.as_ref().filter(|_| !passes_on && !self.dry_run()) else {
            return Ok(());
        };
        let Some(root) = self.root_path_if_any()? else { return Ok(()) };
        let recorded = self.record.root.as_ref().map_or(root.as_path(), Path::new).join("releases").join(&release.id);
        if release.path.as_ref().is_some_and(|path| Path::new(path) != recorded) {
            bail!(contradiction(format!(
                "the record says that {} lies elsewhere than at {}",
                release.id,
                recorded.display()
            )));
        }
        match papers(&root, release) {
            Some(papers) => compare(release, &papers),
            None if self.undoing() || is_there(&root, release) => Ok(()),
            None => bail!(contradiction(format!("there is no release {} in {}", release.id, root.display()))),
        }
    }
}

fn compare(release: &Release, papers: &Papers) -> anyhow::Result<()> {
    let what = if release.digest.as_ref().is_some_and(|digest| *digest != papers.digest) {
        "digest"
    } else if release.seq.is_some_and(|seq| seq != papers.seq) {
        "sequence number"
    } else {
        return Ok(());
    };
    bail!(contradiction(format!("the record has another {what} of {} than the disk", release.id)))
}

fn contradiction(message: String) -> Failure {
    Failure::new(Exit::InvalidInput, "input.release", message)
        .hint("the record is of another root, or the release was collected and its name used again")
}

/// What its manifest says; nothing where there is none that can be read.
fn papers(root: &Path, release: &Release) -> Option<Papers> {
    let manifests = Dir::open(root).ok()?.open_dir(".cutover").ok()?.open_dir("manifests").ok()?;
    serde_json::from_slice(&manifests.read_file(format!("{}.json", release.id), LARGEST).ok()?).ok()
}

/// Whether its tree is there: another tool's has no manifest, and one that a power cut emptied cannot be read.
fn is_there(root: &Path, release: &Release) -> bool {
    let releases = Dir::open(root).and_then(|root| root.open_dir("releases"));
    releases.is_ok_and(|releases| matches!(releases.stat_if_there(&release.id), Ok(Some(_))))
}
