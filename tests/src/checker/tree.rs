//! A release against its manifest and listing, and what belongs to which id.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The names in a directory, sorted; none when it is not there.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Where a release's manifest lies.
pub(super) fn manifest(root: &Path, id: &str) -> PathBuf {
    root.join(".cutover/manifests").join(format!("{id}.json"))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a release is what its manifest says: the listing has the manifest's digest, and the tree is the listing's.
pub(super) fn is_whole(root: &Path, id: &str) -> Result<(), String> {
    let text = fs::read(manifest(root, id)).map_err(|error| format!("its manifest does not read: {error}"))?;
    let manifest: Value = serde_json::from_slice(&text).map_err(|error| format!("its manifest is no JSON: {error}"))?;
    if manifest["id"] != id {
        return Err(format!("its manifest is about {}", manifest["id"]));
    }
    let listing =
        fs::read(root.join(".cutover/tree").join(id)).map_err(|error| format!("its listing does not read: {error}"))?;
    if manifest["digest"] != format!("sha256:{}", sha256(&listing)) {
        return Err("its listing has another digest than its manifest says".to_owned());
    }
    let listed = entries_listed(&listing)?;
    let top = root.join("releases").join(id);
    let mut there = BTreeMap::new();
    walk(&top, &mut |path, what| {
        there.insert(path.strip_prefix(&top).unwrap_or(path).as_os_str().as_bytes().to_vec(), what);
    })?;
    let bytes: u64 =
        listed.values().filter_map(|what| what.strip_prefix("file ")?.split(' ').nth(1)?.parse::<u64>().ok()).sum();
    if manifest["files"] != listed.len() || manifest["bytes"] != bytes {
        return Err("its manifest counts otherwise than its listing".to_owned());
    }
    for (path, what) in &listed {
        let path_shown = String::from_utf8_lossy(path);
        match there.get(path) {
            None => return Err(format!("{path_shown} is missing")),
            Some(found) if found != what => return Err(format!("{path_shown} is {found:?}, not {what:?}")),
            Some(_) => {}
        }
    }
    match there.keys().find(|path| !listed.contains_key(*path)) {
        Some(path) => Err(format!("{} is too much", String::from_utf8_lossy(path))),
        None => Ok(()),
    }
}

/// What a listing says of each path: `directory MODE`, `file MODE SIZE SHA256`, `link TARGET`.
fn entries_listed(listing: &[u8]) -> Result<BTreeMap<Vec<u8>, String>, String> {
    let text = listing.strip_suffix(b"\n").ok_or("its listing does not end with a line feed")?;
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned());
    if lines.next().as_deref() != Some("#cutover.tree/1") {
        return Err("its listing has another head".to_owned());
    }
    let mut entries = BTreeMap::new();
    while let Some(line) = lines.next() {
        let broken = || format!("its listing has the line {line:?}");
        let (path, what) = if let Some(rest) = line.strip_prefix("#d ") {
            let (mode, path) = rest.split_once(' ').ok_or_else(broken)?;
            (plain(path), format!("directory {mode}"))
        } else if let Some(rest) = line.strip_prefix("#f ") {
            let next = lines.next().ok_or_else(broken)?;
            let (sum, path) = next.trim_start_matches('\\').split_once("  ").ok_or_else(broken)?;
            (plain(path.strip_prefix("./").unwrap_or(path)), format!("file {rest} {sum}"))
        } else if let Some(rest) = line.strip_prefix("#l ") {
            let (path, target) = rest.split_once(" -> ").ok_or_else(broken)?;
            (plain(path), format!("link {}", String::from_utf8_lossy(&plain(target))))
        } else {
            return Err(broken());
        };
        entries.insert(path, what);
    }
    Ok(entries)
}

/// Takes the escapes of sha256sum back.
fn plain(text: &str) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b's') => b' ',
                other => other.unwrap_or(b'\\'),
            },
            byte => byte,
        });
    }
    plain
}

