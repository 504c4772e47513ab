//! Whether a symlink leads out of the tree, also by way of others.
//!
//! The text alone does not tell: behind a link to a shallower directory a single `..` climbs further than it
//! says. So each target is walked through all the links of the archive, in memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As the kernel, give up after so many links.
const LONGEST_CHAIN: usize = 40;

/// The first of `links` (path and target) that is absolute, climbs above the top, or turns in circles.
pub(crate) fn first_that_leaves(links: &BTreeMap<PathBuf, OsString>) -> Option<&Path> {
    links.keys().find(|path| !stays(path, links)).map(PathBuf::as_path)
}

fn stays(path: &Path, links: &BTreeMap<PathBuf, OsString>) -> bool {
    let Some(target) = links.get(path) else { return true };
    let mut at: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut ahead: Vec<OsString> = parts(Path::new(target));
    if Path::new(target).is_absolute() || target.is_empty() {
        return false;
    }
    let mut followed = 1;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            if !at.pop() {
                return false;
            }
            continue;
        }
        at.push(&part);
        if let Some(target) = links.get(&at) {
            followed += 1;
            if Path::new(target).is_absolute() || followed > LONGEST_CHAIN {
                return false;
            }
            at.pop();
            ahead.extend(parts(Path::new(target)));
        }
    }
    true
}

/// The components that matter, the first one last.
fn parts(target: &Path) -> Vec<OsString> {
    let matters = |component: &Component| matches!(component, Component::Normal(_) | Component::ParentDir);
    target.components().filter(matters).rev().map(|component| component.as_os_str().to_os_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_climbs_by_way_of_others_is_found() {
        for (links, leaves) in [
            (vec![("a", "b")], None),
            (vec![("bin/app", "../lib/app")], None),
            (vec![("a", ".")], None),
            (vec![("a/b", "..")], None),
            (vec![("a", "..")], Some("a")),
            (vec![("a", "/etc/passwd")], Some("a")),
            (vec![("a/b", "../../x")], Some("a/b")),
            // The text of m stays inside; behind l, which is the top, it does not.
            (vec![("a/b/c/l", "../../.."), ("m", "a/b/c/l/../..")], Some("m")),
            (vec![("a", "b"), ("b", "a")], Some("a")),
            (vec![("d/l", "."), ("e", "d/l/l/l/../f")], None),
        ] {
            let links: BTreeMap<PathBuf, OsString> =
                links.into_iter().map(|(path, target)| (path.into(), target.into())).collect();
            assert_eq!(first_that_leaves(&links), leaves.map(Path::new), "{links:?}");
        }
    }
}
