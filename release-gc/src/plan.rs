//! What one collection does: pure, made from the inventory, the rules and what processes use.

use std::time::SystemTime;

use record::sections::{GcBuild, GcCounts, GcKept, GcReason, GcRemoved, GcSection, GcStranger};
use record::visible;
use store::staging::{Liveness, StagingState};
use store::{Inventory, Manifest, ReleaseId, Verdict};

use crate::clock_check;
use crate::retention::{self, InUse, MinFree, Policy, Reason};

/// How full the root's file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Bytes that the owner may still use.
    pub(crate) free_bytes: u64,
    /// All bytes.
    pub(crate) size_bytes: u64,
}

/// What becomes of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays, for all these reasons.
    Keep(Vec<Reason>),
    /// It goes, because.
    Remove(String),
}

/// One release and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) id: ReleaseId,
    pub(crate) seq: u64,
    pub(crate) size_bytes: u64,
    pub(crate) fate: Fate,
}

/// One build and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct JudgedBuild {
    pub(crate) id: ReleaseId,
    pub(crate) name: String,
    /// Its number in the order of builds; the oldest goes first.
    seq: u64,
    pub(crate) removed: bool,
    pub(crate) reason: String,
}

/// What a collection does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Every release, oldest first.
    pub(crate) releases: Vec<Judged>,
    /// Every build.
    pub(crate) builds: Vec<JudgedBuild>,
    /// What is no release.
    pub(crate) strangers: Vec<GcStranger>,
    /// Processes that could not be looked at.
    pub(crate) unseen_processes: u64,
    /// How many bytes `--min-free` asks for and would still miss after this plan.
    pub(crate) missing_bytes: u64,
}

/// Why nothing is collected at all; `None` when everything adds up.
pub(crate) fn unclear(inventory: &Inventory, now: SystemTime) -> Option<String> {
    let dangling = inventory.links.iter().find(|link| {
        let is_ours = inventory.history.links().any(|known| *known == link.name);
        is_ours && link.release.as_ref().is_some_and(|id| inventory.release(id).is_none())
    });
    let dangling = dangling.map(|link| {
        let (name, id) = (&link.name, link.release.as_ref().map_or("", ReleaseId::as_str));
        match inventory.strangers.iter().any(|stranger| stranger.name == id) {
            true => {
                format!("the link {name} names {id}, which is no release of ours: release-switch --adopt takes it over")
            }
            false => format!("the link {name} names {id}, a release that is not there"),
        }
    });
    inventory.problems.first().cloned().or(dangling).or_else(|| clock_check::doubt(inventory, now))
}

/// Plans a collection. Nothing that a rule keeps is in it, and at least `policy.keep` good releases stay, or all.
pub(crate) fn plan(inventory: &Inventory, policy: &Policy, in_use: &InUse, disk: Disk, now: SystemTime) -> Plan {
    let judged = retention::judge(inventory, policy, in_use, now);
    let mut plan = Plan {
        releases: judged.into_iter().map(|(manifest, reasons)| first_fate(inventory, manifest, reasons)).collect(),
        builds: judge_builds(&inventory.staging, policy.keep_failed, in_use),
        strangers: inventory.strangers.iter().map(stranger).collect(),
        unseen_processes: in_use.unseen_processes,
        missing_bytes: 0,
    };
    if let Some(wanted) = policy.min_free {
        plan.free(wanted, disk);
    }
    if let Some(most) = policy.max_delete {
        plan.cap(most);
    }
    plan
}

fn first_fate(inventory: &Inventory, manifest: &Manifest, reasons: Vec<Reason>) -> Judged {
    let fate = if reasons.is_empty() {
        Fate::Remove(match inventory.history.verdict(manifest.seq) {
            Verdict::Never => "never live".into(),
            Verdict::Bad => "bad".into(),
            Verdict::Good => "good, and newer good ones are kept".into(),
            Verdict::Done => "was live, and newer ones are kept".into(),
        })
    } else {
        Fate::Keep(reasons)
    };
    Judged { id: manifest.id.clone(), seq: manifest.seq, size_bytes: manifest.bytes, fate }
}

fn judge_builds(staging: &[StagingState], keep_failed: usize, in_use: &InUse) -> Vec<JudgedBuild> {
    let mut newest_first: Vec<&StagingState> = staging.iter().collect();
    newest_first.sort_by_key(|build| std::cmp::Reverse(build.seq));
    let mut failed = 0;
    let mut judged: Vec<JudgedBuild> = newest_first
        .into_iter()
        .map(|build| {
            let kept = match build.liveness {
                Liveness::Live => Some("being built".to_owned()),
                Liveness::Unknown => Some("may be being built: it cannot be looked at".to_owned()),
                Liveness::Dead => {
                    failed += 1;
                    let users = in_use.users.get(&build.name).map(|users| format!("in use by {users}"));
                    users.or_else(|| {
                        (failed <= keep_failed).then(|| format!("failed, number {failed} of {keep_failed}"))
                    })
                }
            };
            let removed = kept.is_none();
            let reason = kept.unwrap_or_else(|| "failed, and newer failed builds are kept or none is asked for".into());
            JudgedBuild { id: build.id.clone(), name: build.name.clone(), seq: build.seq.unwrap_or(0), removed, reason }
        })
        .collect();
    judged.reverse();
    judged
}

