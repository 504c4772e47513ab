//! Good: a release whose pipe came through. Writes only to the history.

use anyhow::{Context, bail};
use dir::Name;
use record::sections::SwitchSection;
use record::{Exit, Failure, Pipe, RootDir};
use store::{History, Manifest, ReleaseId, Root, Verdict, history, link};

use crate::apply::Author;
use crate::{read, undo};

/// `--undo` behind a good record: the pipe came through, so its release is good. Done twice is done once; what goes
/// wrong is a warning, for the deploy itself is done.
pub(crate) fn came_through(pipe: &mut Pipe, reason: Option<&str>) -> anyhow::Result<()> {
    if !pipe.has_input() {
        bail!(
            Failure::new(Exit::Usage, "usage", "--undo takes a pipe back, so it needs the record of one on stdin")
                .hint("release-switch --rollback goes back to the release before")
        );
    }
    if pipe.record().root.is_none() || pipe.record().release.is_none() {
        return Ok(());
    }
    match mark(pipe, reason) {
        Ok(_) => Ok(()),
        // A dry run of the first deploy: the root is yet to be made.
        Err(error) if pipe.dry_run() && undo::is_no_root(&error) => Ok(()),
        Err(error) => {
            pipe.warn("switch.not_marked", format!("the release is not marked good: {error:#}"));
            Ok(())
        }
    }
}

/// `--good`: the same where the pipe's author wants it; without a record it is about the release that is live.
pub(crate) fn good(pipe: &mut Pipe, reason: Option<&str>) -> anyhow::Result<()> {
    match mark(pipe, reason)? {
        Some(id) => {
            pipe.say(format!("{id} is marked good"));
            pipe.changed();
        }
        None => pipe.say("nothing to mark good: it is so already, or somebody else switched since"),
    }
    Ok(())
}

/// Writes `good` for the release that this pipe made live, unless it is good already or somebody else switched since.
fn mark(pipe: &mut Pipe, reason: Option<&str>) -> anyhow::Result<Option<ReleaseId>> {
    let (path, allow) = (pipe.root_path()?, pipe.options().allow_network_fs);
    let root = Root::open(&path, allow)?;
    let link = pipe.link()?;
    pipe.enter(RootDir::open(&path, allow)?);
    if pipe.dry_run() {
        if let Some(manifest) = to_mark(pipe, &root, &History::read(&root)?, &link)? {
            pipe.plan("mark good", manifest.id.to_string(), None);
        }
        return Ok(None);
    }
    let lock = root.lock(pipe.wait(), "release-switch")?;
    let chosen = to_mark(pipe, &root, &lock.history(), &link)?;
    let Some(manifest) = chosen else { return Ok(None) };
    let author = Author::of(pipe, reason.map(str::to_owned));
    history::good(&lock, author.verdict(&link, &manifest))?;
    pipe.set_section(&SwitchSection {
        link: Some(root.path().join(&link).display().to_string()),
        marked_good: Some(manifest.id.to_string()),
        ..SwitchSection::default()
    });
    Ok(Some(manifest.id))
}

fn to_mark(pipe: &Pipe, root: &Root, history: &History, link: &Name) -> anyhow::Result<Option<Manifest>> {
    let Some(live) = link::read(root, link)?.link(root, link)?.and_then(|state| state.release) else {
        if pipe.has_input() {
            return Ok(None);
        }
        bail!(Failure::new(Exit::NoCandidate, "switch.no_release", format!("{link} names no release")));
    };
    let asked = pipe.record().release.as_ref().map(|release| release.id.as_str());
    if asked.is_some_and(|asked| asked != live.as_str()) {
        return Ok(None);
    }
    // Another pipe may have made the same release live again, after this one: then it is its to judge.
    let newest = history.newest(link).and_then(|entry| entry.pipe.as_deref());
    let switched = history.activations(link).any(|entry| entry.pipe.as_deref() == Some(pipe.record().pipe.as_str()));
    if switched && newest != Some(pipe.record().pipe.as_str()) {
        return Ok(None);
    }
    let manifest = read::whole(root, &live)?.with_context(|| format!("{live} is not whole"))?;
    Ok((history.verdict(manifest.seq) != Verdict::Good).then_some(manifest))
}
