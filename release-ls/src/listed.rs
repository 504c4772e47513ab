//! What is to be said of each release and build. Pure.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use dir::Name;
use record::clock::parse_rfc3339;
use record::sections::{LsRelease, LsVerdict, PinEntry};
use store::history::{Entry, Kind, takes_back};
use store::link::LinkState;
use store::staging::{Liveness, StagingState};
use store::{History, Inventory, Manifest, PinState, Verdict};

use crate::activations;

/// One root as it is shown.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The releases, newest first.
    pub(crate) releases: Vec<LsRelease>,
    /// Builds, live or left over, newest first.
    pub(crate) builds: Vec<Build>,
    /// What people should know besides.
    pub(crate) remarks: Vec<String>,
}

/// A build as it is shown.
#[derive(Debug)]
pub(crate) struct Build {
    /// The release it would become.
    pub(crate) id: String,
    /// Whether somebody works on it.
    pub(crate) liveness: Liveness,
    /// Since when.
    pub(crate) since: Option<SystemTime>,
    /// Who builds.
    pub(crate) by: Option<String>,
}

/// Lists what `inventory` of the root at `root` holds; marks by `only`, where it is given.
pub(crate) fn list(root: &str, inventory: &Inventory, only: Option<&Name>, now: SystemTime) -> Listed {
    let marks = Marks::of(inventory, only);
    let reasons = newest_reasons(&inventory.history);
    let one = |manifest: &Manifest| release(root, inventory, &marks, &reasons, manifest, now);
    let mut builds: Vec<Build> = inventory.staging.iter().map(build).collect();
    builds.sort_by_key(|build| std::cmp::Reverse(build.since));
    Listed {
        releases: inventory.releases.iter().rev().map(one).collect(),
        builds,
        remarks: remarks(root, inventory, only),
    }
}

/// The links that name a sequence number, those that would go back to it, and whether one did.
struct Marks {
    current: HashMap<u64, Vec<String>>,
    previous: HashMap<u64, Vec<String>>,
    back: HashSet<u64>,
}

impl Marks {
    fn of(inventory: &Inventory, only: Option<&Name>) -> Self {
        let back = activations::gone_back_to(&inventory.history);
        let mut marks = Self { current: HashMap::new(), previous: HashMap::new(), back };
        let links = inventory.links.iter().filter(|link| only.is_none_or(|only| link.name == *only));
        for link in links {
            if let Some(manifest) = inventory.current(&link.name) {
                marks.current.entry(manifest.seq).or_default().push(link.name.to_string());
            }
            if let Some((manifest, _)) = inventory.previous(&link.name) {
                marks.previous.entry(manifest.seq).or_default().push(link.name.to_string());
            }
        }
        marks
    }
}

/// By sequence number what was said last of each release. Why a pipe was taken back is said of the release that it had
/// made live, not of the one that came back.
fn newest_reasons(history: &History) -> HashMap<u64, String> {
    let mut reasons = HashMap::new();
    let mut newest: HashMap<&Name, &Entry> = HashMap::new();
    for entry in history.entries().iter().filter(|entry| !matches!(entry.kind, Kind::Intent | Kind::Abort)) {
        let before = if entry.is_activation() { newest.insert(&entry.link, entry) } else { None };
        let undone = before.filter(|before| takes_back(entry, before));
        let about = undone.map_or(entry.to_seq, |undone| undone.to_seq);
        let said = match (&entry.reason, entry.kind, &entry.by) {
            (Some(reason), ..) => Some(reason.clone()),
            (None, Kind::Bad, Some(by)) => Some(format!("rolled back by {by}")),
            _ => None,
        };
        reasons.extend(about.zip(said));
    }
    reasons
}

fn release(
    root: &str,
    inventory: &Inventory,
    marks: &Marks,
    reasons: &HashMap<u64, String>,
    manifest: &Manifest,
    now: SystemTime,
) -> LsRelease {
    let history = &inventory.history;
    let activated = history.activated(manifest.seq);
    let is_live = inventory.links.iter().any(|link| link.release.as_ref() == Some(&manifest.id));
    LsRelease {
        root: root.to_owned(),
        id: manifest.id.to_string(),
        seq: manifest.seq,
        path: format!("{}/releases/{}", root.trim_end_matches('/'), manifest.id),
        digest: manifest.digest.clone(),
        files: manifest.files,
        size_bytes: manifest.bytes,
        created_at: manifest.created_at.clone(),
        source: manifest.source.clone(),
        verdict: verdict(history.verdict(manifest.seq)),
        current: marks.current.get(&manifest.seq).cloned().unwrap_or_default(),
        previous: marks.previous.get(&manifest.seq).cloned().unwrap_or_default(),
        activated_at: activated.map(|entry| entry.at.clone()),
        stopped_at: history.stopped_at(manifest.seq).filter(|_| !is_live).map(record::clock::rfc3339),
        back: marks.back.contains(&manifest.seq),
        pin: inventory.pins.get(&manifest.id).map(|state| pin(&manifest.id.to_string(), state, now)),
        by: activated.and_then(|entry| entry.by.clone()).or_else(|| manifest.by.clone()),
        reason: reasons.get(&manifest.seq).cloned(),
    }
}

