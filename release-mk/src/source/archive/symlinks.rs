//! Whether a symlink leads out of the tree, also by way of others.
//!
//! The text alone does not tell: behind a link to a shallower directory a single `..` climbs further than it
//! says. So each target is walked through all the links of the archive, in memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use super::refuse;

/// As the kernel, give up after so many links.
const LONGEST_CHAIN: usize = 40;

/// Steps that may be taken for all links together, and for each of them besides: links into links of long paths would take
/// hours.
const STEPS: usize = 1_000_000;
const STEPS_EACH: usize = 100;

/// The first of `links` (path and target) that is absolute, climbs above the top, or turns in circles. Refused where it takes
/// too long to tell; stops at an error of `tick`.
pub(crate) fn first_that_leaves<'l>(
    links: &'l BTreeMap<PathBuf, OsString>,
    tick: &mut dyn FnMut() -> Result<()>,
) -> Result<Option<&'l Path>> {
    let mut steps = STEPS + STEPS_EACH * links.len();
    for path in links.keys() {
        tick()?;
        let stays = stays(path, links, &mut steps);
        if steps == 0 {
            bail!(refuse("archive.link", "the archive is refused: its symlinks lead through one another too often"));
        }
        if !stays {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn stays(path: &Path, links: &BTreeMap<PathBuf, OsString>, steps: &mut usize) -> bool {
    let Some(target) = links.get(path) else { return true };
    let mut at: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut ahead: Vec<OsString> = parts(Path::new(target));
    if Path::new(target).is_absolute() || target.is_empty() {
        return false;
    }
    let mut followed = 1;
    while let Some(part) = ahead.pop() {
        *steps = steps.saturating_sub(1);
        if *steps == 0 {
            return false;
        }
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
            assert_eq!(first_that_leaves(&links, &mut || Ok(())).unwrap(), leaves.map(Path::new), "{links:?}");
        }
    }

    #[test]
    fn what_would_take_hours_to_follow_is_refused_at_once() {
        let chain = (0..38).map(|n| (format!("c{n:02}"), "d/../".repeat(800) + &format!("c{:02}", n + 1)));
        let onto = (0..5000).map(|n| (format!("x{n}"), "c00".to_owned()));
        let links = chain.chain(onto).map(|(path, target)| (path.into(), target.into())).collect();
        let error = first_that_leaves(&links, &mut || Ok(())).unwrap_err();
        assert!(error.to_string().contains("too often"), "{error}");
        let mut looks = 0;
        let mut interrupted = || {
            looks += 1;
            if looks == 3 { bail!("interrupted") } else { Ok(()) }
        };
        assert_eq!(first_that_leaves(&links, &mut interrupted).unwrap_err().to_string(), "interrupted");
    }
}
