//! What lies under a directory, as a value: compared before and after something that must change nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Each path with its type, mode, owner and content. Times are left out: reading must not count. So is what the lock
/// files say about who held them last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, String>);

impl Listing {
    /// Reads everything under a directory, following nothing. A directory that is not there is an empty listing.
    pub fn of(top: &Path) -> Self {
        let mut entries = BTreeMap::new();
        collect(top, Path::new(""), &mut entries);
        Self(entries)
    }

    /// Without a path and whatever is under it.
    pub fn without(mut self, path: &str) -> Self {
        self.0.retain(|entry, _| !entry.starts_with(path));
        self
    }

    /// The paths in the listing.
    pub fn paths(&self) -> Vec<&Path> {
        self.0.keys().map(PathBuf::as_path).collect()
    }

    /// Panics with the difference when the two differ; `when` completes the sentence.
    #[track_caller]
    pub fn assert_unchanged(&self, after: &Self, when: &str) {
        if let Some(difference) = self.difference(after) {
            panic!("something changed {when}:\n{difference}");
        }
    }

    /// What is gone and what is new, a line for each; `None` when nothing differs.
    pub fn difference(&self, after: &Self) -> Option<String> {
        let gone = self.0.iter().filter(|entry| after.0.get(entry.0) != Some(entry.1));
        let new = after.0.iter().filter(|entry| self.0.get(entry.0) != Some(entry.1));
        let gone = gone.map(|(path, what)| format!("- {} {what}", path.display()));
        let difference: Vec<_> = gone.chain(new.map(|(path, what)| format!("+ {} {what}", path.display()))).collect();
        (!difference.is_empty()).then(|| difference.join("\n"))
    }
}

fn collect(top: &Path, under: &Path, entries: &mut BTreeMap<PathBuf, String>) {
    let Ok(children) = fs::read_dir(top.join(under)) else { return };
    for child in children.flatten() {
        let path = under.join(child.file_name());
        let Ok(meta) = child.path().symlink_metadata() else { continue };
        let content = if meta.is_symlink() {
            format!("-> {}", fs::read_link(child.path()).unwrap_or_default().display())
        } else if path.ends_with(".cutover/lock") || path.ends_with(".cutover/deploy") {
            String::new()
        } else if meta.is_file() {
            let bytes = fs::read(child.path()).unwrap_or_default();
            format!("{:.200}", String::from_utf8_lossy(&bytes))
        } else {
            String::new()
        };
        entries.insert(path.clone(), format!("{:o} {}:{} {content}", meta.mode(), meta.uid(), meta.gid()));
        if meta.is_dir() {
            collect(top, &path, entries);
        }
    }
}
