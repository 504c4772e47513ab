//! The effects of a build, in their order, and what is taken back when one fails.

use std::ffi::OsStr;

use anyhow::Result;
use record::sections::MkSection;
use record::{Exit, Failure, Pipe, clock, host};
use store::listing::Half;
use store::staging::{self, Staging};
use store::{Lock, Manifest, Pin, ReleaseId, Root, link, manifest, next_seq, pins, trash};

use crate::build::{self, Build, Built, LISTING};
use crate::look::{Site, complete, open};
use crate::plan::Plan;
use crate::progress::size;
use crate::request::Request;
use crate::shown::shown;
use crate::source::Source;
use crate::unchanged::Previous;
use crate::{TOOL, remove, share};

/// Makes the release: staging, content, listing, sync, and only then the name. Whatever fails before that
/// leaves no trace of the build.
pub(crate) fn apply(pipe: &mut Pipe, request: &Request, source: &Source, site: &Site, plan: &Plan) -> Result<()> {
    if site.root.is_none() {
        // A typo in a later stage must not leave a root behind, nor must one in --root go unnoticed.
        pipe.await_later_stages()?;
        pipe.say(format_args!("{} is a new root", site.path.display()));
    }
    let (root, _) = Root::create(&site.path, pipe.options().allow_network_fs)?;
    pipe.enter(open(&site.path, pipe)?);
    pipe.begin_preparation()?;
    share::make(&plan.make_shared, request, root.rootdir())?;
    // From here on everything is the owner's, and the kernel refuses what he could not do.
    root.rootdir().become_owner()?;

    if let Some(id) = &request.resume
        && let Some(manifest) = complete(&root, id)?
    {
        pipe.record_mut().release = Some(manifest.to_release(&root));
        pipe.say(format_args!("{id} is complete: nothing to resume"));
        return Ok(());
    }
    let staging = reserve(pipe, request, &root)?;
    let mut section = MkSection::default();
    let previous = if request.link_unchanged { previous(pipe, &root)? } else { None };
    let name = staging.name.clone();
    let id = staging.id.clone();
    let built = Build { request, plan, root: &root, staging: &staging, previous }.run(pipe, source, &mut section);
    for path in built.iter().flat_map(|built| &built.leaving.paths) {
        pipe.warn(
            "mk.link_leaves",
            format!("{} leads out of the source: in the release it means another place", shown(path)),
        );
    }
    if built.as_ref().is_ok_and(|built| built.has_git) {
        pipe.warn(
            "mk.git_directory",
            ".git is in the release, with the whole history: --exclude .git leaves it out, --ref builds a revision without it",
        );
    }
    let made = built.and_then(|built| publish(pipe, request, &root, staging, built, &mut section));
    match made {
        Ok(manifest) => {
            section.staging = None;
            section.steps.iter_mut().for_each(|step| step.log = None);
            pipe.set_section(&section);
            pipe.changed();
            pipe.record_mut().release = Some(manifest.to_release(&root));
            let files = record::counted(manifest.files, "file", "files");
            pipe.say(format_args!("{} is made: {files}, {}", manifest.id, size(manifest.bytes)));
            // What is left of the build is a few small files; whatever fails here is the next collection's.
            let _ = trash::delete_small(&root, &name);
            Ok(())
        }
        Err(error) => {
            pipe.set_section(&section);
            if section.staging.is_some() {
                if error.downcast_ref::<Failure>().is_none_or(|failure| failure.code() != "mk.step") {
                    pipe.say(format_args!("the build is kept: {}", how_to_resume(&root, &id)));
                }
                return Err(full(error, &root, true));
            }
            discard(pipe, &root, &name);
            Err(full(error, &root, false))
        }
    }
}

/// The next step after a build that stopped in the middle. The other options are the caller's own and may hold
/// secrets, so they are not repeated.
pub(crate) fn how_to_resume(root: &Root, id: &ReleaseId) -> String {
    format!(
        "release-mk --root {} --resume {id} with the other options as before goes on from here",
        root.path().display()
    )
}

fn reserve(pipe: &Pipe, request: &Request, root: &Root) -> Result<Staging> {
    let lock = root.lock(pipe.wait(), TOOL.name)?;
    if let Some(id) = request.resume.as_ref().or(request.name.as_ref()) {
        staging::refuse_missing(&lock, id, pipe.now())?;
    }
    if let Some(id) = &request.resume {
        return staging::resume(&lock, id, &pipe.record().pipe, TOOL.name);
    }
    let seq = next_seq(&lock)?;
    let id = match &request.name {
        Some(name) => name.clone(),
        None => ReleaseId::default_for(pipe.now(), seq)?,
    };
    refuse_link_name(&id, pipe)?;
    staging::begin(&lock, id, seq, &pipe.record().pipe, TOOL.name)
}

