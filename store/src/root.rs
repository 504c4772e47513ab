//! [`Root`]: the root and what is right below it, each held by descriptor.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dir::{Dir, Kind};
use record::{Exit, Failure, RootDir};

use crate::ReleaseId;

/// An opened root: `ROOT`, `ROOT/releases` and `ROOT/.cutover`, real directories on one file system.
#[derive(Debug)]
pub struct Root {
    rootdir: RootDir,
    releases: Dir,
    state: Dir,
}

/// What a person does about a directory of `.cutover/` that is gone.
const HOW_TO_MEND: &str = "put it back from a backup, or make it with mkdir if nothing was in it";

/// The directories of `.cutover/`, all 0755.
const PARTS: [&str; 5] = ["manifests", "tree", "pins", "staging", "trash"];

impl Root {
    /// Opens a root to change it. Refused with 77 where [`RootDir::open`] refuses, and where `releases` or
    /// `.cutover` is no real directory or lies on another file system than the other.
    pub fn open(path: &Path, allow_network_fs: bool) -> anyhow::Result<Self> {
        Self::of(RootDir::open(path, allow_network_fs)?)
    }

    /// Opens a root only to look at it, whoever it belongs to.
    pub fn open_to_read(path: &Path) -> anyhow::Result<Self> {
        Self::of(RootDir::open_to_read(path)?)
    }

    /// Opens a root, made first where it is missing: ROOT itself (its parent must be there), `releases/`, `shared/`
    /// and `.cutover/`, as the owner of ROOT. The second value says whether anything was made.
    pub fn create(path: &Path, allow_network_fs: bool) -> anyhow::Result<(Self, bool)> {
        let made_root = make_root(path)?;
        let rootdir = RootDir::open(path, allow_network_fs)?;
        let made_parts = make_parts(&rootdir)?;
        Ok((Self::of(rootdir)?, made_root || made_parts))
    }

    fn of(rootdir: RootDir) -> anyhow::Result<Self> {
        let state = rootdir.state()?;
        let releases = match rootdir.dir().open_dir("releases") {
            Err(e) if e.is_not_found() => {
                let path = rootdir.path().display();
                bail!(
                    Failure::new(Exit::Failed, "root.empty", format!("{path} is no root yet: it has no releases/"))
                        .hint(format!("release-mk --root {path} --from DIR makes the first release"))
                )
            }
            Err(e) if is_something_else(rootdir.dir(), "releases") => {
                return Err(e).context(not_a_directory("releases"));
            }
            opened => opened?,
        };
        if same_mount(&releases, &state)? {
            Ok(Self { rootdir, releases, state })
        } else {
            let path = rootdir.path().display();
            bail!(
                Failure::new(
                    Exit::Unsafe,
                    "root.file_systems",
                    format!("{path}/releases and {path}/.cutover lie on different file systems: nothing can be renamed between them")
                )
                .hint("mount one file system over the whole root instead")
            )
        }
    }

    /// ROOT itself.
    pub fn dir(&self) -> &Dir {
        self.rootdir.dir()
    }

    /// `releases/`.
    pub fn releases(&self) -> &Dir {
        &self.releases
    }

    /// `.cutover/`.
    pub fn state(&self) -> &Dir {
        &self.state
    }

    /// What `record` knows of the root: its owner above all.
    pub fn rootdir(&self) -> &RootDir {
        &self.rootdir
    }

    /// The root's path, absolute.
    pub fn path(&self) -> &Path {
        self.rootdir.path()
    }

    /// Where a release of this id is or would be, absolute.
    pub fn release_path(&self, id: &ReleaseId) -> PathBuf {
        self.releases.path().join(id)
    }

    /// Opens the directory `name` of `.cutover/`; a symlink is refused. Those that hold nothing for good are made again where
    /// they are missing.
    pub(crate) fn part(&self, name: &'static str) -> anyhow::Result<Dir> {
        if let Some(part) = self.part_if_there(name)? {
            return Ok(part);
        }
        if ["staging", "trash"].contains(&name) {
            return Ok(self.state.ensure_dir(name, 0o755)?.0);
        }
        Err(Failure::new(Exit::Failed, "root.part", self.lost(name)).hint(HOW_TO_MEND).into())
    }

    /// What is lost with a directory of `.cutover/`.
    fn lost(&self, name: &str) -> String {
        format!("{} is missing, and what was in it", self.state.path().join(name).display())
    }

    /// The directories of `.cutover/` that are missing though there are releases: what they said is lost.
    pub(crate) fn lost_parts(&self) -> anyhow::Result<Vec<String>> {
        let mut lost = Vec::new();
        for name in ["manifests", "tree", "pins"] {
            if self.part_if_there(name)?.is_none() {
                lost.push(format!("{} ({HOW_TO_MEND})", self.lost(name)));
            }
        }
        Ok(lost)
    }

