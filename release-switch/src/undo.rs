//! `--undo` behind a failed record: takes back what this pipe switched, and nothing else.

use std::collections::BTreeSet;

use anyhow::Context;
use dir::{Kind, Name};
use record::sections::{SwitchLink, SwitchOutcome, SwitchSection};
use record::{Blame, Exit, Failure, Pipe, RootDir};
use store::link::Target;
use store::{History, Lock, Manifest, ReleaseId, Root, Verdict, history, link};

use crate::apply::{self, Author, Papers};
use crate::back::{Back, back, links_of};
use crate::read;

/// What is to be done to each link, and which release is to be marked bad.
struct Task {
    links: Vec<(Name, Back)>,
    condemned: Option<Manifest>,
}

/// Puts the links back that this pipe switched, and marks the release bad when its own answer was no. The error and
/// the exit status of the record stay; done twice is done once.
pub(crate) fn undo(pipe: &mut Pipe, reason: Option<&str>) -> anyhow::Result<()> {
    let Some(path) = pipe.root_path_if_any()? else { return Ok(()) };
    let allow = pipe.options().allow_network_fs;
    let root = match Root::open(&path, allow) {
        // The pipe failed before there was anything to switch.
        Err(e) if is_no_root(&e) => return Ok(()),
        opened => opened?,
    };
    pipe.enter(RootDir::open(&path, allow)?);
    if pipe.dry_run() {
        let task = task(pipe, &root, &History::read(&root)?)?;
        list(pipe, &root, &task);
        return Ok(());
    }
    pipe.take_deploy_lock()?;
    let lock = root.lock(pipe.wait(), "release-switch")?;
    let task = task(pipe, &root, &lock.history())?;
    if task.links.is_empty() && task.condemned.is_none() {
        return Ok(());
    }
    let mut told = section(&root, &task);
    let planned = std::mem::take(&mut told.links);
    told.links = planned.iter().map(not_yet).collect();
    told.to = told.links.first().and_then(|link| link.to.clone());
    told.marked_bad = None;
    pipe.set_section(&told);
    let because = pipe.record().error.as_ref().map(|error| format!("undo: {}", error.code));
    let author = Author::of(pipe, reason.map(str::to_owned).or(because));
    if task.condemned.is_some() || task.links.iter().any(|(_, back)| matches!(back, Back::Restore { .. })) {
        pipe.begin_effect()?;
    }
    for (at, (name, back)) in task.links.iter().enumerate() {
        let restored = restore(pipe, &lock, &author, name, back);
        if restored.as_ref().err().is_none_or(apply::is_done) {
            told.links[at].clone_from(&planned[at]);
            told.to = told.links.first().and_then(|link| link.to.clone());
            pipe.set_section(&told);
        }
        restored?;
    }
    if let Some(manifest) = &task.condemned {
        let about = task.links.first().map_or_else(|| pipe.link(), |(name, _)| Ok(name.clone()))?;
        history::bad(&lock, author.verdict(&about, manifest))?;
        told.marked_bad = Some(manifest.id.to_string());
        pipe.set_section(&told);
        pipe.say(format!("{} is marked bad", manifest.id));
    }
    drop(lock);
    if !task.links.is_empty() {
        let own: Vec<usize> = pipe.to_take_back();
        pipe.took_back(own);
    }
    warn_of_configuration(pipe, &root, &task);
    Ok(())
}

/// Whether the error says that there is no root yet.
pub(crate) fn is_no_root(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Failure>())
        .any(|failure| matches!(failure.code(), "root.missing" | "root.empty"))
}

fn task(pipe: &Pipe, root: &Root, history: &History) -> anyhow::Result<Task> {
    let id = pipe.record().pipe.as_str();
    let wanted = pipe.options().link.as_ref();
    let mut links = Vec::new();
    for name in links_of(history, id).into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name)) {
        let now = link::read(root, name)?.link(root, name)?;
        links.extend(back(history, name, now.as_ref(), id).map(|back| (name.clone(), back)));
    }
    let overtaken = links.iter().any(|(_, back)| matches!(back, Back::Superseded { .. }));
    let condemned = if overtaken { None } else { condemned(pipe, root, history, !links.is_empty())? };
    Ok(Task { links, condemned })
}

/// The record's release, if its own answer was no. One that came through before is not condemned by a pipe that did
/// not switch to it.
fn condemned(pipe: &Pipe, root: &Root, history: &History, switched: bool) -> anyhow::Result<Option<Manifest>> {
    let record = pipe.record();
    if record.error.as_ref().and_then(|error| error.blame) != Some(Blame::Release) {
        return Ok(None);
    }
    let Some(id) = record.release.as_ref().and_then(|release| ReleaseId::new(release.id.as_str()).ok()) else {
        return Ok(None);
    };
    // The link goes back even from a release whose manifest cannot be read.
    let Ok(Some(manifest)) = read::whole(root, &id) else { return Ok(None) };
    Ok(match history.verdict(manifest.seq) {
        Verdict::Bad => None,
        Verdict::Good if !switched => None,
        Verdict::Good | Verdict::Done | Verdict::Never => Some(manifest),
    })
}