fn stranger(stranger: &store::inventory::Stranger) -> GcStranger {
    GcStranger { name: visible(&stranger.name.to_string_lossy()), reason: stranger.why.clone() }
}

impl Plan {
    /// Also removes what only its age keeps, oldest first, until enough is free.
    fn free(&mut self, wanted: MinFree, disk: Disk) {
        let wanted = match wanted {
            MinFree::Bytes(bytes) => bytes,
            MinFree::Percent(percent) => disk.size_bytes / 100 * u64::from(percent),
        };
        let mut free = disk.free_bytes.saturating_add(self.removed().map(|judged| judged.size_bytes).sum());
        for judged in &mut self.releases {
            if free >= wanted {
                break;
            }
            if matches!(&judged.fate, Fate::Keep(reasons) if reasons.iter().all(Reason::is_age)) {
                judged.fate = Fate::Remove("only its age kept it, and the disk is too full".into());
                free = free.saturating_add(judged.size_bytes);
            }
        }
        self.missing_bytes = wanted.saturating_sub(free);
    }

    /// Lets only the oldest `most` go.
    fn cap(&mut self, most: usize) {
        let mut going: Vec<u64> = self.removed().map(|judged| judged.seq).collect();
        going.extend(self.builds.iter().filter(|build| build.removed).map(|build| build.seq));
        going.sort_unstable();
        let Some(&first_kept) = going.get(most) else { return };
        let kept = || Reason::new("capped", "as many as --max-delete allows have gone: the next collection takes it");
        for judged in self.releases.iter_mut().filter(|judged| judged.seq >= first_kept) {
            if matches!(judged.fate, Fate::Remove(_)) {
                judged.fate = Fate::Keep(vec![kept()]);
            }
        }
        for build in self.builds.iter_mut().filter(|build| build.removed && build.seq >= first_kept) {
            build.removed = false;
            build.reason = kept().detail;
        }
    }

    /// The releases that go, oldest first.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &Judged> {
        self.releases.iter().filter(|judged| matches!(judged.fate, Fate::Remove(_)))
    }

    /// Turns the fate of a release that is to go, as it was found in use in the last moment or cannot be moved.
    pub(crate) fn keep(&mut self, id: &ReleaseId, reason: Reason) {
        if let Some(judged) = self.releases.iter_mut().find(|judged| judged.id == *id) {
            judged.fate = Fate::Keep(vec![reason]);
        }
    }

    /// Turns the fate of all that is still to go.
    pub(crate) fn keep_rest(&mut self, reason: &Reason) {
        for judged in self.releases.iter_mut().filter(|judged| matches!(judged.fate, Fate::Remove(_))) {
            judged.fate = Fate::Keep(vec![reason.clone()]);
        }
        for build in self.builds.iter_mut().filter(|build| build.removed) {
            build.removed = false;
            build.reason.clone_from(&reason.detail);
        }
    }

    /// Turns the fate of one build that is to go.
    pub(crate) fn keep_build(&mut self, name: &str, reason: String) {
        if let Some(build) = self.builds.iter_mut().find(|build| build.name == name) {
            build.removed = false;
            build.reason = reason;
        }
    }

    /// The same as the record has it.
    pub(crate) fn to_section(&self) -> GcSection {
        let mut section = GcSection {
            strangers: self.strangers.clone(),
            unseen_processes: self.unseen_processes,
            ..GcSection::default()
        };
        for judged in &self.releases {
            let (id, seq) = (judged.id.to_string(), judged.seq);
            match &judged.fate {
                Fate::Keep(reasons) => {
                    section.kept.push(GcKept { id, seq, reasons: reasons.iter().map(told).collect() })
                }
                Fate::Remove(reason) => {
                    let reason = reason.clone();
                    section.removed.push(GcRemoved { id, seq, size_bytes: judged.size_bytes, reason });
                }
            }
        }
        section.builds = self
            .builds
            .iter()
            .map(|build| GcBuild {
                id: build.id.to_string(),
                name: build.name.clone(),
                removed: build.removed,
                reason: build.reason.clone(),
            })
            .collect();
        section.counts = GcCounts {
            kept: section.kept.len() as u64,
            removed: section.removed.len() as u64,
            strangers: section.strangers.len() as u64,
            builds_removed: self.builds.iter().filter(|build| build.removed).count() as u64,
            ..GcCounts::default()
        };
        section
    }
}

fn told(reason: &Reason) -> GcReason {
    GcReason { rule: reason.rule.into(), detail: visible(&reason.detail) }
}
