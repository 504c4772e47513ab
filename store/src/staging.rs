//! `staging/<id>.<random>/`: builds in progress, and what failed ones left.
//!
//! A build is live as long as its builder holds the kernel lock on the file `lock` in it; nothing
//! else tells, so a killed builder is dead at once and a slow one never is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, bail};
use dir::{Dir, Flock, Wait};
use record::{Exit, Failure, Holder};
use serde::{Deserialize, Serialize};

use crate::{Lock, ReleaseId, Root, debris, manifest};

/// A build of this process. The tree is built in `tree`; whatever else the builder keeps lies beside it.
#[derive(Debug)]
pub struct Staging {
    /// The release it becomes.
    pub id: ReleaseId,
    /// Its reserved sequence number.
    pub seq: u64,
    /// `<id>.<random>`, its name in `staging/`.
    pub name: String,
    /// `staging/<id>.<random>/`, 0700.
    pub dir: Dir,
    /// `staging/<id>.<random>/tree/`, 0755.
    pub tree: Dir,
    _flock: Flock,
}

/// Whether somebody works on a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Its builder runs.
    Live,
    /// Its builder failed, was killed, or never began.
    Dead,
    /// This user may not look; to be treated as live.
    Unknown,
}

/// A build as others see it.
#[derive(Debug, Clone)]
pub struct StagingState {
    /// The release it would become.
    pub id: ReleaseId,
    /// Its name in `staging/`.
    pub name: String,
    /// Its reserved sequence number; `None` when it was killed before that was written, or may not be read.
    pub seq: Option<u64>,
    /// Who builds, since when.
    pub builder: Option<Holder>,
    /// The pipe it belongs to.
    pub pipe: Option<String>,
    /// Whether somebody works on it.
    pub liveness: Liveness,
}

#[derive(Debug, Serialize, Deserialize)]
struct Build {
    id: ReleaseId,
    seq: u64,
    pipe: String,
    builder: Holder,
}

const BUILD: &str = "build.json";
const LOCK: &str = "lock";
/// The name of the tree within a build.
pub(crate) const TREE: &str = "tree";

/// Reserves `id` and `seq` (see [`crate::next_seq`]) and makes the build's directory. Refused with 1 when the id
/// exists in any form, with 75 while somebody builds it.
pub fn begin(lock: &Lock<'_>, id: ReleaseId, seq: u64, pipe: &str, tool: &str) -> anyhow::Result<Staging> {
    refuse_taken(lock, &id)?;
    let name = format!("{id}.{}", dir::random_suffix());
    let parent = lock.part("staging")?;
    let dir = parent.create_dir(&name, 0o700)?;
    let made = || -> anyhow::Result<Staging> {
        let build = Build { id: id.clone(), seq, pipe: pipe.to_owned(), builder: Holder::this(tool) };
        // Neither waits for the disk: after a power cut nobody builds here, and the next collection takes it.
        dir.swap_file(BUILD, &serde_json::to_vec(&build)?, 0o600)?;
        dir.swap_file(LOCK, b"", 0o600)?;
        let tree = match dir::planted("in-place-build") {
            true => lock.releases().create_dir(&id, 0o755)?,
            false => dir.create_dir(TREE, 0o755)?,
        };
        let flock = take(&dir)?.context("lock the new build")?;
        Ok(Staging {
            id: id.clone(),
            seq,
            name: name.clone(),
            dir: Dir::open_dir(&parent, &name)?,
            tree,
            _flock: flock,
        })
    };
    made().inspect_err(|_| {
        // What could not be begun leaves nothing; the error that matters is the first one.
        let _ = crate::trash::clear_small(&dir);
        let _ = parent.remove_dir(&name);
    })
}

