//! The order that system calls must come in: content, then rename, then parents, then the record; changes under the
//! lock; nothing before stdin has ended.
//!
//! Each rule is a function over a trace that says what is wrong with it. What a power cut, a race or a killed stage would
//! show once in a thousand times is seen here every time.

use std::collections::BTreeSet;
use std::path::Path;

use crate::trace::Call;

/// Whether it waits for the disk.
pub fn is_sync(call: &Call) -> bool {
    ["fsync", "fdatasync", "syncfs"].contains(&call.name.as_str())
}

/// Whether it waits for the disk to have this file or directory.
pub fn is_sync_of(call: &Call, path: &Path) -> bool {
    is_sync(call) && call.arguments.contains(&format!("<{}>", path.display()))
}

/// Whether it renames something.
pub fn is_rename(call: &Call) -> bool {
    call.name.starts_with("rename")
}

/// Whether a rename's new name is this: its directory's descriptor and name, or the whole path.
pub fn renames_to(call: &Call, path: &Path) -> bool {
    let (dir, name) =
        (path.parent().expect("a parent"), path.file_name().expect("a name").to_string_lossy().into_owned());
    let by_descriptor = format!("<{}>, \"{name}\"", dir.display());
    let last = call.arguments.rsplit_once(&by_descriptor);
    is_rename(call)
        && (last.is_some_and(|(before, _)| before.contains(", "))
            || call.arguments.ends_with(&format!("\"{}\"", path.display())))
}

fn position(calls: &[Call], what: &str, is_it: impl Fn(&Call) -> bool) -> Result<usize, String> {
    calls.iter().position(is_it).ok_or_else(|| format!("there is no {what}"))
}

fn last_position(calls: &[Call], is_it: impl Fn(&Call) -> bool) -> Option<usize> {
    calls.iter().rposition(is_it)
}

/// The position of the record, the first write to descriptor 1, which must come after the effect.
fn record_after(calls: &[Call], effect: usize) -> Result<usize, String> {
    let record = position(calls, "record", |call| call.name == "write" && call.arguments.starts_with("1<"))?;
    if record < effect { Err("the record comes before the effect".into()) } else { Ok(record) }
}

/// A release is published: its content is synced before its manifest, that before the rename, the parents before the record.
pub fn a_release_is_published_in_order(calls: &[Call], root: &Path, id: &str) -> Result<(), String> {
    let (state, releases) = (root.join(".cutover"), root.join("releases"));
    let published = position(calls, "rename of the release", |call| renames_to(call, &releases.join(id)))?;
    let tree = format!("{}/", state.join("staging").display());
    let is_of_tree = |call: &Call| call.arguments.contains(&tree) && call.arguments.contains("/tree");
    let writes = ["write", "pwrite64", "copy_file_range", "sendfile", "ftruncate"];
    let written = last_position(&calls[..published], |call| writes.contains(&call.name.as_str()) && is_of_tree(call));
    // Not the sync of the listing, which lies beside the tree.
    let content =
        last_position(&calls[..published], |call| call.name == "syncfs" || (is_sync(call) && is_of_tree(call)))
            .ok_or("the content is not synced before the rename")?;
    if written.is_some_and(|written| written > content) {
        return Err("something is written to the tree after it was synced".into());
    }
    let manifest = state.join("manifests");
    let named = last_position(&calls[..published], |call| renames_to(call, &manifest.join(format!("{id}.json"))))
        .ok_or("the manifest is not there before the release")?;
    let within = format!("{}/", manifest.display());
    let filled = last_position(&calls[..named], |call| call.name == "write" && call.arguments.contains(&within))
        .ok_or("the manifest is not written before it gets its name")?;
    if !calls[filled..named].iter().any(|call| is_sync(call) && call.arguments.contains(&within)) {
        return Err("the manifest is not synced before it gets its name".into());
    }
    if !calls[named..published].iter().any(|call| is_sync_of(call, &manifest)) {
        return Err("the manifest's directory is not synced before the release".into());
    }
    let record = record_after(calls, published)?;
    if !calls[published..record].iter().any(|call| is_sync_of(call, &releases)) {
        return Err("releases/ is not synced before the record".into());
    }
    Ok(())
}