fn pin(id: &str, state: &PinState, now: SystemTime) -> PinEntry {
    let entry = PinEntry { id: id.to_owned(), keeps: state.keeps(now), ..PinEntry::default() };
    match state {
        PinState::Readable(pin) => PinEntry {
            until_at: Some(pin.until.clone()),
            owner: Some(pin.owner.clone()),
            reason: Some(pin.reason.clone()),
            ..entry
        },
        PinState::Unreadable(why) => PinEntry { unreadable: Some(why.clone()), ..entry },
    }
}

pub(crate) fn verdict(verdict: Verdict) -> LsVerdict {
    match verdict {
        Verdict::Good => LsVerdict::Good,
        Verdict::Bad => LsVerdict::Bad,
        Verdict::Done => LsVerdict::Done,
        Verdict::Never => LsVerdict::Never,
    }
}

fn build(state: &StagingState) -> Build {
    Build {
        id: state.id.to_string(),
        liveness: state.liveness,
        since: state.builder.as_ref().and_then(|builder| parse_rfc3339(&builder.since)),
        by: state.builder.as_ref().map(|builder| builder.user.clone()),
    }
}

/// What to say of a link that the history knows and that does not lead to a release now; `standing` is what is there
/// instead, `None` for nothing. Nothing is said of a link that the history knows to be gone while others are there.
pub(crate) fn lost(inventory: &Inventory, link: &Name, standing: Option<&str>) -> Option<String> {
    let history = &inventory.history;
    let was = history.last_live(link)?;
    let is_known_gone = standing.is_none() && history.current(link).is_none() && !inventory.links.is_empty();
    (!is_known_gone).then(|| match standing {
        Some(what) => format!("{link} is {what}, no link; {was} was live"),
        None => format!("the link {link} is missing; {was} was live"),
    })
}

/// Whether a link of ours leads to nothing: one into `releases/`, or one that the history knows.
pub(crate) fn is_dangling(inventory: &Inventory, link: &LinkState) -> bool {
    let is_ours = || link.release.is_some() || inventory.history.newest(&link.name).is_some();
    link.problem.as_deref() == Some("leads to nothing") && is_ours()
}

/// What to say of a link that leads to nothing, and how it gets back to a release.
pub(crate) fn dangling(inventory: &Inventory, link: &LinkState) -> String {
    let option = if link.name.as_str() == "current" { String::new() } else { format!(" --link {}", link.name) };
    let next = match inventory.previous(&link.name).map(|(to, _)| &to.id) {
        Some(id) => {
            format!("release-switch --rollback{option} goes back to {id}, release-switch --to ID{option} to another")
        }
        None if inventory.releases.is_empty() => "there is no release; release-mk makes one".to_owned(),
        None => format!("release-switch --to ID{option} leads it to a release that is there"),
    };
    format!("link {} -> {} leads to nothing: {next}", link.name, link.target.display())
}

/// What to say where a release of ours is live and no line tells since when.
pub(crate) fn without_history(inventory: &Inventory) -> Option<String> {
    let is_live = |link: &&LinkState| link.release.as_ref().is_some_and(|id| inventory.release(id).is_some());
    let live = inventory.links.iter().find(is_live).filter(|_| inventory.history.entries().is_empty())?;
    Some(format!("there is no history: what was live before {} names what it does is not known", live.name))
}

fn remarks(root: &str, inventory: &Inventory, only: Option<&Name>) -> Vec<String> {
    let mut remarks = Vec::new();
    let ids: HashSet<_> = inventory.releases.iter().map(|manifest| &manifest.id).collect();
    for link in inventory.links.iter().filter(|link| only.is_none_or(|only| link.name == *only)) {
        let known = inventory.history.newest(&link.name).is_some();
        let target = link.target.display();
        match (&link.problem, &link.release) {
            _ if is_dangling(inventory, link) => remarks.push(dangling(inventory, link)),
            (Some(problem), None) if known => remarks.push(format!("link {} -> {target} {problem}", link.name)),
            (None, Some(id)) if !ids.contains(id) => {
                remarks.push(format!("link {} names {id}, which is no release of ours", link.name));
            }
            _ => {}
        }
    }
    remarks.extend(without_history(inventory));
    for stranger in inventory.strangers.iter().take(5) {
        let name = stranger.name.to_string_lossy();
        remarks.push(format!("releases/{name} is a stranger: {}; it is left alone", stranger.why));
    }
    if inventory.strangers.len() > 5 {
        remarks.push(format!("and {} more strangers in releases/", inventory.strangers.len() - 5));
    }
    if !inventory.trash.is_empty() {
        let waiting = inventory.trash.len();
        remarks.push(format!("{waiting} in trash, to be deleted by the next release-gc"));
    }
    if let Some(run) = inventory.run.as_ref().filter(|run| run.held) {
        let release = run.release.as_ref().map_or("a release", |release| release.id.as_str());
        remarks.push(format!("the pipe of {release} is held and waits for svc-restart --promote or --abort"));
    }
    remarks.extend(
        inventory
            .problems
            .iter()
            .map(|problem| format!("{root}: {problem}; nothing is collected until that is mended")),
    );
    remarks
}

#[cfg(test)]
mod tests;