/// Calls `each` with every path under a directory and what it is, following nothing.
fn walk(top: &Path, each: &mut impl FnMut(&Path, String)) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", top.display());
    let mut waiting = vec![top.to_owned()];
    if !top.symlink_metadata().map_err(failed)?.is_dir() {
        return Err("it is no directory".to_owned());
    }
    while let Some(dir) = waiting.pop() {
        for child in fs::read_dir(&dir).map_err(failed)? {
            let path = child.map_err(failed)?.path();
            let meta = path.symlink_metadata().map_err(failed)?;
            let mode = super::mode(&meta);
            if meta.is_dir() {
                each(&path, format!("directory {mode:04o}"));
                waiting.push(path);
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(failed)?.into_os_string().into_vec();
                each(&path, format!("link {}", String::from_utf8_lossy(&target)));
            } else if meta.is_file() {
                let content = fs::read(&path).map_err(failed)?;
                each(&path, format!("file {mode:04o} {} {}", meta.len(), sha256(&content)));
            } else {
                each(&path, "something else".to_owned());
            }
        }
    }
    Ok(())
}

/// The regular files under a directory.
pub(super) fn files_under(top: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let _ = walk(top, &mut |path, what| {
        if what.starts_with("file") {
            files.push(path.to_owned());
        }
    });
    files
}

/// Everything under a root; what the locks say of their last holder is left out.
pub(super) fn fingerprints(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let _ = walk(root, &mut |path, what| {
        let lock = path.ends_with(".cutover/lock") || path.ends_with(".cutover/deploy");
        all.insert(path.to_owned(), if lock { String::new() } else { what });
    });
    all
}

/// What there is of each id: its tree, its manifest, its listing, its pin; and `shared/` as if that were one. The
/// identity of each file is part of it, so that what was replaced by the same shows.
pub(super) fn by_id(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in ["releases", ".cutover/manifests", ".cutover/tree", ".cutover/pins", "shared"] {
        let _ = walk(&root.join(part), &mut |path, what| {
            let meta = path.symlink_metadata();
            let identity = meta.map_or((0, 0, 0), |meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()));
            let below = path.strip_prefix(root).unwrap_or(path).display().to_string();
            let name = below.trim_start_matches(part).trim_start_matches('/').split('/').next().unwrap_or_default();
            // A directory's own time says only that a name in it came or went, which shows by itself.
            let identity =
                if what.starts_with("directory") { format!("{}", identity.0) } else { format!("{identity:?}") };
            let id = if part == "shared" { "shared" } else { id_of(name) };
            let content =
                if part.ends_with("pins") { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
            parts.entry(id.to_owned()).or_default().push(format!("{below} {identity} {what} {content}"));
        });
    }
    for of_one in parts.values_mut() {
        of_one.sort();
    }
    parts
}

/// The id that a name is about: `ID`, `ID.json`, and `.ID.json.RANDOM` before it gets its name.
fn id_of(name: &str) -> &str {
    let hidden = name.strip_prefix('.').and_then(|name| Some(name.rsplit_once('.')?.0));
    let name = hidden.unwrap_or(name);
    name.strip_suffix(".json").unwrap_or(name)
}

/// What belongs to nothing: see [`super::Checker::debris`].
pub(super) fn debris(root: &Path) -> Vec<String> {
    let state = root.join(".cutover");
    let mut left: Vec<String> = Vec::new();
    for part in ["staging", "trash"] {
        left.extend(names(&state.join(part)).into_iter().map(|name| format!(".cutover/{part}/{name}")));
    }
    let releases = names(&root.join("releases"));
    for (part, suffix) in [("manifests", ".json"), ("pins", ".json"), ("tree", "")] {
        let of_none = names(&state.join(part))
            .into_iter()
            .filter(|name| name.strip_suffix(suffix).is_none_or(|id| !releases.iter().any(|release| release == id)));
        left.extend(of_none.map(|name| format!(".cutover/{part}/{name}")));
    }
    let of_state =
        ["lock", "deploy", "history.jsonl", "run.json", "manifests", "tree", "pins", "staging", "trash", "mirrors"];
    left.extend(
        names(&state)
            .into_iter()
            .filter(|name| !of_state.contains(&name.as_str()))
            .map(|name| format!(".cutover/{name}")),
    );
    left.extend(names(root).into_iter().filter(|name| name.starts_with('.') && name != ".cutover"));
    left
}
