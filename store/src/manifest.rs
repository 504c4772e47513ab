//! `manifests/<id>.json`: what a release was built from, and what it must hold.
//!
//! A manifest alone is no release: it is durable before its tree gets its name, and outlives it by a moment when
//! the release is removed.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, ensure};
use dir::Dir;
use record::{Exit, Failure, Source};
use serde::{Deserialize, Serialize};

use crate::{Lock, ReleaseId, Root, both};

/// What is known of a release. Written once, never changed; members of later versions are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The release's name.
    pub id: ReleaseId,
    /// Its place in the order of releases.
    pub seq: u64,
    /// `sha256:` and the digest of its per-file listing.
    pub digest: String,
    /// How many entries the listing has.
    pub files: u64,
    /// How many bytes its files have.
    pub bytes: u64,
    /// When it was built, RFC 3339, UTC.
    pub created_at: String,
    /// What it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What decided its content: source, steps, artifact, exclude and share options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<String>,
    /// What it links to in `shared/`, with the digest it had when the release was built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<Shared>,
    /// The pipe that built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipe: Option<String>,
    /// Who built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The version of the tool that built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
}

/// One link of a release into `shared/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The path below `shared/`.
    pub path: String,
    /// `sha256:` and the digest of the file; absent for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Manifest {
    /// The release as a record names it.
    pub fn to_release(&self, root: &Root) -> record::Release {
        record::Release {
            id: self.id.to_string(),
            seq: Some(self.seq),
            path: Some(root.release_path(&self.id).display().to_string()),
            digest: Some(self.digest.clone()),
            files: Some(self.files),
            bytes: Some(self.bytes),
            created_at: Some(self.created_at.clone()),
            source: self.source.clone(),
            rest: serde_json::Map::new(),
        }
    }
}

/// The file name of a manifest or pin.
pub(crate) fn file_name(id: &ReleaseId) -> String {
    format!("{id}.json")
}

/// Reads one manifest; `None` where there is none. Writes nothing.
pub fn read(root: &Root, id: &ReleaseId) -> anyhow::Result<Option<Manifest>> {
    match root.part_if_there("manifests")? {
        Some(manifests) if manifests.stat_if_there(file_name(id))?.is_some() => read_in(&manifests, id).map(Some),
        _ => Ok(None),
    }
}

/// Reads every manifest, in the order of ids; one that does not read is an error of its own. Writes nothing.
pub fn read_all(root: &Root) -> anyhow::Result<Vec<(ReleaseId, anyhow::Result<Manifest>)>> {
    let Some(manifests) = root.part_if_there("manifests")? else { return Ok(Vec::new()) };
    let ids: Vec<ReleaseId> = manifests.names()?.filter_map(|name| id_of_file(&name)).collect();
    // Thousands of small files: the time goes into system calls and parsing, which two threads halve.
    let (first, second) = ids.split_at(ids.len() / 2);
    let read_part =
        |part: &[ReleaseId]| -> Vec<_> { part.iter().map(|id| (id.clone(), read_in(&manifests, id))).collect() };
    if ids.len() < 256 {
        return Ok(read_part(&ids));
    }
    let (mut all, second) = both(|| read_part(first), || read_part(second))?;
    all.extend(second);
    all.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(all)
}

/// The id that a file `<id>.json` is about.
pub(crate) fn id_of_file(name: &OsString) -> Option<ReleaseId> {
    name.to_str()?.strip_suffix(".json").and_then(|id| ReleaseId::new(id).ok())
}

/// The command that writes a manifest for a release that has none.
pub(crate) fn adopting(root: &Path) -> String {
    format!("release-switch -n --root {} --adopt writes a new one", root.display())
}

fn read_in(manifests: &Dir, id: &ReleaseId) -> anyhow::Result<Manifest> {
    let name = file_name(id);
    let bytes = manifests.read_file(&name, 1 << 20)?;
    parse(&bytes, id).with_context(|| {
        let root = manifests.path().ancestors().nth(2).unwrap_or(manifests.path());
        Failure::new(
            Exit::Failed,
            "manifest.damaged",
            format!("read manifest {}", manifests.path().join(&name).display()),
        )
        .hint(format!("move it away, then {}", adopting(root)))
    })
}

/// The manifest of `id` in `bytes`.
pub(crate) fn parse(bytes: &[u8], id: &ReleaseId) -> anyhow::Result<Manifest> {
    let manifest: Manifest = serde_json::from_slice(bytes)?;
    ensure!(manifest.id == *id, "it is about {}", manifest.id);
    Ok(manifest)
}

/// Writes a manifest that is not there yet, durable when it returns.
pub fn write(lock: &Lock<'_>, manifest: &Manifest) -> anyhow::Result<()> {
    Ok(lock.part("manifests")?.create_file(file_name(&manifest.id), &text(manifest)?, 0o644)?)
}

/// The file's content.
pub(crate) fn text(manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(manifest)?;
    bytes.push(b'\n');
    Ok(bytes)
}
