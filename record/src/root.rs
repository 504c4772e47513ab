//! The root, opened by descriptor and checked: whose it is, and who else could change it.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use dir::{ActingAs, Dir, Kind, Owner};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, fstatfs};

use crate::{Exit, Failure};

/// The directory of one application in one environment.
#[derive(Debug)]
pub struct RootDir {
    dir: Dir,
    owner: Owner,
}

impl RootDir {
    /// Opens ROOT to work in it. Refused with 77: another user's root (unless this is uid 0), one that
    /// others may write, one below a directory where others may swap it, a network file system.
    pub fn open(path: &Path, allow_network_fs: bool) -> anyhow::Result<Self> {
        let root = Self::open_to_read(path)?;
        root.refuse_foreign()?;
        root.refuse_writable()?;
        if !allow_network_fs {
            root.refuse_network()?;
        }
        Ok(root)
    }

    /// Opens ROOT only to look at it, whoever it belongs to.
    pub fn open_to_read(path: &Path) -> anyhow::Result<Self> {
        let path = absolute(path)?;
        let dir = match Dir::open(&path) {
            Err(e) if e.is_not_found() => {
                bail!(
                    Failure::new(Exit::Failed, "root.missing", format!("there is no root at {}", path.display()))
                        .hint(format!("release-mk --root {} --from DIR makes one", path.display()))
                )
            }
            opened => opened?,
        };
        let stat = dir.own_stat()?;
        Ok(Self { dir, owner: Owner { uid: stat.uid(), gid: stat.gid() } })
    }

    /// The held directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Whose the root is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The root's path, absolute.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `.cutover/` of this root; a symlink in its place is refused.
    pub fn state(&self) -> anyhow::Result<Dir> {
        let name = ".cutover";
        match self.dir.open_dir(name) {
            Err(e) if e.is_not_found() => {
                let path = self.path().display();
                // Another tool's layout, which is live maybe: a first release beside it is not what is wanted.
                let has_releases = self.dir.open_dir("releases").and_then(|it| it.names()).is_ok_and(|it| it.len() > 0);
                let hint = if has_releases {
                    format!("release-switch -n --root {path} --adopt takes over the releases that are there")
                } else {
                    format!("release-mk --root {path} --from DIR makes the first release")
                };
                let message = format!("{path} is no root yet: it has no .cutover/");
                bail!(Failure::new(Exit::Failed, "root.empty", message).hint(hint))
            }
            Err(e) if matches!(self.dir.stat_if_there(name), Ok(Some(stat)) if stat.kind() != dir::Kind::Directory) => {
                Err(e).context(Failure::new(Exit::Unsafe, "root.unsafe", ".cutover is not a real directory"))
            }
            opened => Ok(opened?),
        }
    }

    /// Acts as the owner until the guard is dropped, when this is uid 0 in somebody else's root.
    pub fn act_as_owner(&self) -> anyhow::Result<ActingAs> {
        self.owner
            .act()
            .with_context(|| format!("act as {}, who owns {}", self.owner.user_name(), self.path().display()))
    }

    /// Becomes the owner for good, when this is uid 0 in somebody else's root.
    pub fn become_owner(&self) -> anyhow::Result<()> {
        self.owner
            .become_for_good()
            .with_context(|| format!("become {}, who owns {}", self.owner.user_name(), self.path().display()))
    }

    fn refuse_foreign(&self) -> anyhow::Result<()> {
        let me = nix::unistd::geteuid();
        if me.is_root() || me.as_raw() == self.owner.uid {
            return Ok(());
        }
        let owner = self.owner.user_name();
        bail!(
            Failure::new(
                Exit::Unsafe,
                "root.owner",
                format!("{} belongs to {owner}, not to you", self.path().display())
            )
            .hint(format!("sudo -u {owner} …"))
        )
    }

    fn refuse_writable(&self) -> anyhow::Result<()> {
        let stat = self.dir.own_stat()?;
        if stat.mode() & 0o002 != 0 {
            bail!(self.unsafe_mode(self.path(), "everybody", "o-w"));
        }
        if stat.mode() & 0o020 != 0 && self.owner.group_has_others() {
            bail!(self.unsafe_mode(self.path(), "its group, which has other members", "g-w"));
        }
        for below in ["releases", ".cutover"] {
            if self
                .dir
                .stat_if_there(below)?
                .is_some_and(|stat| stat.kind() == Kind::Directory && stat.mode() & 0o002 != 0)
            {
                bail!(self.unsafe_mode(&self.path().join(below), "everybody", "o-w"));
            }
        }
        let real = std::fs::canonicalize(self.path()).with_context(|| format!("resolve {}", self.path().display()))?;
        for parent in real.ancestors().skip(1) {
            let stat = Dir::open(parent).and_then(|dir| dir.own_stat());
            // A parent that may not be opened may not be written through either.
            if stat.is_ok_and(|stat| stat.mode() & 0o1002 == 0o002) {
                bail!(self.unsafe_mode(parent, "everybody", "o-w"));
            }
        }
        Ok(())
    }

    fn unsafe_mode(&self, path: &Path, who: &str, change: &str) -> Failure {
        let what = format!("{} may be written by {who}", path.display());
        let unsafe_there = match self.path().starts_with(path) && path != self.path() {
            true => format!("{} is not safe there", self.path().display()),
            false => "whose release is in it is not sure".to_owned(),
        };
        Failure::new(Exit::Unsafe, "root.writable", format!("{what}: {unsafe_there}"))
            .hint(format!("chmod {change} {}", path.display()))
    }

    fn refuse_network(&self) -> anyhow::Result<()> {
        let kind = fstatfs(&self.dir)
            .with_context(|| format!("ask for the file system of {}", self.path().display()))?
            .filesystem_type();
        // Magic numbers are 32 bits wide; CIFS and SMB2 are in statfs(2), not in the crate.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers are 32 bits wide")]
        let name = match kind.0 as u32 {
            magic if magic == NFS_SUPER_MAGIC.0 as u32 => "NFS",
            magic if magic == FUSE_SUPER_MAGIC.0 as u32 => "FUSE",
            magic if magic == SMB_SUPER_MAGIC.0 as u32 => "CIFS",
            0xFF53_4D42 | 0xFE53_4D42 => "CIFS",
            _ => return Ok(()),
        };
        bail!(
            Failure::new(
                Exit::Unsafe,
                "root.network_fs",
                format!(
                    "{} lies on {name}, where locks and renames may not hold what is promised",
                    self.path().display()
                )
            )
            .hint("move the root to a local file system, or accept that with --allow-network-fs")
        )
    }
}

/// The path made absolute, without `.` and trailing slashes; `..` and text that is not UTF-8 are refused.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    if path.as_os_str().is_empty() {
        bail!(Failure::new(Exit::Usage, "usage", "the root is an empty path").hint("name it with --root DIR"));
    }
    let path = std::path::absolute(path).with_context(|| format!("make {} absolute", path.display()))?;
    if path.to_str().is_none() {
        bail!(Failure::new(Exit::Usage, "usage", format!("the root {} is not UTF-8", path.display())));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return std::fs::canonicalize(&path).with_context(|| format!("resolve {}", path.display()));
    }
    Ok(path.components().collect())
}