/// Takes over the newest build of `id` that nobody works on any more. 69 without one, 75 while somebody does.
pub fn resume(lock: &Lock<'_>, id: &ReleaseId, pipe: &str, tool: &str) -> anyhow::Result<Staging> {
    let mut builds: Vec<StagingState> = list(lock)?.into_iter().filter(|build| build.id == *id).collect();
    if let Some(live) = builds.iter().find(|build| build.liveness != Liveness::Dead) {
        bail!(being_built(live));
    }
    builds.retain(|build| build.seq.is_some());
    builds.sort_by_key(|build| build.seq);
    let Some((build, seq)) = builds.pop().and_then(|build| build.seq.map(|seq| (build, seq))) else {
        bail!(nothing_to_resume(id, lock.path()))
    };
    let dir = lock.part("staging")?.open_dir(&build.name)?;
    // Observers ask for the lock for an instant; that must not look like a builder.
    let Some(flock) = take(&dir)? else { bail!(being_built(&build)) };
    // Killed while it was published, it has left papers, which would be in its own way.
    if lock.releases().stat_if_there(id)?.is_none() {
        debris::remove_papers(lock, id)?;
    }
    let note = Build { id: id.clone(), seq, pipe: pipe.to_owned(), builder: Holder::this(tool) };
    dir.swap_file(BUILD, &serde_json::to_vec(&note)?, 0o600)?;
    let (tree, _) = dir.ensure_dir(TREE, 0o755)?;
    Ok(Staging { id: id.clone(), seq, name: build.name, dir, tree, _flock: flock })
}

/// Refuses with 1 the id of a pinned release whose tree somebody moved away, see [`debris::missing`]: another release under
/// that name would take what is known of it.
pub fn refuse_missing(root: &Root, id: &ReleaseId, now: SystemTime) -> anyhow::Result<()> {
    if !debris::missing(root, now)?.contains(id) {
        return Ok(());
    }
    let hint = format!("put it back, choose another name, or take the pin away with release-pin {id} --remove");
    Err(Failure::new(Exit::Failed, "mk.exists", debris::told_missing(id)).hint(hint).into())
}

/// What lies in staging and in the trash of a release whose tree is not in `releases/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Elsewhere {
    /// Nothing, or builds of other releases of that name.
    Nothing,
    /// Something that does not say what it is: the tree of a release that was taken away, or what may not be read.
    Unknown,
    /// The build that was to become the release and has not: its tree is still in it.
    Build,
}

/// Looks for the release `id` of this number, or of any where that is not known. Writes nothing.
pub fn elsewhere(root: &Root, id: &ReleaseId, seq: Option<u64>) -> anyhow::Result<Elsewhere> {
    let mut found = Elsewhere::Nothing;
    for part in ["staging", "trash"] {
        let Some(parent) = root.part_if_there(part)? else { continue };
        let of_id = |name: &OsString| name.to_str().and_then(id_of_name).as_ref() == Some(id);
        let here = parent.names()?.filter(of_id).map(|name| what_is(&parent, name, id, seq)).max();
        found = found.max(here.unwrap_or(Elsewhere::Nothing));
    }
    Ok(found)
}

fn what_is(parent: &Dir, name: OsString, id: &ReleaseId, seq: Option<u64>) -> Elsewhere {
    let Ok(dir) = parent.open_dir(name) else { return Elsewhere::Unknown };
    let Some(build) = note(&dir, id) else { return Elsewhere::Unknown };
    match dir.stat_if_there(TREE) {
        _ if seq.is_some_and(|seq| seq != build.seq) => Elsewhere::Nothing,
        Ok(None) => Elsewhere::Nothing,
        Ok(Some(_)) => Elsewhere::Build,
        Err(_) => Elsewhere::Unknown,
    }
}

/// The refusal to go on with a build that is not there, 69.
pub fn nothing_to_resume(id: &ReleaseId, root: &Path) -> Failure {
    Failure::new(Exit::NoCandidate, "mk.no_build", format!("there is no unfinished build of {id} to resume"))
        .hint(format!("release-ls --root {} lists builds", root.display()))
}

/// Every build, live or not, in the order of names. Writes nothing.
pub fn list(root: &Root) -> anyhow::Result<Vec<StagingState>> {
    let Some(parent) = root.part_if_there("staging")? else { return Ok(Vec::new()) };
    Ok(parent.names()?.filter_map(|name| look(&parent, &name)).collect())
}

