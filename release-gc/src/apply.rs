//! The effects of a collection: renames under the lock, and the deletion without it.

use anyhow::Result;
use dir::Dir;
use record::sections::GcLeft;
use record::visible;
use store::{Lock, ReleaseId, Root, debris, trash};

use crate::delete::{self, Deleted};
use crate::in_use::{self, Places};
use crate::plan::Plan;
use crate::retention::Reason;

/// What came of moving things to the trash.
#[derive(Debug, Default)]
pub(crate) struct MovedAway {
    /// How many releases and builds went.
    pub(crate) moved: u64,
    /// Files of killed tools that went.
    pub(crate) debris: u64,
    /// What could not be moved.
    pub(crate) left: Vec<GcLeft>,
}

/// Renames what goes to the trash, and removes the papers of what is gone. A release that somebody began to use since
/// the plan was made stays; the plan is corrected by that.
pub(crate) fn move_away(lock: &Lock<'_>, plan: &mut Plan) -> Result<MovedAway> {
    let mut away = MovedAway { debris: remove_debris(lock)?, ..MovedAway::default() };
    let going: Vec<ReleaseId> = plan.removed().map(|judged| judged.id.clone()).collect();
    if !going.is_empty() {
        let mut kept = Vec::new();
        let moved = trash::move_releases_if(lock, &going, |id| match last_look(lock, id) {
            None => true,
            Some(reason) => {
                kept.push((id.clone(), reason));
                false
            }
        })?;
        for (id, reason) in kept {
            plan.keep(&id, reason);
        }
        for one in moved {
            match one.result {
                Ok(_) => away.moved += 1,
                Err(error) => {
                    let why = format!("{error:#}");
                    plan.keep(&one.id, Reason::new("unmovable", why.clone()));
                    away.left.push(GcLeft { path: format!("releases/{}", one.id), reason: visible(&why) });
                }
            }
        }
    }
    for build in plan.builds.iter_mut().filter(|build| build.removed) {
        match trash::move_staging(lock, &build.name) {
            Ok(_) => away.moved += 1,
            Err(error) => {
                build.removed = false;
                build.reason = visible(&format!("{error:#}"));
                away.left
                    .push(GcLeft { path: format!(".cutover/staging/{}", build.name), reason: build.reason.clone() });
            }
        }
    }
    Ok(away)
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

fn remove_debris(lock: &Lock<'_>) -> Result<u64> {
    let debris = debris::find(lock)?;
    if !debris.is_empty() {
        debris::remove(lock, &debris)?;
    }
    Ok(debris.len() as u64)
}

/// Why a release may not go after all, seen right before its rename.
fn last_look(lock: &Lock<'_>, id: &ReleaseId) -> Option<Reason> {
    match in_use::scan(&Places::of(lock, [id], &[])) {
        Ok(in_use) => in_use.users.get(id.as_str()).map(|users| Reason::new("in_use", format!("in use by {users}"))),
        Err(error) => Some(Reason::new("unseen", format!("{error:#}"))),
    }
}
