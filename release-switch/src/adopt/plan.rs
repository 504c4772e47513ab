//! What taking over another tool's layout means; reads and changes nothing.

use std::cmp::Ordering;
use std::time::{Duration, SystemTime};

use store::ReleaseId;

use super::logs::{Logged, What};

/// What was found under the root.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Whose it is.
    pub(crate) owner: Option<Owner>,
    /// The directories in `releases/` with a legal name.
    pub(crate) releases: Vec<Directory>,
    /// Everything else there.
    pub(crate) strangers: Vec<String>,
    /// The deploy log, oldest line first.
    pub(crate) log: Vec<Logged>,
    /// The release that the link names.
    pub(crate) live: Option<ReleaseId>,
}

/// Whose layout it is; without any log it is nobody's in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// `revisions.log`.
    Capistrano,
    /// `.dep/`.
    Deployer,
    /// `RELEASES.txt` or `KEEP_UNTIL__` files.
    Commcare,
}

impl Owner {
    /// The name as records say it.
    pub(crate) fn name(owner: Option<Self>) -> &'static str {
        match owner {
            Some(Self::Capistrano) => "capistrano",
            Some(Self::Deployer) => "deployer",
            Some(Self::Commcare) => "commcare",
            None => "plain",
        }
    }
}

/// One directory in `releases/`.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// Its name.
    pub(crate) id: ReleaseId,
    /// When the directory was last changed.
    pub(crate) modified: SystemTime,
    /// What its `REVISION` file says.
    pub(crate) revision: Option<String>,
    /// Whether the other tool marked it as bad (`BAD_RELEASE`).
    pub(crate) bad: bool,
    /// The dates of its `KEEP_UNTIL__` files; `Err` where one does not read.
    pub(crate) keep_until: Vec<Result<SystemTime, String>>,
    /// Whether it has a manifest of ours already.
    pub(crate) ours: bool,
}

/// What to write.
#[derive(Debug, Default)]
pub(crate) struct Adoption {
    /// Releases that get a manifest, oldest first: their sequence numbers follow this order.
    pub(crate) releases: Vec<Adopted>,
    /// Lines for the history, oldest first.
    pub(crate) events: Vec<Event>,
    /// Releases to keep, until when and why.
    pub(crate) pins: Vec<(ReleaseId, SystemTime, String)>,
    /// What a person should look at.
    pub(crate) warnings: Vec<String>,
}

/// A release that gets a manifest.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// Its name.
    pub(crate) id: ReleaseId,
    /// When it was made, as well as that is known.
    pub(crate) created_at: SystemTime,
    /// The branch or tag.
    pub(crate) reference: Option<String>,
    /// The commit.
    pub(crate) revision: Option<String>,
    /// Who made it.
    pub(crate) by: Option<String>,
}

/// One line for the history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) kind: EventKind,
    /// To which release.
    pub(crate) id: ReleaseId,
    /// When, where the log says so.
    pub(crate) at: Option<SystemTime>,
    /// Who did it.
    pub(crate) by: Option<String>,
}

/// What happened to a release before we came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// The link named it.
    Live,
    /// Its deploy came through.
    Good,
    /// It was left by a rollback, or marked.
    Bad,
}

/// Decides. `known` says that the history knows the link already: then only manifests and pins are missing.
pub(crate) fn plan(layout: &Layout, known: bool, now: SystemTime) -> Adoption {
    let mut adoption = Adoption { events: if known { Vec::new() } else { events(layout) }, ..Adoption::default() };
    let mut directories: Vec<&Directory> = layout.releases.iter().filter(|release| !release.ours).collect();
    directories.sort_by(|a, b| in_order(layout, a, b));
    for release in directories {
        let logged =
            layout.log.iter().rev().find(|line| line.release == release.id.as_str() && line.what != What::RolledBackTo);
        adoption.releases.push(Adopted {
            id: release.id.clone(),
            created_at: created(layout, release).min(now),
            reference: logged.and_then(|line| line.reference.clone()),
            revision: release.revision.clone().or_else(|| logged.and_then(|line| line.revision.clone())),
            by: logged.and_then(|line| line.by.clone()),
        });
        if let Some((until, reason, doubt)) = pin(release, now) {
            adoption.pins.push((release.id.clone(), until, reason));
            adoption.warnings.extend(doubt);
        }
    }
    adoption
}

