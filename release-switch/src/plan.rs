//! Which release a link is to name next; reads and changes nothing.
//!
//! What may be rolled back to is decided by the history, never by age or name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use dir::Name;
use record::{Exit, Failure};
use store::history::{Entry, Kind};
use store::link::{LinkState, Target};
use store::{History, ReleaseId, Verdict};

/// All that a choice depends on.
pub(crate) struct Situation<'s> {
    /// The root's path, for the next step that a refusal names.
    pub(crate) root: &'s Path,
    /// The link's name.
    pub(crate) link: &'s Name,
    /// What it says; `None` before the first switch.
    pub(crate) now: Option<&'s LinkState>,
    /// What it said before.
    pub(crate) history: &'s History,
    /// Whether a release is there, with the manifest of this sequence number.
    pub(crate) present: &'s dyn Fn(&ReleaseId, u64) -> bool,
}

/// The release that is asked for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// This one.
    Named {
        /// Its id; known to be complete.
        id: ReleaseId,
        /// What is known of it.
        verdict: Verdict,
        /// The file in it that the link shall name (`--link-path`), relative to the release.
        file: Option<PathBuf>,
    },
    /// The one to go back to.
    Previous,
}

/// What to do to the link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The release it names now.
    pub(crate) from: Option<ReleaseId>,
    /// What it shall name.
    pub(crate) to: Target,
    /// Whether there is anything to do.
    pub(crate) changed: bool,
    /// The release that is marked bad because it was explicitly left.
    pub(crate) condemned: Option<ReleaseId>,
    /// Whether the release to switch to is known to be bad.
    pub(crate) to_bad: bool,
    /// What a rollback would have taken before it, and what is not whole any more.
    pub(crate) passed_over: Vec<ReleaseId>,
    /// Whether a rollback goes back to what somebody has just left by changing the link himself.
    pub(crate) left_by_hand: bool,
}

/// Chooses. `expected` is what the link must name for anything to happen.
pub(crate) fn plan(situation: &Situation, wish: &Wish, expected: Option<&ReleaseId>) -> Result<Plan, Failure> {
    let link = situation.link;
    if let Some(now) = situation.now.filter(|now| now.release.is_none()) {
        let target = now.target.display();
        let message = format!("{link} leads to {target}, which is no release of this root: it stays as it is");
        return Err(Failure::new(Exit::Unsafe, "link.outside", message)
            .hint(format!("remove the link {link} yourself if nobody needs it, or name another one with --link")));
    }
    let now = live(situation);
    if let Some(expected) = expected.filter(|expected| now != Some(expected)) {
        let is = now.map_or_else(|| "is not there yet".to_owned(), |id| format!("names {id}"));
        let message = format!("{link} {is}, not {expected} as expected; nothing was changed");
        return Err(Failure::new(Exit::Failed, "switch.expected", message).hint(format!(
            "somebody else switched: look at release-ls --history {}, then decide again",
            situation.root.display()
        )));
    }
    match wish {
        Wish::Named { id, verdict, file } => {
            let to = named_target(situation, id, file.as_ref())?;
            Ok(planned(situation, to, None, *verdict == Verdict::Bad))
        }
        Wish::Previous => {
            let (to, passed_over) = previous(situation).ok_or_else(|| nothing_before(situation))?;
            let newest = situation.history.newest(link).filter(|newest| newest.kind == Kind::Found);
            let left_by_hand = newest.is_some_and(|newest| newest.from.as_ref() == Some(&to.release));
            Ok(Plan { passed_over, left_by_hand, ..planned(situation, to, now.cloned(), false) })
        }
    }
}

fn live<'s>(situation: &'s Situation) -> Option<&'s ReleaseId> {
    situation.now.and_then(|now| now.release.as_ref())
}

/// Where the history says to go back to, with the file that the link named then, and what it would have said if that were
/// still whole.
fn previous(situation: &Situation) -> Option<(Target, Vec<ReleaseId>)> {
    let now = live(situation)?;
    let passed_over = RefCell::new(Vec::new());
    let present = |id: &ReleaseId, seq: u64| {
        let is_present = id != now && (situation.present)(id, seq);
        let mut passed_over = passed_over.borrow_mut();
        if !is_present && id != now && !passed_over.contains(id) {
            passed_over.push(id.clone());
        }
        is_present
    };
    let to = target_of(situation.history.previous(situation.link, present)?)?;
    Some((to, passed_over.into_inner()))
}

