//! Which releases stay, and why: every rule that keeps one is listed with it. Pure.
//!
//! Order is the sequence number, never a date or a name. Ages count from the moment a release stopped
//! being live, or was made. A date that does not read counts as young.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use record::clock::parse_rfc3339;
use store::{Inventory, Manifest, PinState, ReleaseId, Verdict};

use crate::lived::{Beginning, Lived};

/// What is kept, beyond what always is.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// The newest so many good ones.
    pub(crate) keep: usize,
    /// What is younger than this.
    pub(crate) keep_young: Option<Duration>,
    /// What was never live and is younger than this.
    pub(crate) keep_unused: Duration,
    /// The newest so many failed builds.
    pub(crate) keep_failed: usize,
    /// How much of the disk shall be free.
    pub(crate) min_free: Option<MinFree>,
    /// How many releases and builds go at most.
    pub(crate) max_delete: Option<usize>,
    /// Whether doubt about processes keeps everything, and leftovers are a failure.
    pub(crate) strict: bool,
}

/// How much of the disk shall be free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MinFree {
    /// So many bytes.
    Bytes(u64),
    /// So much of the file system.
    Percent(u8),
}

/// What processes use, by the name of a release or build.
#[derive(Debug, Clone, Default)]
pub(crate) struct InUse {
    /// Who uses it and how.
    pub(crate) users: BTreeMap<String, String>,
    /// Processes that could not be looked at.
    pub(crate) unseen_processes: u64,
}

/// Why a release stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The rule's name in the record.
    pub(crate) rule: &'static str,
    /// For people.
    pub(crate) detail: String,
}

/// How long what was live is kept for the sake of processes that cannot be looked at.
const FOR_UNSEEN: Duration = Duration::from_secs(24 * 60 * 60);

/// Every release, oldest first, with all that keeps it; one without a reason may go.
pub(crate) fn judge<'i>(
    inventory: &'i Inventory,
    policy: &Policy,
    in_use: &InUse,
    now: SystemTime,
) -> Vec<(&'i Manifest, Vec<Reason>)> {
    let rules = Rules { inventory, policy, in_use, now, lived: Lived::of(&inventory.history) };
    let mut judged: Vec<(&Manifest, Vec<Reason>)> = inventory.releases.iter().map(|m| (m, rules.apply(m))).collect();
    let named = rules.by_name();
    let newest = rules.newest();
    for (manifest, reasons) in &mut judged {
        let of_name = named.get(&manifest.id).into_iter().flatten().cloned();
        let of_rank = newest.get(&manifest.seq).into_iter().flatten().cloned();
        *reasons = of_name.chain(std::mem::take(reasons)).chain(of_rank).collect();
    }
    judged
}

impl Reason {
    pub(crate) fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }

    /// Whether the rule gives way when the disk is full: it looks at nothing but age.
    pub(crate) fn is_age(&self) -> bool {
        matches!(self.rule, "young" | "unused")
    }
}

struct Rules<'r> {
    inventory: &'r Inventory,
    policy: &'r Policy,
    in_use: &'r InUse,
    now: SystemTime,
    lived: Lived<'r>,
}