/// The order of releases: by the time that is known of them, then numbers as numbers, then names.
fn in_order(layout: &Layout, a: &Directory, b: &Directory) -> Ordering {
    let number = |release: &Directory| release.id.as_str().parse::<u64>().ok();
    match (layout.owner, number(a), number(b)) {
        (Some(Owner::Deployer), Some(a), Some(b)) => a.cmp(&b),
        _ => (created(layout, a), a.id.as_str()).cmp(&(created(layout, b), b.id.as_str())),
    }
}

fn created(layout: &Layout, release: &Directory) -> SystemTime {
    let logged = layout.log.iter().find(|line| line.release == release.id.as_str() && line.what != What::RolledBackTo);
    super::logs::time_of_name(release.id.as_str())
        .or_else(|| logged.and_then(|line| line.at))
        .unwrap_or(release.modified)
}

/// The activations that the log tells of, of releases that are still there; what is live comes last.
fn events(layout: &Layout) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut live: Option<&ReleaseId> = None;
    for line in &layout.log {
        let directory = layout.releases.iter().find(|release| release.id.as_str() == line.release);
        if line.what == What::RolledBackTo
            && let Some(left) = live
        {
            events.push(Event { kind: EventKind::Bad, id: left.clone(), at: line.at, by: line.by.clone() });
        }
        let Some(directory) = directory else {
            live = None;
            continue;
        };
        // Deployer notes a release when it begins; what is newer than the live one never got there.
        if line.what == What::Begun && (directory.bad || is_newer_than_live(layout, directory)) {
            continue;
        }
        live = Some(&directory.id);
        let event = |kind| Event { kind, id: directory.id.clone(), at: line.at, by: line.by.clone() };
        let told = events.iter().rev().find(|event| event.kind == EventKind::Live);
        // What was live in between is gone, and so is not told of.
        if told.is_none_or(|told| told.id != directory.id) {
            events.push(event(EventKind::Live));
        }
        if line.what == What::Deployed {
            events.push(event(EventKind::Good));
        }
    }
    for release in layout.releases.iter().filter(|release| release.bad) {
        events.push(Event { kind: EventKind::Bad, id: release.id.clone(), at: None, by: None });
    }
    if let Some(now) = &layout.live
        && live != Some(now)
    {
        events.push(Event { kind: EventKind::Live, id: now.clone(), at: None, by: None });
    }
    events
}

fn is_newer_than_live(layout: &Layout, release: &Directory) -> bool {
    let live = layout.live.as_ref().and_then(|id| layout.releases.iter().find(|other| other.id == *id));
    live.is_some_and(|live| in_order(layout, release, live) == Ordering::Greater)
}

/// How long `KEEP_UNTIL__` files keep a release; one that does not read keeps it until a person says otherwise.
fn pin(release: &Directory, now: SystemTime) -> Option<(SystemTime, String, Option<String>)> {
    if let Some(Err(name)) = release.keep_until.iter().find(|until| until.is_err()) {
        let forever = now + Duration::from_secs(100 * 365 * 86_400);
        let doubt = format!("the date in {}/{name} does not read: kept until release-pin says otherwise", release.id);
        return Some((forever, format!("{name} does not read"), Some(doubt)));
    }
    let until = release.keep_until.iter().filter_map(|until| until.as_ref().ok()).max().copied()?;
    (until > now).then(|| (until, "KEEP_UNTIL__ file".to_owned(), None))
}

#[cfg(test)]
mod tests;