fn refuse_link_name(id: &ReleaseId, pipe: &Pipe) -> Result<()> {
    if *id.as_name() == pipe.link()? {
        return Err(Failure::new(Exit::Usage, "usage", format!("'{id}' is the name of the link"))
            .hint("a release needs another name than the link")
            .into());
    }
    Ok(())
}

fn previous(pipe: &Pipe, root: &Root) -> Result<Option<Previous>> {
    let name = pipe.link()?;
    let live = link::read(root, &name)?.link(root, &name)?.and_then(|link| link.release);
    let Some(id) = live else { return Ok(None) };
    let (Ok(tree), Ok(listings)) = (root.releases().open_dir(&id), root.state().open_dir("tree")) else {
        return Ok(None);
    };
    let open = || listings.open_file(&id, nix::fcntl::OFlag::O_RDONLY, 0);
    let (Ok(listing), Ok(again)) = (open(), open()) else { return Ok(None) };
    let count = manifest::read(root, &id)?.map_or(0, |manifest| manifest.files);
    Previous::new(tree, usize::try_from(count).unwrap_or(0), Half::halves(listing, again)?).map(Some)
}

fn publish(
    pipe: &mut Pipe,
    request: &Request,
    root: &Root,
    staging: Staging,
    built: Built,
    section: &mut MkSection,
) -> Result<Manifest> {
    let manifest = Manifest {
        id: staging.id.clone(),
        seq: staging.seq,
        digest: built.sum.digest,
        files: built.sum.files,
        bytes: built.sum.bytes,
        created_at: clock::rfc3339(pipe.now()),
        source_digest: build::source_digest_of(&built.state, request),
        source: Some(built.state.source),
        shared: share::digests(&request.share, root.path())?,
        pipe: Some(pipe.record().pipe.clone()),
        by: Some(host::user_name()),
        host: Some(host::host_name()),
        tool_version: Some(TOOL.version.to_owned()),
    };
    section.shared = request.share.iter().map(|share| share.path.display().to_string()).collect();
    pipe.begin_effect()?;
    let lock = root.lock(pipe.wait(), TOOL.name)?;
    staging.refuse_taken(&lock)?;
    if let Some(hold) = &request.hold {
        let until = clock::rfc3339(pipe.now() + hold.period);
        // Before the release can be seen, or a collection could take it in between.
        pin(&lock, &manifest, &until, &hold.reason, pipe)?;
        section.pinned_until_at = Some(until);
    }
    staging.publish(&lock, &manifest, LISTING)?;
    Ok(manifest)
}

fn pin(lock: &Lock<'_>, manifest: &Manifest, until: &str, reason: &str, pipe: &Pipe) -> Result<()> {
    let pin = Pin {
        id: manifest.id.clone(),
        until: until.to_owned(),
        owner: host::user_name(),
        reason: reason.to_owned(),
        set_at: clock::rfc3339(pipe.now()),
    };
    pins::set(lock, &pin)
}

/// Takes the build away. What cannot be removed now is a dead build, which the next collection removes.
fn discard(pipe: &Pipe, root: &Root, name: &str) {
    let moved = root.lock(pipe.wait(), TOOL.name).and_then(|lock| {
        let gone = root.state().open_dir("staging")?.stat_if_there(name)?.is_none();
        if gone { Ok(None) } else { trash::move_staging(&lock, name).map(Some) }
    });
    let removed = moved.and_then(|moved| match moved {
        Some(moved) => remove::tree(&trash::open(root)?, OsStr::new(&moved)),
        None => Ok(()),
    });
    if let Err(error) = removed {
        pipe.explain(format_args!("the next collection removes what is left of the build: {error:#}"));
    }
}

/// An error for want of room says so, whatever was written when it came.
fn full(error: anyhow::Error, root: &Root, is_kept: bool) -> anyhow::Error {
    use nix::errno::Errno;
    // The newest failed build is what may be resumed.
    let (left, quota) = if is_kept { ("the build is kept", "") } else { ("nothing of it is left", " --keep-failed 0") };
    match record::errno_of(&error) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => error.context(
            Failure::new(Exit::Failed, "mk.space", format!("no room left while the release was built; {left}"))
                .hint(format!("release-gc -n --root {}{quota} makes room", root.path().display()))
                .retryable(),
        ),
        _ => error,
    }
}
