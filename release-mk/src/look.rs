//! What there is before a build: the root, the source, the room. Nothing here writes, and all that a dry run says is from here.

use std::path::PathBuf;

use anyhow::{Context, Result};
use dir::Dir;
use record::{Exit, Failure, Pipe, Release, RootDir};
use store::{Manifest, ReleaseId, Root, manifest, staging};

use crate::plan::{Facts, Plan, Room, SharedState};
use crate::request::Request;
use crate::source::Source;
use crate::source::survey::{Closeness, Survey};
use crate::state::State;
use crate::{artifact, build, environment, share, source, space, watch};

/// Where the release will be: the root's path, and the root once there is one.
pub(crate) struct Site {
    /// The root's path, absolute.
    pub(crate) path: PathBuf,
    /// The root, if it is there.
    pub(crate) root: Option<RootDir>,
}

/// Finds the root and enters it; a root that does not exist yet is made later. Writes nothing.
pub(crate) fn enter(pipe: &mut Pipe) -> Result<Site> {
    let path = std::path::absolute(pipe.root_path()?).context("find the root")?;
    let root = match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some(open(&path, pipe)?),
    };
    if root.is_some() {
        pipe.enter(open(&path, pipe)?);
    }
    Ok(Site { path, root })
}

/// Opens the root that is there.
pub(crate) fn open(path: &std::path::Path, pipe: &Pipe) -> Result<RootDir> {
    RootDir::open(path, pipe.options().allow_network_fs)
}

/// Reads what a plan needs: the source as the root's owner sees it, `shared/`, the environment files, the disk.
pub(crate) fn look(pipe: &Pipe, request: &Request, source: &Source, site: &Site) -> Result<Facts> {
    let _acting = site.root.as_ref().map(RootDir::act_as_owner).transpose()?;
    artifact::check(&request.artifact)?;
    if request.sha256.is_some() && matches!(source, Source::Directory { .. } | Source::Git(_)) {
        return Err(Failure::new(Exit::Usage, "usage", "--sha256 is for archives and single files").into());
    }
    refuse_terminal(pipe, request, source, site)?;
    if let (Source::Directory { dir, .. }, Some(stamp)) = (source, &request.stamp)
        && dir.open_beneath(stamp).is_ok()
    {
        let message = format!("--stamp {} is a directory of the source, which would be left out", stamp.display());
        return Err(Failure::new(Exit::Usage, "usage", message).into());
    }
    let links = request.link_unchanged && request.steps.is_empty() && is_live(pipe, site)?;
    let room = space::of(&site.path)?;
    let shared = share::look(&request.share, &site.path)?;
    let survey = match source {
        Source::Directory { dir, .. } => survey(pipe, request, dir, site, room, links, &shared)?,
        Source::File { file, .. } => Some(source::file::survey(file)?),
        Source::Archive { .. } | Source::Git(_) => None,
    };
    Ok(Facts {
        survey,
        shared,
        missing_variables: environment::missing(&request.require_env, &site.path)?,
        room: Some(room),
        links,
    })
}

/// Refuses to wait for a stream that nobody sends, unless it has been read by the build that is resumed.
fn refuse_terminal(pipe: &Pipe, request: &Request, source: &Source, site: &Site) -> Result<()> {
    let Err(refusal) = source.refuse_terminal() else { return Ok(()) };
    let Some(id) = request.resume.as_ref().filter(|_| is_begun(site)) else { return Err(refusal) };
    let root = Root::open(&site.path, pipe.options().allow_network_fs)?;
    let Some(build) = staging::list(&root)?.into_iter().find(|build| build.id == *id) else { return Ok(()) };
    let dir = root.state().open_dir("staging").and_then(|staging| staging.open_dir(&build.name))?;
    State::read(&dir)?.map(drop).ok_or(refusal)
}

/// Whether the root has been made, and is not a directory that somebody prepared for it.
fn is_begun(site: &Site) -> bool {
    site.root.as_ref().is_some_and(|root| root.dir().open_dir(".cutover").is_ok())
}