/// A link is switched: its intent is written before (for a kill, which needs no sync); the root and the end of the
/// intent are durable before the record.
pub fn a_link_is_switched_in_order(calls: &[Call], root: &Path) -> Result<(), String> {
    let flipped = position(calls, "rename of the link", |call| renames_to(call, &root.join("current")))?;
    let history = format!("<{}>", root.join(".cutover/history.jsonl").display());
    let is_history = |call: &Call| call.arguments.contains(&history);
    position(&calls[..flipped], "intent before the link", |call| is_history(call) && call.name.contains("write"))?;
    let record = record_after(calls, flipped)?;
    let after = &calls[flipped..record];
    position(after, "sync of the root after the link", |call| is_sync_of(call, root))?;
    let done = position(after, "end of the intent", |call| is_history(call) && call.name.contains("write"))?;
    position(&after[done..], "sync of the end of the intent", |call| is_history(call) && is_sync(call))?;
    let unlinked = calls.iter().any(|call| {
        call.name.starts_with("unlink") && call.arguments.contains(&format!("<{}>, \"current\"", root.display()))
    });
    if unlinked { Err("the link is removed".into()) } else { Ok(()) }
}

/// Whatever changes what others see is done while the root's lock is held: names in the root and in `releases/`, the
/// history. Says how many such changes there were.
pub fn changes_are_made_under_the_lock(calls: &[Call], root: &Path) -> Result<usize, String> {
    let lock = format!("<{}>", root.join(".cutover/lock").display());
    let history = format!("<{}>", root.join(".cutover/history.jsonl").display());
    let seen = |call: &Call| {
        let dirs = [format!("<{}>, \"", root.display()), format!("<{}>, \"", root.join("releases").display())];
        let named = ["rename", "unlink", "symlink"].iter().any(|kind| call.name.starts_with(kind));
        named && dirs.iter().any(|dir| call.arguments.contains(dir))
            || call.name.contains("write") && call.arguments.contains(&history)
    };
    let (mut is_held, mut changes) = (false, 0);
    for call in calls {
        if call.name == "flock" && call.arguments.contains(&lock) {
            is_held = call.arguments.contains("LOCK_EX");
        } else if call.name == "close" && call.arguments.contains(&lock) {
            is_held = false;
        } else if seen(call) {
            changes += 1;
            if !is_held {
                return Err(format!("without the lock: {}({:.200})", call.name, call.arguments));
            }
        }
    }
    Ok(changes)
}

/// Nothing is locked, opened for writing or renamed before stdin has ended.
pub fn nothing_is_done_before_stdin_has_ended(calls: &[Call], root: &Path) -> Result<(), String> {
    let ended = position(calls, "end of stdin", |call| {
        call.name == "read" && call.arguments.starts_with("0<") && call.result == "0"
    })?;
    let root = root.display().to_string();
    let effect = calls[..ended].iter().find(|call| {
        let changes = ["flock", "rename", "unlink", "symlink", "mkdir"].iter().any(|kind| call.name.starts_with(kind));
        changes && call.arguments.contains(&root)
    });
    effect.map_or(Ok(()), |call| Err(format!("before stdin has ended: {}({:.200})", call.name, call.arguments)))
}

/// The names under a root that a run made and nobody is to see: temporary ones.
pub fn temporary_names(calls: &[Call], root: &Path) -> BTreeSet<String> {
    let root = format!("<{}", root.display());
    let made = calls.iter().filter(|call| is_rename(call) && call.arguments.contains(&root));
    // renameat2(DIR, "OLD", …): what had a name of its own until then.
    let old = made.filter_map(|call| call.arguments.split_once(">, \"")?.1.split_once('"').map(|(name, _)| name));
    old.filter(|name| name.starts_with('.')).map(str::to_owned).collect()
}
