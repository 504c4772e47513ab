//! A walk through a tree without recursion, with few open directories however deep it is.
//!
//! Entries come as a listing has them: each directory's names bytewise, a directory before what is in it. Nothing is
//! followed, and no path is resolved: whoever swaps a directory for a link meanwhile leads the walk nowhere.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use anyhow::ensure;
use dir::{Dir, Kind, Names, Stat};

/// How many directories a walk holds open at most; those above are opened again through `..` on the way back. Few,
/// as files that wait to be hashed are open too, and 64 descriptors must be enough.
const HELD: usize = 12;

/// One directory on the way down.
struct Step {
    dir: Option<Dir>,
    identity: (u64, u64),
    names: Names,
    path_length: usize,
}

/// A walk under way.
pub(crate) struct Walk {
    steps: Vec<Step>,
    path: Vec<u8>,
    next: Option<Dir>,
}

/// What the walk met.
pub(crate) struct Met<'w> {
    /// Relative to where the walk began.
    pub(crate) path: &'w [u8],
    /// The directory it is in, and its name there.
    pub(crate) dir: &'w Dir,
    /// Its name there.
    pub(crate) name: OsString,
    /// What it is.
    pub(crate) stat: Stat,
    /// Why its content could not be looked at, for a directory.
    pub(crate) unreadable: Option<dir::Error>,
}

impl Walk {
    /// Begins at `top`, which itself is not met.
    pub(crate) fn from(top: Dir) -> Self {
        Self { steps: Vec::new(), path: Vec::new(), next: Some(top) }
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Met<'_>>> {
        if let Some(dir) = self.next.take() {
            self.descend(dir)?;
        }
        let (name, stat) = loop {
            let Some(step) = self.steps.last_mut() else { return Ok(None) };
            self.path.truncate(step.path_length);
            let Some(name) = step.names.next() else {
                self.ascend()?;
                continue;
            };
            let Some(dir) = &step.dir else { return Ok(None) };
            // Removed since it was listed: it is missing, which the listing tells.
            if let Some(stat) = dir.stat_if_there(&name)? {
                break (name, stat);
            }
        };
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.as_bytes());
        let Some(dir) = self.steps.last().and_then(|step| step.dir.as_ref()) else { return Ok(None) };
        let mut unreadable = None;
        if stat.kind() == Kind::Directory {
            match dir.open_dir(&name) {
                Ok(below) => self.next = Some(below),
                Err(error) => unreadable = Some(error),
            }
        }
        Ok(Some(Met { path: &self.path, dir, name, stat, unreadable }))
    }

    fn descend(&mut self, dir: Dir) -> anyhow::Result<()> {
        let step = Step {
            identity: dir.own_stat()?.identity(),
            names: dir.names()?,
            dir: Some(dir),
            path_length: self.path.len(),
        };
        self.steps.push(step);
        if let Some(above) = self.steps.len().checked_sub(HELD + 1).and_then(|index| self.steps.get_mut(index)) {
            above.dir = None;
        }
        Ok(())
    }

    fn ascend(&mut self) -> anyhow::Result<()> {
        let below = self.steps.pop().and_then(|step| step.dir);
        let Some(above) = self.steps.last_mut() else { return Ok(()) };
        if above.dir.is_none()
            && let Some(below) = below
        {
            let dir = below.open_dir(OsStr::new(".."))?;
            ensure!(
                dir.own_stat()?.identity() == above.identity,
                "{} was moved while it was read",
                below.path().display()
            );
            above.dir = Some(dir);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(top: &Dir) -> Vec<String> {
        let mut walk = Walk::from(top.open_dir("tree").unwrap());
        let mut paths = Vec::new();
        while let Some(met) = walk.next().unwrap() {
            paths.push(String::from_utf8_lossy(met.path).into_owned());
        }
        paths
    }

    #[test]
    fn entries_come_in_the_order_of_a_listing() {
        let temporary = tempfile::tempdir().unwrap();
        let top = Dir::open(temporary.path()).unwrap();
        let tree = top.create_dir("tree", 0o755).unwrap();
        for name in ["a-b", "a.b", "z"] {
            tree.create_file(name, b"", 0o644).unwrap();
        }
        let a = tree.create_dir("a", 0o755).unwrap();
        a.create_dir("empty", 0o755).unwrap();
        a.create_file("x", b"", 0o644).unwrap();
        a.symlink("..", "up").unwrap();
        assert_eq!(paths(&top), ["a", "a/empty", "a/up", "a/x", "a-b", "a.b", "z"]);
    }

    #[test]
    fn a_deep_tree_is_walked_with_few_descriptors() {
        let temporary = tempfile::tempdir().unwrap();
        let top = Dir::open(temporary.path()).unwrap();
        let mut dir = top.create_dir("tree", 0o755).unwrap();
        for _ in 0..600 {
            dir.create_file("b", b"", 0o644).unwrap();
            dir = dir.create_dir("a", 0o755).unwrap();
        }
        let mut walk = Walk::from(top.open_dir("tree").unwrap());
        let (mut met, mut most) = (0, 0);
        while walk.next().unwrap().is_some() {
            met += 1;
            most = most.max(walk.steps.iter().filter(|step| step.dir.is_some()).count());
        }
        assert_eq!((met, most), (1200, HELD));
    }
}
