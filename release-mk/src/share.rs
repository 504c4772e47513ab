//! `--share`: links from a release into `shared/`, which outlives it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dir::Dir;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, Gid, Uid, faccessat, fchown};
use record::{Exit, Failure, RootDir};
use sha2::{Digest, Sha256};
use store::listing::{Entry, hex};
use store::manifest::Shared;

use crate::entries;
use crate::plan::SharedState;
use crate::request::{Request, Share};
use crate::shown::shown;

/// What stands under each path of `shared/`. Symlinks in there are an administrator's choice and are followed.
pub(crate) fn look(shares: &[Share], root: &Path) -> Result<Vec<SharedState>> {
    let shared = root.join("shared");
    shares
        .iter()
        .map(|share| match std::fs::metadata(shared.join(&share.path)) {
            Ok(stat) if stat.is_dir() => Ok(SharedState::Directory),
            Ok(stat) if stat.is_file() && !may_read(&shared.join(&share.path)) => Ok(SharedState::Unreadable),
            Ok(_) => Ok(SharedState::File),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(SharedState::Missing),
            Err(error) => Err(error).with_context(|| format!("look at {}", shown(&shared.join(&share.path)))),
        })
        .collect()
}

/// Whether the user whose rights this process has by now may read it.
fn may_read(path: &Path) -> bool {
    faccessat(AT_FDCWD, path, AccessFlags::R_OK, AtFlags::AT_EACCESS).is_ok()
}

/// Makes the directories in `shared/` that are missing, as the root's owner; the last of each path gets the mode and the
/// owner that were asked for.
pub(crate) fn make(paths: &[PathBuf], request: &Request, root: &RootDir) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let owner = request.share_owner.as_deref().map(account).transpose()?;
    let shared = Dir::open(&root.path().join("shared"))?;
    for path in paths {
        let made = {
            let _acting = root.act_as_owner()?;
            let mut dir = shared.open_beneath(Path::new(""))?;
            for name in path.components() {
                dir = dir.ensure_dir(name, 0o755)?.0;
            }
            dir.set_mode(request.share_mode)?;
            dir
        };
        if let Some((uid, gid)) = owner {
            fchown(&made, Some(uid), gid).with_context(|| {
                Failure::new(Exit::Failed, "mk.share", format!("cannot give {} away", shown(made.path())))
                    .hint("only uid 0 may use --owner")
            })?;
        }
        made.sync()?;
    }
    Ok(shared.sync()?)
}

fn account(given: &str) -> Result<(Uid, Option<Gid>)> {
    let accounts = dir::Accounts::read().context("read the accounts")?;
    let unknown =
        |what| Failure::new(Exit::Usage, "usage", format!("--owner: no {what} in '{}'", given.escape_debug()));
    let (user, group) = given.split_once(':').map_or((given, None), |(user, group)| (user, Some(group)));
    let by_name = accounts.user_named(user);
    let Some(uid) = by_name.as_ref().map(|user| user.uid).or_else(|| user.parse().ok()) else {
        bail!(unknown("such user"))
    };
    let gid = match group {
        None => by_name.map(|user| user.gid),
        Some(group) => match accounts.group_named(group).or_else(|| group.parse().ok()) {
            Some(gid) => Some(gid),
            None => bail!(unknown("such group")),
        },
    };
    Ok((Uid::from_raw(uid), gid.map(Gid::from_raw)))
}

/// Puts the links into the tree, which has nothing under their names, and says what was made: links, and the
/// directories above them that were missing.
pub(crate) fn link(shares: &[Share], tree: &Dir) -> Result<Vec<Entry>> {
    let mut made = Vec::new();
    for share in shares {
        let in_the_way = || {
            Failure::new(Exit::Failed, "mk.share", format!("{} cannot be linked", shown(&share.path)))
                .hint("what is above it in the source must be a directory")
        };
        let mut dir = tree.open_beneath(Path::new(""))?;
        let mut path = PathBuf::new();
        let parent = share.path.parent().unwrap_or(Path::new(""));
        for name in parent.components() {
            path.push(name);
            let (below, is_new) = dir.ensure_dir(name, 0o755).with_context(in_the_way)?;
            if is_new {
                made.push(entries::directory(path.clone(), 0o755));
            }
            dir = below;
        }
        let Some(name) = share.path.file_name() else { continue };
        let target = target(&share.path);
        dir.symlink(&target, name).with_context(in_the_way)?;
        made.push(entries::symlink(share.path.clone(), target.into_os_string()));
    }
    Ok(made)
}

/// From the link's own directory up to the root and down to `shared/`: it stays right wherever the root is mounted.
fn target(path: &Path) -> PathBuf {
    let mut target: PathBuf = std::iter::repeat_n("..", path.components().count() + 1).collect();
    target.push("shared");
    target.join(path)
}

/// What the manifest keeps: a digest of each shared file as it is now, so that a rollback onto other
/// configuration can be noticed. A FIFO or a socket has none: it would be waited for.
pub(crate) fn digests(shares: &[Share], root: &Path) -> Result<Vec<Shared>> {
    let shared = root.join("shared");
    shares
        .iter()
        .map(|share| {
            let path = share.path.display().to_string();
            let there = shared.join(&share.path);
            let is_file = std::fs::metadata(&there).with_context(|| format!("look at shared/{path}"))?.is_file();
            if share.directory || !is_file {
                return Ok(Shared { path, digest: None });
            }
            let mut file = File::open(there).with_context(|| format!("read shared/{path}"))?;
            let mut sha = Sha256::new();
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match file.read(&mut buffer).with_context(|| format!("read shared/{path}"))? {
                    0 => break,
                    n => sha.update(&buffer[..n]),
                }
            }
            Ok(Shared { path, digest: Some(format!("sha256:{}", hex(&sha.finalize()))) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_climbs_from_its_own_directory_to_the_root() {
        for (path, to) in [
            (".env", "../../shared/.env"),
            ("log", "../../shared/log"),
            ("config/database.yml", "../../../shared/config/database.yml"),
            ("a/b/c", "../../../../shared/a/b/c"),
        ] {
            assert_eq!(target(Path::new(path)), Path::new(to), "{path}");
        }
    }
}
