//! What the lines add up to. Pure; built by one pass in the order of the lines.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use dir::Name;

use super::{Entry, Kind};
use crate::ReleaseId;

/// What is known of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its pipe came through.
    Good,
    /// Its own answer was no, or somebody rolled back from it.
    Bad,
    /// It was live, and nobody said how it did.
    Done,
    /// It was never live.
    Never,
}

/// One stretch of time in which a link named one thing.
#[derive(Debug, Clone, Copy)]
pub struct Span<'h> {
    /// The line that began it.
    pub activation: &'h Entry,
    /// The line that ended it; `None` while it lasts.
    pub ended: Option<&'h Entry>,
}

/// The whole history in memory, with what is asked of it most often worked out.
#[derive(Debug, Clone, Default)]
pub struct History {
    entries: Vec<Entry>,
    /// Whether the file is there at all; a lost one proves nothing about any release.
    pub exists: bool,
    /// What is wrong with the file; a collection does nothing while there is something.
    pub problems: Vec<String>,
    /// Bytes after the last whole line: a write that was cut off. Ignored here, repaired by the next writer.
    pub torn_bytes: u64,
    activations: BTreeMap<Name, Vec<usize>>,
    open: BTreeMap<Name, usize>,
    verdicts: HashMap<u64, Verdict>,
    activated: HashMap<u64, usize>,
    stopped: HashMap<u64, usize>,
}

impl History {
    /// A history of these lines, in this order.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut history = Self { exists: true, ..Self::default() };
        entries.into_iter().for_each(|entry| history.push(entry));
        history
    }

    /// Takes in the next line.
    pub(crate) fn push(&mut self, entry: Entry) {
        let index = self.entries.len();
        match entry.kind {
            Kind::Intent => {
                self.open.insert(entry.link.clone(), index);
            }
            Kind::Abort => {
                self.open.remove(&entry.link);
            }
            Kind::Done => {
                self.open.remove(&entry.link);
                self.activate(&entry, index);
            }
            Kind::Found => self.activate(&entry, index),
            Kind::Good => self.judge(&entry, Verdict::Good),
            Kind::Bad => self.judge(&entry, Verdict::Bad),
            Kind::Unknown => {}
        }
        self.entries.push(entry);
    }

    fn judge(&mut self, entry: &Entry, verdict: Verdict) {
        if let Some(seq) = entry.to_seq {
            self.verdicts.insert(seq, verdict);
        }
    }

    fn activate(&mut self, entry: &Entry, index: usize) {
        let of_link = self.activations.entry(entry.link.clone()).or_default();
        let before = of_link.last().and_then(|&i| self.entries.get(i)).and_then(|e| e.to_seq);
        of_link.push(index);
        if let Some(seq) = before.filter(|&seq| entry.to_seq != Some(seq)) {
            self.stopped.insert(seq, index);
        }
        let Some(seq) = entry.to_seq else { return };
        self.activated.insert(seq, index);
        let verdict = self.verdicts.entry(seq).or_insert(Verdict::Done);
        // A deliberate switch to a bad release gives it a new chance; having been good is not lost by being live again.
        if *verdict == Verdict::Bad && entry.kind == Kind::Done {
            *verdict = Verdict::Done;
        }
    }

    /// Every line, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The links that the history knows.
    pub fn links(&self) -> impl Iterator<Item = &Name> {
        self.activations.keys().chain(self.open.keys().filter(|link| !self.activations.contains_key(*link)))
    }

    /// The activations of `link`, oldest first.
    pub fn activations(&self, link: &Name) -> impl DoubleEndedIterator<Item = &Entry> {
        self.activations.get(link).into_iter().flatten().filter_map(|&index| self.entries.get(index))
    }

    /// The newest activation of `link`: whose pipe it was, what it names now.
    pub fn newest(&self, link: &Name) -> Option<&Entry> {
        self.activations(link).next_back()
    }

    /// The release that `link` names by its newest activation.
    pub fn current(&self, link: &Name) -> Option<&ReleaseId> {
        self.newest(link)?.to.as_ref()
    }

    /// What the link named last, also where it names nothing now.
    pub fn last_live(&self, link: &Name) -> Option<&ReleaseId> {
        self.activations(link).rev().find_map(|entry| entry.to.as_ref())
    }

    /// Where a rollback of `link` goes: the newest activation before the current one of a good release, without
    /// any good one of a release that is at least not bad and was not taken back by the pipe that made it live. Only
    /// releases that `present` knows under this id and sequence number count. However often it is repeated, with what
    /// was left marked bad, it never lands on a bad one.
    pub fn previous(&self, link: &Name, present: impl Fn(&ReleaseId, u64) -> bool) -> Option<&Entry> {
        let current = self.newest(link)?.to_seq;
        let activations: Vec<&Entry> = self.activations(link).collect();
        let stands = |at: usize| !activations.get(at + 1).is_some_and(|next| takes_back(next, activations[at]));
        let of_verdict = |wanted: Verdict| {
            let mut newest_first = activations.iter().enumerate().rev();
            newest_first.find(|(at, entry)| match (&entry.to, entry.to_seq) {
                (Some(id), Some(seq)) => {
                    entry.to_seq != current
                        && self.verdict(seq) == wanted
                        && (wanted == Verdict::Good || stands(*at))
                        && present(id, seq)
                }
                _ => false,
            })
        };
        of_verdict(Verdict::Good).or_else(|| of_verdict(Verdict::Done)).map(|(_, entry)| *entry)
    }

    /// What is known of the release with the manifest sequence number `seq`.
    pub fn verdict(&self, seq: u64) -> Verdict {
        self.verdicts.get(&seq).copied().unwrap_or(Verdict::Never)
    }

    /// The newest activation of the release `seq`, on any link.
    pub fn activated(&self, seq: u64) -> Option<&Entry> {
        self.activated.get(&seq).and_then(|&index| self.entries.get(index))
    }

    /// When the release `seq` last stopped being what some link names; `None` when it never did. It may have
    /// become current again since.
    pub fn stopped_at(&self, seq: u64) -> Option<SystemTime> {
        let entry = self.stopped.get(&seq).and_then(|&index| self.entries.get(index))?;
        record::clock::parse_rfc3339(&entry.at)
    }

    /// Intents that nothing has closed yet, one per link at most.
    pub fn open_intents(&self) -> impl Iterator<Item = &Entry> {
        self.open.values().filter_map(|&index| self.entries.get(index))
    }

    /// What `link` named from when to when, oldest first.
    pub fn spans(&self, link: &Name) -> Vec<Span<'_>> {
        let activations: Vec<&Entry> = self.activations(link).collect();
        let ends = activations.iter().skip(1).map(|&entry| Some(entry)).chain([None]);
        activations.iter().zip(ends).map(|(&activation, ended)| Span { activation, ended }).collect()
    }

    /// The sequence number of the next line.
    pub fn next_line(&self) -> u64 {
        self.entries.last().map_or(1, |entry| entry.seq.saturating_add(1))
    }

    /// The largest manifest sequence number that any line names; 0 without one.
    pub fn largest_seq(&self) -> u64 {
        self.entries.iter().filter_map(|entry| entry.to_seq).max().unwrap_or(0)
    }
}

/// Whether `next` is the undo of `entry`: the same pipe leaves what it had made live.
pub fn takes_back(next: &Entry, entry: &Entry) -> bool {
    next.kind == Kind::Done
        && next.pipe.is_some()
        && next.pipe == entry.pipe
        && next.from.is_some()
        && next.from == entry.to
}
