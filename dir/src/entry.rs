//! What one directory entry is, without following it.

use nix::libc;
use nix::sys::stat::FileStat;

/// The type of an entry; a symlink is a symlink, whatever it points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A device, FIFO or socket.
    Other,
}

/// The answer of one `fstatat(…, AT_SYMLINK_NOFOLLOW)`.
#[derive(Debug, Clone, Copy)]
pub struct Stat(pub FileStat);

impl Stat {
    /// The type of the entry.
    pub fn kind(&self) -> Kind {
        match self.0.st_mode & libc::S_IFMT {
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFREG => Kind::File,
            libc::S_IFLNK => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    /// Permission bits, set-id and sticky bits included.
    pub fn mode(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// Size in bytes; of a symlink the length of its target.
    pub fn size(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// Device and inode: what identifies a file whatever its name.
    pub fn identity(&self) -> (u64, u64) {
        (self.0.st_dev, self.0.st_ino)
    }

    /// The owner's user id.
    pub fn uid(&self) -> u32 {
        self.0.st_uid
    }

    /// The owning group's id.
    pub fn gid(&self) -> u32 {
        self.0.st_gid
    }
}
