//! How much room the disk has.

use std::path::Path;

use anyhow::{Context, Result};
use dir::Dir;
use nix::sys::statfs::{EXT4_SUPER_MAGIC, fstatfs};
use nix::sys::statvfs::statvfs;

use crate::plan::Room;

/// What a file takes on most disks, at least.
pub(crate) const BLOCK: u64 = 4096;

/// Asks the file system that holds `path`, or the nearest directory above it that exists.
pub(crate) fn of(path: &Path) -> Result<Room> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let stat = statvfs(there).with_context(|| format!("ask for the room at {}", there.display()))?;
    // Some file systems have no table of inodes and answer with zero.
    let inodes = (stat.files() > 0).then(|| stat.files_available());
    Ok(Room { bytes: stat.blocks_available() * stat.fragment_size(), inodes })
}

/// More than all that lies in the file system of `dir` would take elsewhere, where that can be told: where no two files share
/// blocks and none is compressed.
pub(crate) fn used(dir: &Dir) -> Option<u64> {
    let stat = fstatfs(dir).ok().filter(|stat| stat.filesystem_type() == EXT4_SUPER_MAGIC && stat.blocks() > 0)?;
    let block = u64::try_from(stat.block_size()).ok()?;
    let blocks = stat.blocks().checked_sub(stat.blocks_free())?;
    // Small files may lie in their inodes, or in smaller blocks than there.
    let files = stat.files().checked_sub(stat.files_free())?;
    blocks.checked_mul(block)?.checked_add(files.checked_mul(BLOCK)?)
}

/// Whether there is room for `used` bytes besides those that are to stay free.
pub(crate) fn is_plenty(room: Room, used: Option<u64>, min_free: u64) -> bool {
    used.and_then(|used| used.checked_add(min_free)).is_some_and(|needed| needed <= room.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_plenty_only_for_what_is_known_to_be_less() {
        let room = Room { bytes: 100, inodes: None };
        for (used, min_free, is_there) in [
            (None, 0, false),
            (Some(100), 0, true),
            (Some(101), 0, false),
            (Some(90), 11, false),
            (Some(1), u64::MAX, false),
        ] {
            assert_eq!(is_plenty(room, used, min_free), is_there, "{used:?} and {min_free}");
        }
    }

    #[test]
    fn what_tells_nothing_of_its_blocks_is_not_known() {
        assert_eq!(used(&Dir::open(Path::new("/proc")).unwrap()), None);
    }
}
