//! How much room the disk has.

use std::path::Path;

use anyhow::{Context, Result};
use dir::Dir;
use nix::sys::statvfs::{fstatvfs, statvfs};

use crate::plan::Room;

/// Asks the file system that holds `path`, or the nearest directory above it that exists.
pub(crate) fn of(path: &Path) -> Result<Room> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let stat = statvfs(there).with_context(|| format!("ask for the room at {}", there.display()))?;
    // Some file systems have no table of inodes and answer with zero.
    let inodes = (stat.files() > 0).then(|| stat.files_available());
    Ok(Room { bytes: stat.blocks_available() * stat.fragment_size(), inodes })
}

/// Asks the file system that holds `dir` how many bytes of it are used: what lies in it cannot take more.
pub(crate) fn used(dir: &Dir) -> Result<u64> {
    let stat = fstatvfs(dir).with_context(|| format!("ask for the room at {}", dir.path().display()))?;
    Ok(stat.blocks().saturating_sub(stat.blocks_free()) * stat.fragment_size())
}