fn restore(pipe: &mut Pipe, lock: &Lock<'_>, author: &Author, name: &Name, back: &Back) -> anyhow::Result<()> {
    match back {
        Back::Restore { from, to, to_seq } => {
            let papers = papers(lock, to, *to_seq)?.with_context(|| {
                let message = format!("{name} cannot go back to {}: it is not there any more", to.release);
                Failure::new(Exit::UndoFailed, "switch.no_release", message)
                    .hint("release-ls shows what is there; release-switch --to ID takes one")
            })?;
            let replaced = apply::replace(lock, author, name, Some(from.clone()), &papers, to);
            if replaced.as_ref().err().is_none_or(apply::is_done) {
                pipe.changed();
            }
            replaced?;
            pipe.say(format!("{name} is back: {from} -> {}", to.release));
        }
        Back::Restored { to } => pipe.explain(format!("{name} names {to} again already")),
        Back::Stays { at } => {
            pipe.say(format!("{name} stays at {at}: there was no release before, and a link never disappears"));
        }
        Back::Superseded { at, by, since } => {
            let at = at.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            let who = by.as_ref().map_or_else(|| "by hand".to_owned(), |pipe| format!("by the pipe {pipe}"));
            pipe.warn("superseded", format!("{name} was switched to {at} {who} at {since}: nothing is taken back"));
        }
    }
    Ok(())
}

/// The papers of what a link goes back to; `None` when that is not there any more. A tree of another tool has none, but
/// it was live before this pipe, so it is good enough to go back to.
fn papers(root: &Root, to: &Target, seq: Option<u64>) -> anyhow::Result<Option<Papers>> {
    let Some(seq) = seq else {
        let is_there = root.releases().stat_if_there(&to.release)?.is_some_and(|stat| stat.kind() == Kind::Directory);
        return Ok(is_there.then(Papers::default));
    };
    Ok(read::whole(root, &to.release)?.filter(|manifest| manifest.seq == seq).map(|manifest| Papers::of(&manifest)))
}

fn section(root: &Root, task: &Task) -> SwitchSection {
    let path = |name: &Name| root.path().join(name).display().to_string();
    let links: Vec<SwitchLink> = task.links.iter().map(|(name, back)| outcome(path(name), back)).collect();
    let first = links.first().cloned().unwrap_or_default();
    SwitchSection {
        link: links.first().map(|link| link.link.clone()),
        from: first.from,
        to: first.to,
        superseded: links.iter().any(|link| link.outcome == SwitchOutcome::Superseded),
        marked_bad: task.condemned.as_ref().map(|manifest| manifest.id.to_string()),
        links,
        ..SwitchSection::default()
    }
}

/// What is true of a link that is to be put back as long as it was not.
fn not_yet(planned: &SwitchLink) -> SwitchLink {
    match planned.outcome {
        SwitchOutcome::Restored => {
            SwitchLink { outcome: SwitchOutcome::NotRestored, to: planned.from.clone(), ..planned.clone() }
        }
        _ => planned.clone(),
    }
}

fn outcome(link: String, back: &Back) -> SwitchLink {
    let plain = SwitchLink { link, ..SwitchLink::default() };
    match back {
        Back::Restore { from, to, .. } => {
            SwitchLink { from: Some(from.to_string()), to: Some(to.release.to_string()), ..plain }
        }
        Back::Restored { to } => {
            SwitchLink { outcome: SwitchOutcome::AlreadyRestored, to: Some(to.to_string()), ..plain }
        }
        Back::Stays { at } => {
            SwitchLink { outcome: SwitchOutcome::Stays, from: Some(at.to_string()), to: Some(at.to_string()), ..plain }
        }
        Back::Superseded { at, by, since } => SwitchLink {
            outcome: SwitchOutcome::Superseded,
            to: at.as_ref().map(ToString::to_string),
            superseded_by: by.clone(),
            superseded_at: Some(since.clone()),
            ..plain
        },
    }
}

/// A dry run's plan.
fn list(pipe: &mut Pipe, root: &Root, task: &Task) {
    pipe.set_section(&section(root, task));
    for (name, back) in &task.links {
        if let Back::Restore { from, to, .. } = back {
            let path = root.path().join(name).display().to_string();
            pipe.say(format!("would switch {name} back from {from} to {}", to.release));
            pipe.plan("switch back", path, Some(format!("from {from} to {}", to.release)));
            pipe.changed();
        }
    }
    if let Some(manifest) = &task.condemned {
        pipe.plan("mark bad", manifest.id.to_string(), None);
    }
    warn_of_configuration(pipe, root, task);
}

/// What people should know of the releases that are live again.
fn warn_of_configuration(pipe: &mut Pipe, root: &Root, task: &Task) {
    let releases = task.links.iter().filter_map(|(_, back)| match back {
        Back::Restore { to, .. } => Some(&to.release),
        _ => None,
    });
    for release in releases.collect::<BTreeSet<_>>() {
        read::warn_of_configuration(pipe, root, release);
    }
}
