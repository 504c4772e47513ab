//! Opening a directory several levels down without following a symlink on the way.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OpenHow, ResolveFlag, openat2};

use crate::held::DIRECTORY;
use crate::{Dir, Error, Result};

/// The kernel takes paths of at most 4,095 bytes; longer ones are opened piece by piece.
const PIECE: usize = 3_500;

impl Dir {
    /// Opens the directory `below`, relative to this one. No component may be a symlink or `..`; an
    /// empty path opens this directory again. Any depth: paths beyond the kernel's limit are walked in pieces.
    pub fn open_beneath(&self, below: &Path) -> Result<Self> {
        let mut names = below.components().map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(Error::new("open beneath a directory", self.path().join(below), Errno::EXDEV)),
        });
        match below.as_os_str().len() {
            0 => self.open_piece(OsStr::new(".")),
            1..=PIECE => {
                names.try_for_each(|name| name.map(drop))?;
                self.open_piece(below.as_os_str())
            }
            _ => self.open_far(names),
        }
    }

    fn open_far<'a>(&self, names: impl Iterator<Item = Result<&'a OsStr>>) -> Result<Self> {
        let mut held: Option<Self> = None;
        let mut piece = OsString::with_capacity(PIECE);
        for name in names {
            let name = name?;
            if piece.len() + name.len() >= PIECE {
                held = Some(held.as_ref().unwrap_or(self).open_piece(&piece)?);
                piece.clear();
            }
            if !piece.is_empty() {
                piece.push("/");
            }
            piece.push(name);
        }
        match held {
            Some(held) if piece.is_empty() => Ok(held),
            held => held.as_ref().unwrap_or(self).open_piece(&piece),
        }
    }

    fn open_piece(&self, piece: &OsStr) -> Result<Self> {
        let how =
            OpenHow::new().flags(DIRECTORY).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        match openat2(self, piece, how) {
            Ok(fd) => Ok(Self::held(fd, if piece == "." { self.path().into() } else { self.path_of(piece) })),
            // Kernels before 5.6 and some container filters do not have the call.
            Err(Errno::ENOSYS | Errno::EPERM) => self.open_each(piece),
            Err(errno) => Err(self.error("open directory", piece, errno)),
        }
    }

    fn open_each(&self, piece: &OsStr) -> Result<Self> {
        let mut held: Option<Self> = None;
        for name in Path::new(piece) {
            held = Some(held.as_ref().unwrap_or(self).open_dir(name)?);
        }
        held.ok_or_else(|| self.error("open directory", piece, Errno::ENOENT))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn no_symlink_is_followed_on_the_way_down_and_any_depth_is_reached() {
        let temporary = tempfile::tempdir().unwrap();
        let top = Dir::open(temporary.path()).unwrap();
        let mut deepest = top.open_beneath(Path::new("")).unwrap();
        let mut path = PathBuf::new();
        for _ in 0..30 {
            let name = "n".repeat(200);
            deepest = deepest.create_dir(&name, 0o755).unwrap();
            path.push(name);
        }
        assert!(path.as_os_str().len() > 4096);
        let found = top.open_beneath(&path).unwrap();
        assert_eq!(found.own_stat().unwrap().identity(), deepest.own_stat().unwrap().identity());

        top.create_dir("a", 0o755).unwrap().create_dir("b", 0o755).unwrap();
        top.symlink("a", "link").unwrap();
        assert!(top.open_beneath(Path::new("a/b")).is_ok());
        for refused in ["link", "link/b", "../etc", "/etc", "a/../../etc", "a/missing"] {
            assert!(top.open_beneath(Path::new(refused)).is_err(), "{refused} was opened");
        }
    }
}