/// Looks at a source directory as closely as its build needs it.
fn survey(
    pipe: &Pipe,
    request: &Request,
    source: &Dir,
    site: &Site,
    room: Room,
    links: bool,
    shared: &[SharedState],
) -> Result<Option<Survey>> {
    let exclude = build::exclude(request)?;
    let root = site.root.as_ref().map(RootDir::dir);
    let look = |closeness| Survey::of(source, &exclude, closeness, root, &mut || watch::look(pipe));
    if pipe.dry_run() {
        return look(Closeness::Files).map(Some);
    }
    let makes_more = !is_begun(site) || shared.contains(&SharedState::Missing);
    let is_plenty = space::is_plenty(room, space::used(source), request.min_free);
    let Some(closeness) = request.closeness(makes_more, links, is_plenty) else { return Ok(None) };
    let survey = look(closeness)?;
    // What is mounted beneath has not been compared with the room.
    let is_enough = closeness == Closeness::Files || links || !survey.has_mounts;
    if is_enough { Ok(Some(survey)) } else { look(Closeness::Files).map(Some) }
}

/// Whether there is a release with a listing where the link leads.
fn is_live(pipe: &Pipe, site: &Site) -> Result<bool> {
    let link = pipe.link()?;
    let Some(root) = site.root.as_ref().map(RootDir::dir) else { return Ok(false) };
    let listings = root.open_dir(".cutover").and_then(|state| state.open_dir("tree"));
    let (Ok(target), Ok(listings)) = (root.read_link(&link), listings) else { return Ok(false) };
    let listing = std::path::Path::new(&target).file_name().map(|id| listings.stat_if_there(id)).transpose()?;
    Ok(listing.flatten().is_some())
}

/// Says what would be done. Writes nothing but the record.
pub(crate) fn announce(pipe: &mut Pipe, request: &Request, plan: &Plan, site: &Site) -> Result<()> {
    for (action, target, reason) in &plan.steps {
        pipe.plan(*action, target, reason.clone());
    }
    pipe.changed();
    let id = match (&request.resume, &request.name) {
        (Some(id), _) => {
            refuse_nothing_to_resume(pipe, site, id)?;
            id.clone()
        }
        (None, Some(name)) => {
            refuse_standing(site, name)?;
            name.clone()
        }
        (None, None) => ReleaseId::default_for(pipe.now(), foreseen_seq(pipe, site)?)?,
    };
    if is_begun(site) && (request.resume.is_some() || request.name.is_some()) {
        staging::refuse_missing(&Root::open(&site.path, pipe.options().allow_network_fs)?, &id, pipe.now())?;
    }
    let what = if request.resume.is_some() { "go on with" } else { "make" };
    let place = if site.root.is_some() { "in" } else { "in the new root" };
    pipe.say(format_args!("would {what} {id} {place} {}", site.path.display()));
    pipe.record_mut().root = site.path.to_str().map(str::to_owned);
    pipe.record_mut().release = Some(Release { id: id.to_string(), ..Release::default() });
    Ok(())
}

/// What is sure to be refused is refused by a dry run too.
fn refuse_standing(site: &Site, name: &ReleaseId) -> Result<()> {
    let standing = site.root.as_ref().and_then(|root| root.dir().open_dir("releases").ok());
    if standing.is_some_and(|releases| matches!(releases.stat_if_there(name), Ok(Some(_)))) {
        return Err(Failure::new(
            Exit::Failed,
            "mk.exists",
            format!("there is a release {name} already, left as it is"),
        )
        .hint("choose another name, or leave --name out and get one that is new")
        .into());
    }
    Ok(())
}

fn refuse_nothing_to_resume(pipe: &Pipe, site: &Site, id: &ReleaseId) -> Result<()> {
    if is_begun(site) {
        let root = Root::open(&site.path, pipe.options().allow_network_fs)?;
        if complete(&root, id)?.is_some() || staging::list(&root)?.iter().any(|build| build.id == *id) {
            return Ok(());
        }
    }
    Err(staging::nothing_to_resume(id, &site.path).into())
}

/// The number the next release would get if nobody else made one meanwhile.
fn foreseen_seq(pipe: &Pipe, site: &Site) -> Result<u64> {
    if !is_begun(site) {
        return Ok(1);
    }
    let root = Root::open(&site.path, pipe.options().allow_network_fs)?;
    let inventory = store::inventory::read(&root)?;
    let newest = inventory.releases.last().map_or(0, |manifest| manifest.seq);
    let building = inventory.staging.iter().filter_map(|build| build.seq).max().unwrap_or(0);
    Ok(newest.max(building).max(inventory.history.largest_seq()) + 1)
}

/// The release of this id, if there is one.
pub(crate) fn complete(root: &Root, id: &ReleaseId) -> Result<Option<Manifest>> {
    if root.releases().stat_if_there(id)?.is_some_and(|stat| stat.kind() == dir::Kind::Directory) {
        return manifest::read(root, id);
    }
    Ok(None)
}