impl Rules<'_> {
    /// The rules that look at one release by itself.
    fn apply(&self, manifest: &Manifest) -> Vec<Reason> {
        let mut reasons = Vec::new();
        reasons.extend(self.pin(manifest));
        reasons.extend(self.users(manifest));
        reasons.extend(self.age(manifest));
        reasons.extend(self.doubt(manifest));
        reasons
    }

    fn pin(&self, manifest: &Manifest) -> Option<Reason> {
        let pin = self.inventory.pins.get(&manifest.id)?;
        pin.keeps(self.now).then(|| match pin {
            PinState::Readable(pin) => {
                Reason::new("pinned", format!("pinned until {} by {}: {}", pin.until, pin.owner, pin.reason))
            }
            PinState::Unreadable(why) => Reason::new("pinned", format!("pinned, and the pin does not read: {why}")),
        })
    }

    fn users(&self, manifest: &Manifest) -> Option<Reason> {
        let users = self.in_use.users.get(manifest.id.as_str())?;
        Some(Reason::new("in_use", format!("in use by {users}")))
    }

    fn age(&self, manifest: &Manifest) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let made = parse_rfc3339(&manifest.created_at);
        let since = self.lived.last(manifest).map_or(made, |stopped| stopped.max(made));
        if let Some(young) = self.policy.keep_young
            && self.is_younger(since, young)
        {
            let days = young.as_secs() / 86_400;
            reasons.push(Reason::new("young", format!("made, or live, less than {days} days ago")));
        }
        if !self.lived.perhaps(manifest) && self.is_younger(made, self.policy.keep_unused) {
            let unused = humantime(self.policy.keep_unused);
            reasons.push(Reason::new("unused", format!("never live yet, and made less than {unused} ago")));
        }
        reasons
    }

    /// Rules for what cannot be known: processes not seen, a history that does not reach back.
    fn doubt(&self, manifest: &Manifest) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let unseen = self.in_use.unseen_processes;
        if unseen > 0 && self.policy.strict {
            reasons.push(Reason::new("unseen", format!("--strict, and {unseen} processes may not be looked at")));
        } else if unseen > 0
            && self.lived.perhaps(manifest)
            && self.is_younger(self.lived.last(manifest).flatten(), FOR_UNSEEN)
        {
            let detail = format!("live less than a day ago, and {unseen} processes may not be looked at");
            reasons.push(Reason::new("unseen", detail));
        }
        match self.lived.beginning() {
            _ if self.lived.surely(manifest) => {}
            Beginning::Lost => reasons.push(Reason::new("unproven", "no history says when it was live")),
            Beginning::At(began) if self.lived.perhaps(manifest) && self.is_younger(began, self.policy.keep_unused) => {
                reasons.push(Reason::new("unproven", "the history begins after it was made, and lately"));
            }
            _ => {}
        }
        reasons
    }

    /// Whether less than `limit` has passed since then; a date that is not known or lies ahead is young.
    fn is_younger(&self, since: Option<SystemTime>, limit: Duration) -> bool {
        since.is_none_or(|since| self.now.duration_since(since).map_or(true, |age| age < limit))
    }

    /// What links, open intents and the pipe in progress name.
    fn by_name(&self) -> BTreeMap<ReleaseId, Vec<Reason>> {
        let mut named: BTreeMap<ReleaseId, Vec<Reason>> = BTreeMap::new();
        let mut name = |id: &ReleaseId, reason| named.entry(id.clone()).or_default().push(reason);
        let (inventory, history) = (self.inventory, &self.inventory.history);
        for link in &inventory.links {
            if let Some(id) = &link.release {
                name(id, Reason::new("current", format!("{} names it", link.name)));
            }
        }
        let on_disk = inventory.links.iter().filter(|link| link.release.is_some()).map(|link| &link.name);
        for link in on_disk.chain(history.links()).collect::<BTreeSet<_>>() {
            if let Some((previous, _)) = inventory.previous(link) {
                name(&previous.id, Reason::new("previous", format!("a rollback of {link} goes there")));
            }
            // A link that somebody moved or removed a moment ago still counts for what the history says.
            if let Some(id) = history.current(link).filter(|id| inventory.current(link).is_none_or(|m| m.id != **id)) {
                name(id, Reason::new("current", format!("the history says that {link} names it")));
            }
        }
        for intent in history.open_intents() {
            for id in [&intent.from, &intent.to].into_iter().flatten() {
                name(id, Reason::new("intent", format!("{} is being switched", intent.link)));
            }
        }
        for (id, detail) in inventory.run.iter().flat_map(named_by_run) {
            name(&id, Reason::new("run", detail));
        }
        named
    }

    /// The newest good ones, and the newest that were live and are not known to be bad.
    fn newest(&self) -> BTreeMap<u64, Vec<Reason>> {
        let verdict = |manifest: &&Manifest| match self.inventory.history.verdict(manifest.seq) {
            Verdict::Never if self.lived.perhaps(manifest) => Verdict::Done,
            known => known,
        };
        let newest_first = || self.inventory.releases.iter().rev();
        let good = newest_first().filter(|manifest| verdict(manifest) == Verdict::Good);
        let live = newest_first().filter(|manifest| matches!(verdict(manifest), Verdict::Good | Verdict::Done));
        let mut newest: BTreeMap<u64, Vec<Reason>> = BTreeMap::new();
        let keep = self.policy.keep;
        for (rank, manifest) in good.take(keep).enumerate() {
            let reason = Reason::new("good", format!("good, number {} of {keep}", rank + 1));
            newest.entry(manifest.seq).or_default().push(reason);
        }
        for (rank, manifest) in live.take(keep).enumerate() {
            let reason = Reason::new("live", format!("was live, number {} of {keep}", rank + 1));
            let reasons = newest.entry(manifest.seq).or_default();
            if reasons.is_empty() {
                reasons.push(reason);
            }
        }
        newest
    }
}

/// The release of the last pipe, and what that pipe would switch back to.
fn named_by_run(run: &record::Record) -> Vec<(ReleaseId, &'static str)> {
    let release = run.release.iter().map(|release| (release.id.as_str(), "the last pipe is about it"));
    let switched = run.stages.iter().filter(|stage| stage.tool == "release-switch" && !stage.undo);
    let from = switched.filter_map(|stage| stage.rest.get("from")?.as_str());
    let named = release.chain(from.map(|id| (id, "the last pipe would go back to it")));
    named.filter_map(|(id, why)| Some((ReleaseId::new(id).ok()?, why))).collect()
}

fn humantime(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds >= 60 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
