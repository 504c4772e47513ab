//! The effects of a collection: renames under the lock, and the deletion without it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use dir::Dir;
use record::sections::GcLeft;
use record::visible;
use store::{Lock, ReleaseId, Root, debris, trash};

use crate::delete::{self, Deleted};
use crate::in_use::{self, Places};
use crate::plan::{Judged, JudgedBuild, Plan};
use crate::retention::Reason;

/// How many releases one holding of the lock takes away: their papers are synced one by one, and whoever switches
/// waits for that.
const AT_ONCE: usize = 32;

/// What was moved to the trash so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The releases that went.
    pub(crate) releases: Vec<Judged>,
    /// The builds that went.
    pub(crate) builds: Vec<JudgedBuild>,
    /// Files of killed tools that went.
    pub(crate) debris: u64,
    /// Releases that are pinned, and whose tree somebody took away.
    pub(crate) missing: Vec<ReleaseId>,
    /// What could not be moved.
    pub(crate) left: Vec<GcLeft>,
    refused: BTreeMap<ReleaseId, Reason>,
}

impl Progress {
    /// How many releases and builds went.
    pub(crate) fn count(&self) -> usize {
        self.releases.len() + self.builds.len()
    }

    /// What the releases that went will give back once they are deleted.
    pub(crate) fn bytes(&self) -> u64 {
        self.releases.iter().map(|judged| judged.size_bytes).sum()
    }

    /// Adds what went to the last plan. What that one still lets go was not reached.
    pub(crate) fn add_to(&mut self, plan: &mut Plan) {
        plan.keep_rest(&Reason::new("deferred", "not reached: the next collection takes it"));
        plan.releases.retain(|judged| !self.releases.iter().any(|gone| gone.id == judged.id));
        plan.releases.append(&mut self.releases);
        plan.releases.sort_by_key(|judged| judged.seq);
        plan.builds.retain(|build| !self.builds.iter().any(|gone| gone.name == build.name));
        plan.builds.append(&mut self.builds);
    }
}

/// Renames a part of what goes to the trash, the oldest first, and removes the papers of what is gone. Right before,
/// it looks again whether somebody uses it; such a release stays, and the plan is corrected by that. Says whether
/// there is more to move.
pub(crate) fn move_away(lock: &Lock<'_>, plan: &mut Plan, progress: &mut Progress) -> Result<bool> {
    for (id, reason) in &progress.refused {
        plan.keep(id, reason.clone());
    }
    let going: Vec<Judged> = plan.removed().take(AT_ONCE).cloned().collect();
    let builds: Vec<JudgedBuild> = plan.builds.iter().filter(|build| build.removed).take(AT_ONCE).cloned().collect();
    let has_more =
        plan.removed().count() > going.len() || plan.builds.iter().filter(|b| b.removed).count() > builds.len();
    if going.is_empty() && builds.is_empty() {
        return Ok(false);
    }
    let names: Vec<String> = builds.iter().map(|build| build.name.clone()).collect();
    let ids: Vec<ReleaseId> = going.iter().map(|judged| judged.id.clone()).collect();
    let users = in_use::scan(&Places::of(lock, &ids, &names))?.users;
    let (used, free): (Vec<ReleaseId>, Vec<ReleaseId>) =
        ids.into_iter().partition(|id| users.contains_key(id.as_str()));
    for id in used {
        let users = users.get(id.as_str()).map(String::as_str).unwrap_or_default();
        plan.keep(&id, Reason::new("in_use", format!("in use by {users}")));
    }
    if dir::planted("in-place-delete") {
        for id in &free {
            let tree = lock.releases().open_dir(id)?;
            let names: Vec<String> = tree.names()?.filter_map(|name| name.into_string().ok()).collect();
            delete::delete(&tree, &names, &|| false);
        }
    }
    for one in trash::move_releases(lock, &free)? {
        match one.result {
            Ok(_) => progress.releases.extend(going.iter().find(|judged| judged.id == one.id).cloned()),
            Err(error) => {
                let reason = Reason::new("unmovable", visible(&format!("{error:#}")));
                progress.left.push(GcLeft { path: format!("releases/{}", one.id), reason: reason.detail.clone() });
                plan.keep(&one.id, reason.clone());
                progress.refused.insert(one.id, reason);
            }
        }
    }
    let has_moved_builds = move_builds(lock, plan, builds, &users, progress);
    Ok(has_more && (has_moved_builds || !going.is_empty()))
}

fn move_builds(
    lock: &Lock<'_>,
    plan: &mut Plan,
    builds: Vec<JudgedBuild>,
    users: &BTreeMap<String, String>,
    progress: &mut Progress,
) -> bool {
    let before = progress.builds.len();
    for build in builds {
        let refusal = match users.get(&build.name) {
            Some(users) => format!("in use by {users}"),
            None => match trash::move_staging(lock, &build.name) {
                Ok(_) => {
                    progress.builds.push(build);
                    continue;
                }
                Err(error) => {
                    let reason = visible(&format!("{error:#}"));
                    let path = format!(".cutover/staging/{}", build.name);
                    if !progress.left.iter().any(|left| left.path == path) {
                        progress.left.push(GcLeft { path, reason: reason.clone() });
                    }
                    reason
                }
            },
        };
        plan.keep_build(&build.name, refusal);
    }
    progress.builds.len() > before
}

/// Removes what killed tools left in `.cutover/`, and counts it. What is pinned and gone keeps its papers, and is named.
pub(crate) fn remove_debris(lock: &Lock<'_>, now: SystemTime, progress: &mut Progress) -> Result<()> {
    let missing = debris::missing(lock, now)?;
    let debris = debris::find(lock, &missing)?;
    if !debris.is_empty() {
        debris::remove(lock, &debris)?;
    }
    progress.debris = debris.len() as u64;
    progress.missing = missing.into_iter().collect();
    Ok(())
}

/// Deletes what waits in the trash, this collection's and what killed ones left. What a process came to use in the
/// last moment is left for the next one. Acts as the owner; needs no lock.
pub(crate) fn empty_trash(root: &Root, must_stop: &(dyn Fn() -> bool + Sync)) -> Result<(Deleted, Vec<GcLeft>)> {
    let _acting = root.rootdir().act_as_owner()?;
    let names = trash::list(root)?;
    if names.is_empty() {
        return Ok((Deleted::default(), Vec::new()));
    }
    let users = in_use::scan(&Places::trash(root, &names))?.users;
    let (used, free): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| users.contains_key(name));
    let trash: Dir = trash::open(root)?;
    let deleted = delete::delete(&trash, &free, must_stop);
    let of_users = used.into_iter().map(|name| GcLeft {
        reason: format!("in use by {}", users.get(&name).map(String::as_str).unwrap_or_default()),
        path: format!(".cutover/trash/{name}"),
    });
    let refused = deleted
        .named
        .iter()
        .map(|left| GcLeft { path: visible(&format!(".cutover/trash/{}", left.path)), reason: left.why.clone() });
    let left = of_users.chain(refused).collect();
    Ok((deleted, left))
}
