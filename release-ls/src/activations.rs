//! What each link named since when. Pure.

use std::collections::{HashMap, HashSet};

use dir::Name;
use record::sections::{LsActivation, LsStage, LsVerdict};
use store::history::{Entry, Kind};
use store::{History, Verdict};

/// The activations of all links, or of `only`, newest first.
pub(crate) fn list(root: &str, history: &History, only: Option<&Name>) -> Vec<LsActivation> {
    let befores = befores(history);
    let mut judged: HashMap<(u64, &Name), Judgement<'_>> = HashMap::new();
    let mut ended: HashMap<&Name, &Entry> = HashMap::new();
    let mut activations = Vec::new();
    for (index, entry) in history.entries().iter().enumerate().rev() {
        match entry.kind {
            Kind::Good | Kind::Bad => {
                if let Some(seq) = entry.to_seq {
                    // Newest first: the first that is met is the last word, the last one follows the activation most closely.
                    let of = judged.entry((seq, &entry.link)).or_insert(Judgement { first: entry, last: entry });
                    of.first = entry;
                }
            }
            Kind::Done | Kind::Found => {
                let verdict = entry.to_seq.and_then(|seq| judged.remove(&(seq, &entry.link)));
                let until = ended.insert(&entry.link, entry);
                if only.is_none_or(|only| entry.link == *only) {
                    let back = befores.get(&index).is_some_and(|&before| Some(before) > entry.to_seq);
                    let known = entry.to_seq.map_or(Verdict::Never, |seq| history.verdict(seq));
                    activations.push(one(root, known, entry, back, verdict, until));
                }
            }
            _ => {}
        }
    }
    activations
}

/// The sequence numbers of the releases whose newest activation went back to them from a newer one.
pub(crate) fn gone_back_to(history: &History) -> HashSet<u64> {
    let befores = befores(history);
    let newest: HashMap<u64, usize> = history
        .entries()
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.is_activation())
        .filter_map(|(index, entry)| entry.to_seq.map(|seq| (seq, index)))
        .collect();
    let is_back = |(seq, index): (u64, usize)| (befores.get(&index) > Some(&seq)).then_some(seq);
    newest.into_iter().filter_map(is_back).collect()
}

/// By the index of an activation the sequence number of the release that its link named before.
fn befores(history: &History) -> HashMap<usize, u64> {
    let mut last: HashMap<&Name, u64> = HashMap::new();
    let mut befores = HashMap::new();
    for (index, entry) in history.entries().iter().enumerate().filter(|(_, entry)| entry.is_activation()) {
        let Some(seq) = entry.to_seq else { continue };
        if let Some(before) = last.insert(&entry.link, seq) {
            befores.insert(index, before);
        }
    }
    befores
}

/// What was said of a release between one of its activations and the next.
#[derive(Clone, Copy)]
struct Judgement<'h> {
    first: &'h Entry,
    last: &'h Entry,
}

fn one(
    root: &str,
    known: Verdict,
    entry: &Entry,
    back: bool,
    judged: Option<Judgement<'_>>,
    until: Option<&Entry>,
) -> LsActivation {
    // The verdict of the pipe itself comes last in it, and so knows all of its stages.
    let own = judged.map(|judged| judged.first).filter(|judged| judged.pipe == entry.pipe);
    let judged = judged.map(|judged| judged.last);
    let stages = own.map(|judged| &judged.stages).filter(|stages| !stages.is_empty()).unwrap_or(&entry.stages);
    LsActivation {
        root: root.to_owned(),
        link: entry.link.to_string(),
        at: entry.at.clone(),
        until_at: until.map(|until| until.at.clone()),
        found: entry.kind == Kind::Found,
        back,
        from: entry.from.as_ref().map(ToString::to_string),
        to: entry.to.as_ref().map(ToString::to_string),
        verdict: match judged.map(|judged| judged.kind) {
            Some(Kind::Good) => LsVerdict::Good,
            Some(Kind::Bad) => LsVerdict::Bad,
            // Nobody judges a good release again when a failed pipe goes back to it.
            _ if known == Verdict::Good => LsVerdict::Good,
            _ => LsVerdict::Done,
        },
        pipe: entry.pipe.clone(),
        by: entry.by.clone(),
        host: entry.host.clone(),
        // Why somebody went back is told of that, not why the release was judged later on.
        reason: match (back, judged.and_then(|judged| judged.reason.clone())) {
            (true, told) => entry.reason.clone().or(told),
            (false, told) => told.or_else(|| entry.reason.clone()),
        },
        stages: stages.iter().map(|stage| LsStage { tool: stage.tool.clone(), elapsed_ms: stage.elapsed_ms }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, kind: Kind, to: u64, from: Option<u64>, pipe: &str) -> Entry {
        let line = serde_json::json!({
            "seq": seq, "at": format!("2026-11-21T07:00:{seq:02}Z"), "pipe": pipe, "link": "current",
            "kind": kind, "to": format!("r{to}"), "to_seq": to, "from": from.map(|n| format!("r{n}")),
            "stages": [{"tool": "release-mk", "elapsed_ms": seq}],
        });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn an_activation_has_the_verdict_that_followed_it_and_knows_a_way_back() {
        let history = History::of([
            entry(1, Kind::Done, 1, None, "a"),
            entry(2, Kind::Good, 1, None, "a"),
            entry(3, Kind::Intent, 2, Some(1), "b"),
            entry(4, Kind::Done, 2, Some(1), "b"),
            entry(5, Kind::Bad, 2, None, "b"),
            entry(6, Kind::Done, 1, Some(2), "b"),
        ]);
        let seen: Vec<_> = list("/srv/shop", &history, None)
            .into_iter()
            .map(|a| (a.to.unwrap(), a.verdict, a.back, a.until_at.is_some(), a.stages[0].elapsed_ms))
            .collect();
        assert_eq!(
            seen,
            [
                ("r1".into(), LsVerdict::Good, true, false, 6),
                ("r2".into(), LsVerdict::Bad, false, true, 5),
                ("r1".into(), LsVerdict::Good, false, true, 2),
            ]
        );
        assert_eq!(list("/srv/shop", &history, Some(&Name::new("blue").unwrap())), []);
    }

    #[test]
    fn what_was_good_and_is_rolled_back_is_shown_as_bad_with_the_stages_of_its_own_pipe() {
        let history = History::of([
            entry(1, Kind::Done, 1, None, "a"),
            entry(2, Kind::Good, 1, None, "a"),
            entry(3, Kind::Done, 2, Some(1), "b"),
            entry(4, Kind::Good, 2, None, "b"),
            entry(5, Kind::Bad, 2, None, "c"),
            entry(6, Kind::Done, 1, Some(2), "c"),
        ]);
        let left = &list("/srv/shop", &history, None)[1];
        assert_eq!((left.to.as_deref(), left.verdict, left.stages[0].elapsed_ms), (Some("r2"), LsVerdict::Bad, 4));
    }
}
