//! Which release a link is to name next; reads and changes nothing.
//!
//! What may be rolled back to is decided by the history, never by age or name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dir::Name;
use record::{Exit, Failure};
use store::history::Entry;
use store::link::{LinkState, Target};
use store::{History, ReleaseId, Verdict};

/// All that a choice depends on.
pub(crate) struct Situation<'s> {
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
        return Err(Failure::new(Exit::Failed, "switch.expected", message)
            .hint("somebody else switched: look at release-ls --history, then decide again"));
    }
    match wish {
        Wish::Named { id, verdict, file } => {
            let to = named_target(situation, id, file.as_ref())?;
            Ok(planned(situation, to, None, *verdict == Verdict::Bad))
        }
        Wish::Previous => {
            let to = previous(situation).ok_or_else(|| nothing_before(situation))?;
            Ok(planned(situation, to, now.cloned(), false))
        }
    }
}

fn live<'s>(situation: &'s Situation) -> Option<&'s ReleaseId> {
    situation.now.and_then(|now| now.release.as_ref())
}

/// Where the history says to go back to, with the file that the link named then.
fn previous(situation: &Situation) -> Option<Target> {
    let now = live(situation)?;
    let present = |id: &ReleaseId, seq: u64| id != now && (situation.present)(id, seq);
    target_of(situation.history.previous(situation.link, present)?)
}

fn nothing_before(situation: &Situation) -> Failure {
    let link = situation.link;
    let why = match live(situation) {
        None => format!("{link} is not there yet: nothing to roll back"),
        Some(now) => {
            let others: BTreeMap<u64, &ReleaseId> = situation
                .history
                .activations(link)
                .filter_map(|entry| Some((entry.to_seq?, entry.to.as_ref()?)))
                .filter(|(_, id)| *id != now)
                .collect();
            let bad = others.iter().filter(|(seq, id)| (situation.present)(id, **seq)).count();
            let why = match (bad, others.len() - bad) {
                (0, 0) => "no other release was live there before".to_owned(),
                (bad, 0) => format!("what was live there before is bad ({bad})"),
                (bad, gone) => format!("of what was live there before {bad} are bad and {gone} are gone"),
            };
            format!("nothing to roll {link} back to from {now}: {why}; nothing was changed")
        }
    };
    Failure::new(Exit::NoCandidate, "switch.no_candidate", why)
        .hint("release-ls shows the releases; release-switch --to ID takes one of them, a bad one too")
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
    Plan { from: live(situation).cloned(), to, changed: !same, condemned, to_bad }
}

/// What a line of the history says that the link named, in our own form.
pub(crate) fn target_of(entry: &Entry) -> Option<Target> {
    let id = entry.to.as_ref()?;
    let text = entry.target.as_deref().unwrap_or_default();
    let inside = text.split_once(&format!("releases/{id}/")).map(|(_, inside)| inside.trim_matches('/'));
    let inside = inside.filter(|inside| !inside.is_empty()).map(PathBuf::from);
    Some(Target { release: id.clone(), inside })
}

#[cfg(test)]
mod tests {
    use store::history::Kind;

    use super::*;

    fn id(text: &str) -> ReleaseId {
        text.parse().expect("a legal id")
    }

    fn names(release: &str, inside: Option<&str>) -> LinkState {
        let to = Target { release: id(release), inside: inside.map(PathBuf::from) };
        LinkState { name: link(), target: to.text(), release: Some(to.release), inside: to.inside, problem: None }
    }

    fn live(release: &str) -> Option<LinkState> {
        Some(names(release, None))
    }

    fn link() -> Name {
        Name::new("current").expect("legal")
    }

    fn seq(text: &str) -> u64 {
        u64::from(text.as_bytes()[0])
    }

    /// `"a+ b- c"`: a was live and good, then b and bad, then c and nobody said; `?` marks what is gone by now.
    fn history(past: &str) -> History {
        let mut entries = Vec::new();
        for word in past.split_whitespace() {
            let name = word.trim_end_matches(['+', '-', '?']);
            let kinds = match &word[name.len()..] {
                "+" => vec![Kind::Done, Kind::Good],
                "-" => vec![Kind::Done, Kind::Bad],
                _ => vec![Kind::Done],
            };
            for kind in kinds {
                let line = entries.len() as u64 + 1;
                let text = serde_json::json!({"seq": line, "at": "2026-11-21T07:10:00Z", "link": "current", "kind": kind,
                    "to": name, "to_seq": seq(name), "target": format!("releases/{name}")});
                entries.push(serde_json::from_value(text).expect("an entry"));
            }
        }
        History::of(entries)
    }

