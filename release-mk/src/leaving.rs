//! Symlinks of a directory that lead out of it: they mean another place in the release.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use store::listing::What;

/// So many are named.
const NAMED: usize = 5;

/// The first few, in the order of the listing.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// Their paths in the release.
    pub(crate) paths: Vec<PathBuf>,
}

impl Leaving {
    /// Looks at the next entry of a listing. Absolute targets mean the same everywhere.
    pub(crate) fn look(&mut self, path: &[u8], what: &What) {
        let What::Symlink { target } = what else { return };
        let (path, target) = (Path::new(OsStr::from_bytes(path)), Path::new(OsStr::from_bytes(target)));
        if self.paths.len() < NAMED && target.is_relative() && leaves(path, target) {
            self.paths.push(path.to_path_buf());
        }
    }
}

/// Whether the relative `target` of the symlink at `path` climbs above the top. Only the text counts: nothing is resolved.
fn leaves(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    target.as_os_str().as_bytes().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_leaves_when_its_text_climbs_above_the_top() {
        for (path, target, out) in [
            ("a", "b", false),
            ("a", "..", true),
            ("a", "./b/../c", false),
            ("a/b", "../c", false),
            ("a/b", "../../c", true),
            ("a/b", "x/../../../c", true),
            ("a", "/etc/passwd", true),
            ("a", "", true),
        ] {
            assert_eq!(leaves(Path::new(path), Path::new(target)), out, "{path} -> {target}");
        }
    }
}