    /// The same, `None` where it is missing: an observer of a young root finds nothing in it.
    pub(crate) fn part_if_there(&self, name: &'static str) -> anyhow::Result<Option<Dir>> {
        Ok(self.state.open_dir_if_there(name)?)
    }
}

/// A root within another one's releases would change them, and nobody keeps a service in `/`.
fn refuse_place(path: &Path) -> anyhow::Result<()> {
    let real = std::fs::canonicalize(path)
        .or_else(|_| std::fs::canonicalize(path.parent().unwrap_or(path)))
        .unwrap_or_else(|_| path.to_path_buf());
    if real == Path::new("/") && path.parent().is_none() {
        bail!(Failure::new(Exit::Unsafe, "root.place", "/ is no place for a root").hint("name a directory of its own"));
    }
    // A root that is one already was let pass when it was made.
    let outer =
        real.ancestors().skip(usize::from(path.join(".cutover").is_dir())).find(|dir| dir.join(".cutover").is_dir());
    if let Some(outer) = outer {
        let message = format!("{} lies within the root {}", path.display(), outer.display());
        bail!(Failure::new(Exit::Unsafe, "root.place", message).hint("name a directory of its own"));
    }
    Ok(())
}

fn make_root(path: &Path) -> anyhow::Result<bool> {
    let path = std::path::absolute(path).with_context(|| format!("make {} absolute", path.display()))?;
    refuse_place(&path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    let parent_path = parent;
    let parent = match Dir::open(parent) {
        Err(e) if e.is_not_found() => {
            return Err(e).context(
                Failure::new(
                    Exit::Failed,
                    "root.no_parent",
                    format!("{} cannot be made: its parent is missing", path.display()),
                )
                .hint(format!("mkdir -p {}", parent_path.display())),
            );
        }
        // Who may not look at the parent may still use a root below it.
        Err(_) => return Ok(false),
        Ok(parent) => parent,
    };
    match parent.create_dir(name, 0o755) {
        Ok(_) => {
            // Later steps are durable only below a directory that is.
            parent.sync()?;
            Ok(true)
        }
        Err(e) if e.is_already_there() => Ok(false),
        // A parent that may not be written matters only when the root is missing, which opening it tells.
        Err(_) if path.is_dir() => Ok(false),
        Err(e) => Err(e).with_context(|| format!("make the root {}", path.display())),
    }
}

fn make_parts(rootdir: &RootDir) -> anyhow::Result<bool> {
    let _acting = rootdir.act_as_owner()?;
    let root = rootdir.dir();
    let mut made = false;
    for name in ["releases", "shared"] {
        // A link in place of shared/ is an administrator's choice; in place of releases/ it is refused on opening.
        if root.stat_if_there(name)?.is_none() {
            made |= root.ensure_dir(name, 0o755)?.1;
        }
    }
    if root.stat_if_there(".cutover")?.is_none() {
        made |= root.ensure_dir(".cutover", 0o755)?.1;
    }
    let state = rootdir.state()?;
    for name in PARTS {
        made |= state.ensure_dir(name, 0o755)?.1;
    }
    for name in ["lock", "deploy"] {
        // Made here with an exact mode; opening them with O_CREAT would leave the mode to the umask.
        if state.stat_if_there(name)?.is_some() {
            continue;
        }
        match state.create_file(name, b"", 0o600) {
            Err(e) if e.is_already_there() => {}
            created => {
                created?;
                made = true;
            }
        }
    }
    if made {
        state.sync()?;
        root.sync()?;
    }
    Ok(made)
}

fn is_something_else(parent: &Dir, name: &str) -> bool {
    matches!(parent.stat_if_there(name), Ok(Some(stat)) if stat.kind() != Kind::Directory)
}

fn not_a_directory(name: &str) -> Failure {
    Failure::new(Exit::Unsafe, "root.unsafe", format!("{name} is not a real directory"))
        .hint(format!("put a directory in its place; a link at {name} could lead anywhere"))
}

/// Whether a rename from one to the other can work. Two bind mounts of one file system share the device number,
/// and rename refuses to cross them all the same, so the mounts are compared.
fn same_mount(one: &Dir, other: &Dir) -> anyhow::Result<bool> {
    if one.own_stat()?.0.st_dev != other.own_stat()?.0.st_dev {
        return Ok(false);
    }
    Ok(mount_of(one) == mount_of(other))
}

/// The mount's id as the kernel tells it (proc_pid_fdinfo(5)); `None` without /proc.
fn mount_of(dir: &Dir) -> Option<String> {
    use std::os::fd::{AsFd, AsRawFd};
    let path = format!("/proc/self/fdinfo/{}", dir.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(|id| id.trim().to_owned())
}
