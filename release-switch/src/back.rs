//! What taking a failed pipe back means for one link; reads and changes nothing.
//!
//! The history decides, not the record: a stage that was killed right after its switch left no entry in
//! the record, but its line in the history.

use dir::Name;
use store::history::{Entry, Kind};
use store::link::{LinkState, Target};
use store::{History, ReleaseId};

use crate::plan::target_of;

/// What is left to do to one link that this pipe switched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// Put the link back.
    Restore {
        /// What this pipe made it name.
        from: ReleaseId,
        /// What it named before.
        to: Target,
        /// The sequence number of that release, where the history has it.
        to_seq: Option<u64>,
    },
    /// It names again what it named before this pipe.
    Restored {
        /// That release.
        to: ReleaseId,
    },
    /// There was no release before: the link stays, since a link never disappears.
    Stays {
        /// What this pipe made it name.
        at: ReleaseId,
    },
    /// Somebody else switched since: nothing is touched.
    Superseded {
        /// What the link names by now.
        at: Option<ReleaseId>,
        /// The pipe that did it, unless it was done by hand.
        by: Option<String>,
        /// When.
        since: String,
    },
}

/// The links that `pipe` switched, the last one first.
pub(crate) fn links_of<'h>(history: &'h History, pipe: &str) -> Vec<&'h Name> {
    let mut links = Vec::new();
    for entry in history.entries().iter().rev().filter(|entry| is_of(entry, pipe)) {
        if !links.contains(&&entry.link) {
            links.push(&entry.link);
        }
    }
    links
}

/// What to do to `link`, which `pipe` switched and which is `now`.
pub(crate) fn back(history: &History, link: &Name, now: Option<&LinkState>, pipe: &str) -> Option<Back> {
    let regardless = dir::planted("undo-despite-superseded");
    let mut newest_first = history.activations(link).rev().skip_while(|entry| regardless && !is_of(entry, pipe));
    let newest = newest_first.next()?;
    if !is_of(newest, pipe) {
        return Some(Back::Superseded { at: newest.to.clone(), by: newest.pipe.clone(), since: newest.at.clone() });
    }
    // Under the lock, the link is what the newest line says; without it (a dry run) it may have been changed by hand.
    let now = now.and_then(|now| now.release.as_ref());
    if now != newest.to.as_ref() && !regardless {
        return Some(Back::Superseded { at: now.cloned(), by: None, since: newest.at.clone() });
    }
    // The pipe's own lines, its undo included, down to the one that was there before.
    let (mut first, mut before) = (newest, None);
    for entry in newest_first {
        if !is_of(entry, pipe) {
            before = Some(entry);
            break;
        }
        first = entry;
    }
    let at = newest.to.clone()?;
    let Some(to) = first.from.clone() else { return Some(Back::Stays { at }) };
    if to == at {
        return Some(Back::Restored { to });
    }
    let before = before.filter(|entry| entry.to.as_ref() == Some(&to));
    let target = before.and_then(target_of).unwrap_or_else(|| Target::release(to.clone()));
    Some(Back::Restore { from: at, to: target, to_seq: before.and_then(|entry| entry.to_seq) })
}

fn is_of(entry: &Entry, pipe: &str) -> bool {
    entry.kind == Kind::Done && entry.pipe.as_deref() == Some(pipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Name {
        Name::new("current").expect("legal")
    }

    fn names(release: &str) -> LinkState {
        let to = Target::release(release.parse().expect("legal"));
        LinkState { name: link(), target: to.text(), release: Some(to.release), inside: None, problem: None }
    }

    /// `"p:-a q:ab"`: pipe p made the first switch, to a, then pipe q one from a to b; `?` is nobody's pipe.
    fn history(past: &str) -> History {
        History::of(past.split_whitespace().enumerate().map(|(at, word)| {
            let (pipe, ends) = word.split_once(':').expect("pipe:from-to");
            let kind = if pipe == "?" { "found" } else { "done" };
            let mut line = serde_json::json!({"seq": at + 1, "at": "2026-11-21T07:10:00Z", "link": "current", "kind": kind,
                "to": &ends[1..2], "to_seq": u64::from(ends.as_bytes()[1]), "target": format!("releases/{}", &ends[1..2])});
            if pipe != "?" {
                line["pipe"] = pipe.into();
            }
            if !ends.starts_with('-') {
                line["from"] = ends[..1].into();
            }
            serde_json::from_value(line).expect("an entry")
        }))
    }

    fn of(past: &str, pipe: &str) -> String {
        let history = history(past);
        let links = links_of(&history, pipe);
        let Some(link) = links.first() else { return "nothing".into() };
        let last = past.chars().last().expect("not empty").to_string();
        match back(&history, link, Some(&names(&last)), pipe) {
            None => "nothing".into(),
            Some(Back::Restore { from, to, .. }) => format!("{from}->{}", to.release),
            Some(Back::Restored { to }) => format!("is {to}"),
            Some(Back::Stays { at }) => format!("stays {at}"),
            Some(Back::Superseded { at, by, .. }) => {
                format!(
                    "superseded by {} at {}",
                    by.unwrap_or_default(),
                    at.map(|id| id.to_string()).unwrap_or_default()
                )
            }
        }
    }

    #[test]
    fn only_what_this_pipe_switched_is_taken_back_and_only_once() {
        for (past, pipe, expected) in [
            ("p:-a", "q", "nothing"),
            ("p:-a", "p", "stays a"),
            ("p:-a q:ab", "q", "b->a"),
            ("p:-a q:ab q:ba", "q", "is a"),
            ("p:-a q:ab r:bc", "q", "superseded by r at c"),
            ("p:-a q:ab r:ba", "q", "superseded by r at a"),
            ("p:-a q:ab ?:bc", "q", "superseded by  at c"),
            // A hand-made change before the switch is what is put back.
            ("p:-a ?:ab q:bc", "q", "c->b"),
        ] {
            assert_eq!(of(past, pipe), expected, "{past} for {pipe}");
        }
    }

    #[test]
    fn a_link_changed_by_hand_since_is_left_alone_by_a_plan_without_the_lock() {
        let history = history("p:-a q:ab");
        assert!(matches!(back(&history, &link(), Some(&names("c")), "q"), Some(Back::Superseded { by: None, .. })));
    }
}
