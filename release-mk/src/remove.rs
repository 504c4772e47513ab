//! Removing a tree that this tool made, by directory descriptors, whatever its depth.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use dir::{Dir, Kind};

/// Removes the directory `name` of `parent` with everything in it. Follows no symlink. Descriptors and
/// stack do not grow with the tree; memory grows with the number of directories.
pub(crate) fn tree(parent: &Dir, name: &OsStr) -> Result<()> {
    open_to_owner(parent, name)?;
    let top = parent.open_dir(name)?;
    let mut found = vec![PathBuf::new()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let dir = open(&top, &path)?;
        for entry in dir.names()? {
            if dir.stat(&entry)?.kind() == Kind::Directory {
                found.push(path.join(entry));
            } else {
                dir.remove_file(&entry)?;
            }
        }
    }
    for path in found.iter().skip(1).rev() {
        let above = top.open_beneath(path.parent().unwrap_or(Path::new("")))?;
        above.remove_dir(path.file_name().unwrap_or_default())?;
    }
    Ok(parent.remove_dir(name)?)
}

/// A directory that its owner closed to himself is opened first.
fn open(top: &Dir, path: &Path) -> Result<Dir> {
    if let Some(name) = path.file_name() {
        open_to_owner(&top.open_beneath(path.parent().unwrap_or(Path::new("")))?, name)?;
    }
    Ok(top.open_beneath(path)?)
}

fn open_to_owner(above: &Dir, name: &OsStr) -> Result<()> {
    if above.stat(name)?.mode() & 0o700 != 0o700 {
        let flags = nix::sys::stat::FchmodatFlags::NoFollowSymlink;
        // Kernels without fchmodat2 answer that they cannot; then opening says what is wrong.
        let _ = nix::sys::stat::fchmodat(above, name, nix::sys::stat::Mode::S_IRWXU, flags);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_goes_whole_and_what_its_links_point_to_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let top = Dir::open(temporary.path()).unwrap();
        let tree_dir = top.create_dir("tree", 0o755).unwrap();
        let mut dir = tree_dir.open_beneath(Path::new("")).unwrap();
        for _ in 0..300 {
            dir = dir.create_dir("a-name-of-some-length", 0o755).unwrap();
            dir.create_file("f", b"x", 0o644).unwrap();
        }
        let kept = top.create_dir("kept", 0o755).unwrap();
        kept.create_file("precious", b"x", 0o644).unwrap();
        tree_dir.symlink("../kept", "link").unwrap();
        tree(&top, OsStr::new("tree")).unwrap();
        assert!(top.names().unwrap().eq(["kept"]));
        assert!(kept.names().unwrap().eq(["precious"]));
    }
}
