//! The links directly in the root that say which release is live.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use dir::{Dir, Kind, Name};
use record::{Exit, Failure};

use crate::{Lock, ReleaseId, Root};

/// New links are made under this name and sixteen random digits, then renamed.
const TEMPORARY: &str = ".cutover-link-";

/// What a link says. Looked at, not followed, unless it leads into `releases/` by a detour only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// Its name in the root.
    pub name: Name,
    /// Its text.
    pub target: PathBuf,
    /// The release it leads to, whether that is there or not; `None` when it leads elsewhere.
    pub release: Option<ReleaseId>,
    /// The path within the release, for a link to one file of it.
    pub inside: Option<PathBuf>,
    /// What is wrong with it: it dangles, or leads elsewhere.
    pub problem: Option<String>,
}

/// What stands under a link's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Missing,
    /// A symlink.
    Link(LinkState),
    /// Something that is no link, and is never removed.
    Obstructed(Kind),
}

/// Where a link shall lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The release.
    pub release: ReleaseId,
    /// The one file within it, relative, for a link to a file.
    pub inside: Option<PathBuf>,
}

impl Target {
    /// A release as a whole.
    pub fn release(id: ReleaseId) -> Self {
        Self { release: id, inside: None }
    }

    /// The target that the history kept as the text of a link.
    pub fn from_history(text: &str) -> Option<Self> {
        parts_of_relative(text).map(|(release, inside)| Self { release, inside })
    }

    /// The text of the link, relative to the root.
    pub fn text(&self) -> PathBuf {
        let release = Path::new("releases").join(&self.release);
        self.inside.as_ref().map_or_else(|| release.clone(), |inside| release.join(inside))
    }
}

/// Refuses names that no link may have, as the root needs them for something else.
pub fn check_name(name: &Name) -> anyhow::Result<()> {
    if matches!(name.as_str(), "releases" | "shared") || name.as_str().starts_with(".cutover") {
        bail!(
            Failure::new(Exit::Usage, "usage", format!("a link cannot be named {name}: the root needs that name"))
                .hint("name it with --link NAME")
        );
    }
    Ok(())
}

/// Looks at what stands under `name`. Writes nothing.
pub fn read(root: &Root, name: &Name) -> anyhow::Result<Standing> {
    match root.dir().stat_if_there(name)? {
        None => Ok(Standing::Missing),
        Some(stat) if stat.kind() == Kind::Symlink => Ok(Standing::Link(look(root, name.clone())?)),
        Some(stat) => Ok(Standing::Obstructed(stat.kind())),
    }
}

/// Every symlink directly in the root, in the order of names. Names that are not UTF-8 or hold control
/// characters are left out. Writes nothing.
pub fn all(root: &Root) -> anyhow::Result<Vec<LinkState>> {
    let mut links = Vec::new();
    for entry in root.dir().names()? {
        if is_temporary(&entry) {
            continue;
        }
        let is_link = root.dir().stat_if_there(&entry)?.is_some_and(|stat| stat.kind() == Kind::Symlink);
        let name = entry.to_str().and_then(|name| Name::new(name).ok());
        if let Some(name) = name.filter(|_| is_link) {
            match look(root, name) {
                Ok(link) => links.push(link),
                Err(e) => match root.dir().stat_if_there(&entry)? {
                    // Left out, a link that the disk does not tell would count as removed, and its release as free.
                    Some(stat) if stat.kind() == Kind::Symlink => return Err(e),
                    // Somebody replaced it in this very moment by something that is no link.
                    _ => {}
                },
            }
        }
    }
    Ok(links)
}

impl Standing {
    /// The link, or `None` where there is nothing; an error that says how to migrate where something else is in the way.
    pub fn link(self, root: &Root, name: &Name) -> anyhow::Result<Option<LinkState>> {
        match self {
            Self::Missing => Ok(None),
            Self::Link(link) => Ok(Some(link)),
            Self::Obstructed(kind) => bail!(obstructed(root, name, kind)),
        }
    }
}

/// Replaces the link `name` on disk, durable when it returns; readers see the old or the new one. What is no link is
/// refused and stays. The three moves are only here: a new link under a name nobody else has, a rename over the old
/// one, and the directory on disk.
pub fn replace(lock: &Lock<'_>, name: &Name, target: &Target) -> anyhow::Result<()> {
    replace_noting(lock, name, target, || Ok(()))
}

/// The same; between the rename and the wait for the disk it calls `note`, which writes that the link was replaced.
/// A journaling file system then brings both to the disk at once, the note never before the link. An error of `note`
/// comes after everything else was done.
pub fn replace_noting(
    lock: &Lock<'_>,
    name: &Name,
    target: &Target,
    note: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    check_name(name)?;
    if let Standing::Obstructed(kind) = read(lock, name)? {
        bail!(obstructed(lock, name, kind));
    }
    refuse_leaving(lock, target)?;
    let root: &Dir = lock.dir();
    let temporary = format!("{TEMPORARY}{}", dir::random_suffix());
    if dir::planted("unlink-then-create") {
        let _ = root.remove_file(name);
    }
    let replaced = root.symlink(target.text(), &temporary).and_then(|()| root.rename(&temporary, root, name));
    if let Err(error) = replaced {
        // Whoever takes the lock next would remove it too.
        let _ = root.remove_file(&temporary);
        return Err(error).with_context(|| format!("replace link {}", root.path().join(name).display()));
    }
    let noted = note();
    // Until the directory is on disk a power cut would bring the old link back.
    let synced = root.sync().context(
        Failure::new(
            Exit::Unrecorded,
            "switch.durability",
            format!("{name} was replaced, but the disk did not confirm it"),
        )
        .hint("look at the disk; the link is new, and may be old again after a power cut"),
    );
    synced.and(noted)
}