    fn choose(now: Option<LinkState>, past: &str, wish: &Wish, expected: Option<&str>) -> Result<Plan, Failure> {
        let gone: Vec<&str> = past.split_whitespace().filter_map(|word| word.strip_suffix('?')).collect();
        let present = |id: &ReleaseId, _: u64| !gone.contains(&id.as_str());
        let expected = expected.map(id);
        let situation = Situation { link: &link(), now: now.as_ref(), history: &history(past), present: &present };
        plan(&situation, wish, expected.as_ref())
    }

    fn named(text: &str) -> Wish {
        Wish::Named { id: id(text), verdict: Verdict::Never, file: None }
    }

    #[test]
    fn a_rollback_takes_the_newest_good_one_that_was_active_before() {
        for (past, expected) in [
            ("a+ b+", Some("a")),
            ("a+ b", Some("a")),
            ("a+ b c", Some("a")),
            ("a+ b- c+", Some("a")),
            ("a+ b+ c+", Some("b")),
            // After a rollback that left c: on to a, never back to c.
            ("a+ b+ c- b+", Some("a")),
            ("a+ b- c- b- a+", None),
            // No good one at all: the newest that is not bad.
            ("a b c", Some("b")),
            ("a b- c", Some("a")),
            // What is gone cannot be chosen.
            ("a b? c", Some("a")),
            ("a? b+", None),
            ("a+", None),
        ] {
            let now = &past.split_whitespace().last().expect("one")[..1];
            match (choose(live(now), past, &Wish::Previous, None), expected) {
                (Ok(plan), Some(expected)) => {
                    assert_eq!(plan.to, Target::release(id(expected)), "{past}");
                    assert_eq!(plan.condemned, Some(id(now)), "{past}");
                    assert!(plan.changed);
                }
                (Err(failure), None) => assert_eq!(failure.exit().code(), 69, "{past}"),
                (planned, _) => panic!("{past}: {planned:?}"),
            }
        }
        assert_eq!(choose(None, "", &Wish::Previous, None).expect_err("nothing").exit().code(), 69);
    }

    #[test]
    fn a_rollback_repeated_never_lands_on_what_it_left() {
        let (mut past, mut now, mut left) = ("a+ b c+ d+".to_owned(), "d".to_owned(), Vec::new());
        while let Ok(plan) = choose(live(&now), &past, &Wish::Previous, None) {
            // What apply does: the one that is left becomes bad, then the other is live.
            past = format!("{past} {now}- {}", plan.to.release);
            left.push(now);
            now = plan.to.release.to_string();
            assert!(!left.contains(&now), "{now} was left before: {left:?}");
        }
        assert_eq!((left.join(" "), now.as_str()), ("d c a".to_owned(), "b"), "good ones first, then what is left");
    }

    #[test]
    fn nothing_changes_when_the_link_names_the_release_already() {
        let absolute = LinkState { target: "/srv/shop/releases/b".into(), ..names("b", None) };
        for now in [live("b"), Some(absolute)] {
            let plan = choose(now, "a+ b", &named("b"), None).expect("nothing to do is no error");
            assert!(!plan.changed);
            assert_eq!(plan.condemned, None);
        }
    }

    #[test]
    fn an_expectation_that_is_not_met_changes_nothing() {
        for (now, expected, met) in [(live("a"), "a", true), (live("b"), "a", false), (None, "a", false)] {
            match choose(now, "a", &named("c"), Some(expected)) {
                Ok(_) => assert!(met),
                Err(failure) => assert_eq!((failure.code(), failure.exit().code(), met), ("switch.expected", 1, false)),
            }
        }
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_refused_whatever_is_asked() {
        for wish in [named("a"), Wish::Previous] {
            let now = LinkState { target: "/etc".into(), release: None, ..names("a", None) };
            assert_eq!(choose(Some(now), "b a", &wish, None).expect_err("refused").exit().code(), 77);
        }
    }

    #[test]
    fn a_link_to_a_file_keeps_naming_a_file() {
        let jar = names("b", Some("app-b.jar"));
        let mut entries = history("a+ b+").entries().to_vec();
        for (entry, target) in
            entries.iter_mut().zip(["/srv/shop/releases/a/app-a.jar", "", "releases/b/app-b.jar", ""])
        {
            entry.target = Some(target.to_owned());
        }
        let (history, link) = (History::of(entries), link());
        let choose = |wish: &Wish| {
            plan(&Situation { link: &link, now: Some(&jar), history: &history, present: &|_, _| true }, wish, None)
        };
        let to_a = Target { release: id("a"), inside: Some("app-a.jar".into()) };
        assert_eq!(choose(&Wish::Previous).expect("a is good").to, to_a, "the older file's own name");
        assert_eq!(choose(&named("a")).expect("it was named before").to, to_a);
        assert_eq!(choose(&named("c")).expect_err("which file of c?").code(), "switch.link_path");
        let wish = Wish::Named { id: id("c"), verdict: Verdict::Never, file: Some("app-c.jar".into()) };
        assert_eq!(choose(&wish).expect("said").to.text(), PathBuf::from("releases/c/app-c.jar"));
    }
}
