//! `--stamp`: a file in the release that tells which one it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dir::Dir;
use record::{Exit, Failure};
use sha2::{Digest, Sha256};
use store::listing::Entry;

use crate::entries;
use crate::shown::shown;

/// `KEY=value` lines of a release, in the form that environment files have.
pub(crate) fn text(id: &str, created_at: &str, source: &record::Source) -> String {
    let mut lines = vec![("RELEASE_ID", id.to_owned()), ("RELEASE_CREATED_AT", created_at.to_owned())];
    let known = [
        ("RELEASE_REPOSITORY", &source.repository),
        ("RELEASE_REF", &source.reference),
        ("RELEASE_REVISION", &source.revision),
    ];
    lines.extend(known.into_iter().filter_map(|(key, value)| value.clone().map(|value| (key, value))));
    lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// Writes `text` as `path` into the tree, where nothing is under that name; the directory must be there.
pub(crate) fn write(tree: &Dir, path: &Path, text: &str) -> Result<Entry> {
    let parent = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let name = path.file_name().unwrap_or_default();
    let dir = tree.open_beneath(&parent).with_context(|| {
        Failure::new(Exit::Failed, "mk.stamp", format!("there is no directory for the stamp {}", shown(path)))
            .hint("--stamp names a file at the top or in a directory of the source")
    })?;
    dir.create_file(name, text.as_bytes(), 0o644)?;
    Ok(entries::file(path.to_path_buf(), 0o644, text.len() as u64, Sha256::digest(text).into()))
}