fn look(parent: &Dir, name: &OsStr) -> Option<StagingState> {
    let name = name.to_str()?;
    let id = id_of_name(name)?;
    let nothing_known = |liveness| StagingState {
        id: id.clone(),
        name: name.to_owned(),
        seq: None,
        builder: None,
        pipe: None,
        liveness,
    };
    let dir = match parent.open_dir(name) {
        Ok(dir) => dir,
        Err(e) if e.is_not_found() => return None,
        Err(_) => return Some(nothing_known(Liveness::Unknown)),
    };
    let liveness = match dir.stat_if_there(LOCK) {
        // Killed between mkdir and lock: both happen under the short lock, so a later reader sees a dead one.
        Ok(None) => Liveness::Dead,
        _ => match dir
            .open_file(LOCK, nix::fcntl::OFlag::O_RDWR, 0)
            .map(|file| Flock::acquire(file, Wait(std::time::Duration::ZERO)))
        {
            Ok(Ok(Ok(_))) => Liveness::Dead,
            Ok(Ok(Err(_))) => Liveness::Live,
            _ => Liveness::Unknown,
        },
    };
    let Some(build) = note(&dir, &id) else { return Some(nothing_known(liveness)) };
    Some(StagingState {
        seq: Some(build.seq),
        builder: Some(build.builder),
        pipe: Some(build.pipe),
        ..nothing_known(liveness)
    })
}

/// What its builder wrote about the build of `id` in this directory.
fn note(dir: &Dir, id: &ReleaseId) -> Option<Build> {
    let bytes = dir.read_file(BUILD, 64 << 10).ok()?;
    serde_json::from_slice::<Build>(&bytes).ok().filter(|build| build.id == *id)
}

/// The id in `<id>.<random>`.
pub(crate) fn id_of_name(name: &str) -> Option<ReleaseId> {
    let (id, random) = name.rsplit_once('.')?;
    let is_random = random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit());
    is_random.then(|| ReleaseId::new(id).ok()).flatten()
}

fn take(dir: &Dir) -> anyhow::Result<Option<Flock>> {
    Ok(dir.lock_file(LOCK, 0o600, Wait(std::time::Duration::from_secs(1)))?.ok())
}

impl Staging {
    /// Refuses with 1 when the id has become somebody else's while it was built: a tree that was put there, or adopted.
    pub fn refuse_taken(&self, lock: &Lock<'_>) -> anyhow::Result<()> {
        let id = &self.id;
        let is_taken = lock.releases().stat_if_there(id)?.is_some() && !dir::planted("in-place-build")
            || lock.part("manifests")?.stat_if_there(manifest::file_name(id))?.is_some()
            || lock.part("tree")?.stat_if_there(id)?.is_some();
        if is_taken { Err(taken("a release", id).into()) } else { Ok(()) }
    }
}

fn taken(what: &str, id: &ReleaseId) -> Failure {
    Failure::new(Exit::Failed, "mk.exists", format!("there is {what} {id} already, left as it is"))
        .hint("choose another name, or leave --name out and get one that is new")
}

fn refuse_taken(lock: &Lock<'_>, id: &ReleaseId) -> anyhow::Result<()> {
    if let Some(live) = list(lock)?.iter().find(|build| build.id == *id && build.liveness != Liveness::Dead) {
        bail!(being_built(live));
    }
    match lock.releases().stat_if_there(id)? {
        Some(stat) if stat.kind() == dir::Kind::Directory => bail!(taken("a release", id)),
        Some(_) => bail!(taken("something under the name of release", id)),
        None => {}
    }
    if lock.dir().stat_if_there(id)?.is_some_and(|stat| stat.kind() == dir::Kind::Symlink) {
        bail!(taken("a link", id));
    }
    if let Some(link) = crate::link::all(lock)?.iter().find(|link| link.release.as_ref() == Some(id)) {
        bail!(taken(&format!("the link {}, which names a missing release", link.name), id));
    }
    // Under the lock papers without their tree, or some of them, are what a publisher or collector left that could not end,
    // or of a release that somebody moved away and nobody keeps: the next collection would take them, too.
    debris::remove_papers(lock, id)
}

fn being_built(build: &StagingState) -> Failure {
    let who = build.builder.as_ref().map_or_else(|| "somebody".to_owned(), Holder::to_string);
    Failure::new(Exit::Busy, "mk.being_built", format!("{} is being built by {who}", build.id))
        .hint("wait for that build, or choose another name")
        .retryable()
}

/// Whether `name` could be one of ours in `staging/` or `trash/`.
pub(crate) fn is_ours(name: &OsStr) -> bool {
    std::str::from_utf8(name.as_bytes()).ok().and_then(id_of_name).is_some()
}
