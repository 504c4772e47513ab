//! What fuzzing holds against the archive readers: bytes go in, and a law that breaks is a panic. No part of the
//! interface.
#![expect(clippy::disallowed_methods, reason = "it makes and clears the directories that archives are unpacked in")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use dir::Dir;
use record::Failure;

use crate::entries::Entries;
use crate::exclude::Exclude;
use crate::progress::Meter;
use crate::source::archive::target::Target;
use crate::source::archive::{Limits, names, symlinks, tar, zip};

/// A tar archive, plain or compressed, is unpacked beneath a directory or refused as a whole; a plain one comes to the same
/// whether it is read as a stream, as it is where its own digest is wanted, or by its headers.
pub fn tar(bytes: &[u8]) {
    let [stream, headers] = [true, false]
        .map(|hashed| unpacked(bytes, hashed, |file, target| tar::read(file, target, &mut || Ok(())).map(drop)));
    assert_eq!(stream, headers, "read in two ways it is two things");
}

/// A zip archive is unpacked beneath a directory or refused as a whole.
pub fn zip(bytes: &[u8]) {
    unpacked(bytes, true, |file, target| zip::read(file, target, &mut || Ok(())).map(drop));
}

/// The names of members, one to a line, are paths beneath the top or refused; and of symlinks among them, `NAME -> TARGET`,
/// all that pass stay beneath the top when they are followed.
pub fn members(bytes: &[u8]) {
    let mut links = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let arrow = line.windows(4).position(|window| window == b" -> ");
        let (name, target) = arrow.map_or((line, None), |at| (&line[..at], Some(&line[at + 4..])));
        let Ok(path) = names::path(name) else { continue };
        assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{path:?}");
        assert!(path.components().count() <= 64);
        if let Some(target) = target.filter(|_| !path.as_os_str().is_empty()) {
            links.insert(path, std::os::unix::ffi::OsStringExt::from_vec(target.to_vec()));
        }
    }
    if symlinks::first_that_leaves(&links, &mut || Ok(())).is_ok_and(|leaves| leaves.is_none()) {
        for path in links.keys() {
            assert!(followed(path, &links), "{} leaves the tree: {links:?}", path.display());
        }
    }
}

/// Follows a link as the kernel does, one component at a time from the top; whether it never climbs above that.
fn followed(path: &Path, links: &BTreeMap<PathBuf, std::ffi::OsString>) -> bool {
    let mut ahead: Vec<std::ffi::OsString> = path.iter().rev().map(ToOwned::to_owned).collect();
    let mut at: Vec<std::ffi::OsString> = Vec::new();
    let mut steps = 0;
    while let Some(part) = ahead.pop() {
        steps += 1;
        if part == "/" {
            return false;
        }
        if part == ".." {
            if at.pop().is_none() {
                return false;
            }
        } else if part != "." {
            at.push(part);
            if let Some(target) = links.get(&at.iter().collect::<PathBuf>()) {
                at.pop();
                ahead.extend(Path::new(target).iter().rev().map(ToOwned::to_owned));
            }
        }
        // Forty links of at most a line each: the kernel would have given up before.
        if steps > 1_000_000 {
            return true;
        }
    }
    true
}

/// Unpacks into an empty directory and looks at what is there: only plain files, directories and links that stay
/// inside, none with rights that an archive must not give, no more than is allowed, and nothing beside it. Says what came of
/// an archive that was not refused.
fn unpacked(bytes: &[u8], hashed: bool, read: impl FnOnce(File, &Target<'_>) -> Result<()>) -> Option<Tree> {
    let place = place();
    let (top, beside) = (place.join("tree"), place.join("beside"));
    fs::create_dir_all(&top).expect("make a directory");
    fs::create_dir_all(&beside).expect("make a directory");
    fs::write(beside.join("canary"), "untouched").expect("write the canary");
    let mut archive = File::options().read(true).write(true).create(true).truncate(true).open(place.join("archive"));
    let archive = archive.as_mut().expect("make an archive");
    archive.write_all(bytes).and_then(|()| archive.rewind()).expect("write the archive");
    let limits = Limits { bytes: Some(4 << 20), files: Some(200), external_symlinks: false };
    let outcome = {
        let tree = Dir::open(&top).expect("open the tree");
        let target = Target {
            tree: &tree,
            exclude: &Exclude::new(&[], Vec::new()).expect("no pattern"),
            limits,
            entries: &Entries::new(Dir::open(&beside).expect("open a directory")),
            meter: &Meter::default(),
            now: 1_800_000_000,
            previous: None,
            timeless: false,
            hashed,
            blobs: None,
            stopped: &AtomicBool::new(false),
        };
        read(archive.try_clone().expect("a second descriptor"), &target)
    };
    let whole = outcome.is_ok();
    if let Err(error) = outcome {
        let failure = error.downcast_ref::<Failure>().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()));
        let disk = error.chain().any(|cause| cause.is::<dir::Error>());
        assert!(failure.is_some() || disk, "refused without a code: {error:#}");
    }
    let mut bytes = 0;
    let mut there = Tree::new();
    walk(&top, &mut |path, meta| {
        let content = if meta.is_file() { fs::read(path).expect("read a file") } else { Vec::new() };
        there.insert(path.to_owned(), (meta.mode(), meta.mtime(), content));
        assert!(meta.is_dir() || meta.is_file() || meta.is_symlink(), "{} is something else", path.display());
        if !meta.is_symlink() {
            assert_eq!(meta.mode() & 0o7022, 0, "{} has the mode {:o}", path.display(), meta.mode());
            bytes += if meta.is_file() && meta.nlink() == 1 { meta.len() } else { 0 };
        } else if whole {
            let target = fs::read_link(path).expect("read a link");
            assert!(!target.is_absolute(), "{} is absolute", path.display());
            if let Ok(real) = path.canonicalize() {
                assert!(real.starts_with(top.canonicalize().expect("the tree")), "{} leads out", path.display());
            }
        }
    });
    assert!(bytes <= limits.archive_bytes(), "{bytes} bytes were unpacked");
    let mut made: Vec<_> = fs::read_dir(&place).expect("list").flatten().map(|entry| entry.file_name()).collect();
    made.sort();
    assert_eq!(made, ["archive", "beside", "tree"], "something was made beside the tree");
    assert_eq!(fs::read(beside.join("canary")).expect("the canary"), b"untouched");
    assert_eq!(fs::read_dir(&beside).expect("list").count(), 1, "something was made beside the tree");
    fs::remove_dir_all(&top).expect("clear the tree");
    whole.then_some(there)
}

/// Mode, time and content of each path.
type Tree = BTreeMap<PathBuf, (u32, i64, Vec<u8>)>;

/// A directory in memory that is this thread's own.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let thread = format!("{:?}", std::thread::current().id());
    base.join(format!("cutover-fuzz-{}-{}", std::process::id(), thread.replace(|c: char| !c.is_ascii_digit(), "")))
}

fn walk(dir: &Path, each: &mut impl FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(dir).expect("list a directory").flatten() {
        let meta = entry.path().symlink_metadata().expect("look at an entry");
        each(&entry.path(), &meta);
        if meta.is_dir() {
            walk(&entry.path(), each);
        }
    }
}

#[cfg(test)]
mod tests {
    use record::fuzz::replay;

    #[test]
    fn the_corpora_of_archives_break_no_law() {
        assert!(replay("tar", 6, super::tar) > 5);
        assert!(replay("zip", 6, super::zip) > 3);
        assert!(replay("members", 64, super::members) > 3);
        std::fs::remove_dir_all(super::place()).expect("clear up");
    }
}