/// A link to one file names a file that is there, within its release, whoever wrote the target down.
fn refuse_leaving(root: &Root, target: &Target) -> anyhow::Result<()> {
    let Some(inside) = &target.inside else { return Ok(()) };
    let text = target.text();
    if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
        bail!(Failure::new(Exit::Unsafe, "link.leaves", format!("{} leads out of the release", text.display())));
    }
    if std::fs::symlink_metadata(root.path().join(&text)).is_err() {
        bail!(Failure::new(Exit::NoCandidate, "link.no_file", format!("there is no {}", text.display())));
    }
    Ok(())
}

/// Removes links that a killed holder of the lock made and did not rename.
pub(crate) fn remove_temporaries(lock: &Lock<'_>) -> anyhow::Result<()> {
    for entry in lock.dir().names()?.filter(|entry| is_temporary(entry)) {
        if lock.dir().stat_if_there(&entry)?.is_some_and(|stat| stat.kind() == Kind::Symlink) {
            lock.dir().remove_file(&entry)?;
        }
    }
    Ok(())
}

fn is_temporary(entry: &OsStr) -> bool {
    entry.as_bytes().strip_prefix(TEMPORARY.as_bytes()).is_some_and(|rest| rest.len() == 16)
}

fn look(root: &Root, name: Name) -> anyhow::Result<LinkState> {
    let target = PathBuf::from(root.dir().read_link(&name)?);
    let path = root.path().join(&name);
    let lexical = below_releases(&root.path().join(&target), root.path());
    // A detour through other links or mounts still leads to the release, and must protect it.
    let resolved = std::fs::canonicalize(&path);
    let found = lexical.or_else(|| {
        let real_root = std::fs::canonicalize(root.path()).ok()?;
        below_releases(resolved.as_ref().ok()?, &real_root)
    });
    let problem = match (&found, &resolved) {
        (Some(_), Ok(_)) => None,
        (_, Err(_)) => Some("leads to nothing".to_owned()),
        (None, Ok(_)) => Some("leads out of releases/".to_owned()),
    };
    let (release, inside) = found.map_or((None, None), |(release, inside)| (Some(release), inside));
    Ok(LinkState { name, target, release, inside, problem })
}

/// The release and the path within it, of a text that is relative to the root.
pub(crate) fn parts_of_relative(text: &str) -> Option<(ReleaseId, Option<PathBuf>)> {
    below_releases(&Path::new("/").join(text), Path::new("/"))
}

fn below_releases(path: &Path, root: &Path) -> Option<(ReleaseId, Option<PathBuf>)> {
    let mut plain: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(part) => plain.push(part),
            _ => {}
        }
    }
    let mut parts = plain.into_iter();
    for wanted in root.components().filter(|c| matches!(c, Component::Normal(_))) {
        (Component::Normal(parts.next()?) == wanted).then_some(())?;
    }
    (parts.next()? == OsStr::new("releases")).then_some(())?;
    let id = ReleaseId::of_entry(parts.next()?)?;
    let inside: PathBuf = parts.map(OsString::from).collect();
    Some((id, (!inside.as_os_str().is_empty()).then_some(inside)))
}

fn obstructed(root: &Root, name: &Name, kind: Kind) -> Failure {
    let path = root.path().join(name);
    let path = path.display();
    let what = match kind {
        Kind::Directory => "a directory",
        Kind::File => "a file",
        _ => "something else",
    };
    let failure = Failure::new(
        Exit::Unsafe,
        "link.obstructed",
        format!("{path} is {what}, not a link: it stays as it is, since it may be the only copy"),
    );
    match kind {
        Kind::Directory | Kind::File => failure.hint(format!(
            "release-mk --root {} --from {path} >record && mv {path} {path}.before && release-switch <record",
            root.path().display()
        )),
        _ => failure.hint(format!("move {path} away, or name another link with --link")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_understood_however_it_is_written() {
        let at = |target: &str| {
            below_releases(&Path::new("/srv/shop").join(target), Path::new("/srv/shop"))
                .map(|(id, inside)| (id.to_string(), inside.map(|p| p.display().to_string())))
        };
        let whole = Some(("v1".to_owned(), None));
        for text in ["releases/v1", "./releases/v1/", "releases//v1", "/srv/shop/releases/v1", "../shop/releases/v1"] {
            assert_eq!(at(text), whole, "{text}");
        }
        assert_eq!(at("releases/v1/app.jar"), Some(("v1".to_owned(), Some("app.jar".to_owned()))));
        for text in
            ["releases", "releases/..", "releases/v1/../../x", "/srv/other/releases/v1", "shared/v1", "releases/.x"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