fn nothing_before(situation: &Situation) -> Failure {
    let (root, link) = (situation.root.display(), situation.link);
    let why = match live(situation) {
        None => match situation.history.last_live(link) {
            Some(was) => format!("{link} is missing, so there is nothing to roll back from; {was} was live"),
            None => format!("{link} is not there yet: nothing to roll back"),
        },
        Some(now) => {
            let others: BTreeMap<u64, &ReleaseId> = situation
                .history
                .activations(link)
                .filter_map(|entry| Some((entry.to_seq?, entry.to.as_ref()?)))
                .filter(|(_, id)| *id != now)
                .collect();
            let bad = others.iter().filter(|(seq, id)| (situation.present)(id, **seq)).count();
            let why = match (bad, others.len() - bad) {
                (0, 0) => match situation.history.activations(link).next().filter(|first| first.kind == Kind::Found) {
                    Some(first) => {
                        format!("the history begins at {}, what was live there before is not known", first.at)
                    }
                    None => "no other release was live there before".to_owned(),
                },
                (bad, 0) => format!("what was live there before is bad or was taken back ({bad})"),
                (bad, gone) => {
                    format!("of what was live there before {bad} are bad or were taken back and {gone} are gone")
                }
            };
            format!("nothing to roll {link} back to from {now}: {why}; nothing was changed")
        }
    };
    Failure::new(Exit::NoCandidate, "switch.no_candidate", why).hint(format!(
        "release-ls {root} shows the releases; release-switch --root {root} --to ID takes one of them, a bad one too"
    ))
}

/// What the link shall say for a release: its directory, or the one file in it that was asked for or was named before.
fn named_target(situation: &Situation, id: &ReleaseId, file: Option<&PathBuf>) -> Result<Target, Failure> {
    if let Some(file) = file {
        return Ok(Target { release: id.clone(), inside: Some(file.clone()) });
    }
    let mut before = situation.history.activations(situation.link).rev().filter(|entry| entry.to.as_ref() == Some(id));
    if let Some(target) = before.find_map(target_of) {
        return Ok(target);
    }
    match situation.now.and_then(|now| now.inside.as_ref()) {
        None => Ok(Target::release(id.clone())),
        Some(file) => {
            let file = file.display();
            let message =
                format!("{} names a file in its release ({file}); which file of {id} shall it name?", situation.link);
            Err(Failure::new(Exit::Usage, "switch.link_path", message)
                .hint("say it with --link-path, as in --link-path 'target/*.jar'"))
        }
    }
}

fn planned(situation: &Situation, to: Target, condemned: Option<ReleaseId>, to_bad: bool) -> Plan {
    // An absolute link to the same release is as good as ours: replacing it would only look like a switch.
    let same = situation.now.is_some_and(|now| now.release.as_ref() == Some(&to.release) && now.inside == to.inside);
    Plan {
        from: live(situation).cloned(),
        to,
        changed: !same,
        condemned,
        to_bad,
        passed_over: Vec::new(),
        left_by_hand: false,
    }
}

/// What a line of the history says that the link named, in our own form.
pub(crate) fn target_of(entry: &Entry) -> Option<Target> {
    let id = entry.to.as_ref()?;
    let text = entry.target.as_deref().unwrap_or_default();
    let inside = text.split_once(&format!("releases/{id}/")).map(|(_, inside)| inside.trim_matches('/'));
    let inside = inside.filter(|inside| !inside.is_empty()).map(PathBuf::from);
    // A line that somebody edited must not lead the link out of the release.
    let is_plain = |path: &PathBuf| path.components().all(|part| matches!(part, Component::Normal(_)));
    if !inside.as_ref().is_none_or(is_plain) {
        return None;
    }
    Some(Target { release: id.clone(), inside })
}

#[cfg(test)]
mod tests;
