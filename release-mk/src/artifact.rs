//! `--artifact`: of what was built only what matches is kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dir::{Dir, Kind};
use globset::GlobSet;
use record::{Exit, Failure};

use crate::exclude::glob;
use crate::remove;

/// Removes from the tree whatever neither matches, nor lies beneath a match, nor is in `kept`, nor leads to any of
/// these. Nothing that matches is an error.
pub(crate) fn keep_only(tree: &Dir, patterns: &[String], kept: &[PathBuf]) -> Result<()> {
    let mut opened = Opened { tree, closed: Vec::new() };
    let kept = remove_others(&mut opened, patterns, kept);
    let closed = opened.close();
    kept.and(closed)
}

fn remove_others(opened: &mut Opened<'_>, patterns: &[String], kept: &[PathBuf]) -> Result<()> {
    let matches = set(patterns)?;
    let mut pending = vec![PathBuf::new()];
    let mut looked_into = Vec::new();
    let mut found = false;
    while let Some(path) = pending.pop() {
        let dir = opened.at(&path)?;
        for name in dir.names()? {
            let path = path.join(&name);
            let is_match = matches.is_match(&path);
            found |= is_match;
            if is_match || kept.contains(&path) {
                continue;
            }
            if dir.stat(&name)?.kind() == Kind::Directory {
                pending.push(path);
            } else {
                dir.remove_file(&name)?;
            }
        }
        looked_into.push(path);
    }
    if !found {
        bail!(
            Failure::new(
                Exit::Failed,
                "mk.artifact",
                format!("nothing that was built matches {}", patterns.join(", "))
            )
            .hint("--artifact is relative to the top of the tree; a pattern without a slash matches at any depth")
        );
    }
    // The deepest last pushed: what is empty by now led to nothing that is kept.
    looked_into.sort_unstable_by_key(|path| std::cmp::Reverse(path.components().count()));
    for path in looked_into {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        match opened.at(parent)?.remove_dir(name) {
            Err(error) if error.is_already_there() => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// A tree whose directories are opened to their owner for as long as something is removed from them: compilers and package
/// managers close some.
struct Opened<'a> {
    tree: &'a Dir,
    /// Those that were closed to him, and their modes.
    closed: Vec<(PathBuf, u32)>,
}

impl Opened<'_> {
    fn at(&mut self, path: &Path) -> Result<Dir> {
        let dir = self.tree.open_beneath(path)?;
        let mode = dir.own_stat()?.mode();
        if mode & 0o200 == 0 {
            dir.set_mode(mode | 0o200)?;
            self.closed.push((path.to_path_buf(), mode));
        }
        Ok(dir)
    }

    fn close(self) -> Result<()> {
        for (path, mode) in self.closed {
            match self.tree.open_beneath(&path) {
                Err(error) if error.is_not_found() => {}
                kept => kept?.set_mode(mode)?,
            }
        }
        Ok(())
    }
}

/// The patterns, ready to ask.
fn set(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSet::builder();
    for pattern in patterns {
        set.add(glob(pattern, "--artifact")?);
    }
    set.build().context("read --artifact")
}

/// Checks the patterns before anything is done.
pub(crate) fn check(patterns: &[String]) -> Result<()> {
    set(patterns).map(drop)
}

/// Empties a tree that was not filled to its end.
pub(crate) fn clear(tree: &Dir) -> Result<()> {
    for name in tree.names()? {
        if tree.stat(&name)?.kind() == Kind::Directory {
            remove::tree(tree, &name)?;
        } else {
            tree.remove_file(&name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_is_kept_with_the_directories_that_lead_to_it() {
        let temporary = tempfile::tempdir().unwrap();
        let tree = Dir::open(temporary.path()).unwrap();
        for path in ["target/app.jar", "target/classes/A.class", "src/main.c", "doc/a/b", "log/x", "top"] {
            std::fs::create_dir_all(temporary.path().join(path).parent().unwrap()).unwrap();
            tree.open_beneath(Path::new(path).parent().unwrap())
                .unwrap()
                .create_file(Path::new(path).file_name().unwrap(), b"x", 0o644)
                .unwrap();
        }
        keep_only(&tree, &["target/*.jar".into(), "/doc".into()], &["log/x".into()]).unwrap();
        let mut left: Vec<_> = walkdir::WalkDir::new(temporary.path())
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().path().strip_prefix(temporary.path()).unwrap().to_path_buf())
            .collect();
        left.sort();
        let expected = ["doc", "doc/a", "doc/a/b", "log", "log/x", "target", "target/app.jar"];
        assert_eq!(left, expected.map(PathBuf::from));
        assert!(keep_only(&tree, &["*.war".into()], &[]).is_err());
        clear(&tree).unwrap();
        assert!(tree.names().unwrap().next().is_none());
    }
}
