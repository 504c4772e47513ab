//! One process, looked at through its links in /proc.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Dir, Mode, OFlags, fstat, openat, readlinkat};

use super::tree::{Trees, without_mark};
use super::{By, Use};
use crate::ProcessStat;
use crate::mounts::{self, Mount};
use crate::stat::{has_vanished, living_base, stat};

/// What came of looking at a process.
pub(super) enum Looked {
    At(Vec<Use>),
    Refused,
    Gone,
}

/// A mount namespace as processes in it see it.
pub(super) struct View {
    is_ours: bool,
    /// The mounts of file systems that hold a tree.
    mounts: Vec<Mount>,
}

/// Directories above one another that a climb looks at, at most.
const HIGHEST_CLIMB: usize = 256;

pub(super) fn at(process: &ProcessStat, trees: &Trees<'_>, views: &mut HashMap<String, View>) -> io::Result<Vec<Use>> {
    let base = living_base(process);
    // Permission is asked by the very first link, whatever the process uses.
    let root = link(&format!("{base}/root"))?.unwrap_or_default();
    let namespace = link(&format!("{base}/ns/mnt"))?.unwrap_or_default();
    let key = format!("{} {}", String::from_utf8_lossy(&namespace), String::from_utf8_lossy(&root));
    if !views.contains_key(&key) {
        views.insert(key.clone(), View::read(&base, &namespace, &root, trees)?);
    }
    let mut finder = Finder { process, trees, view: &views[&key], uses: Vec::new(), seen: HashSet::new() };
    finder.add(By::Root, &root);
    let exe = link(&format!("{base}/exe"))?;
    // A main thread that ends shows nothing any more, but others may go on, and still do what they did.
    if exe.is_none() && stat(process.pid).is_ok_and(|now| now.is_some_and(|now| now.is_ending())) {
        return Err(io::ErrorKind::NotFound.into());
    }
    finder.add(By::Exe, &exe.unwrap_or_default());
    finder.add(By::Cwd, &link(&format!("{base}/cwd"))?.unwrap_or_default());
    if !finder.view.is_ours {
        finder.climb(By::Cwd, &format!("{base}/cwd"))?;
        finder.climb(By::Root, &format!("{base}/root"))?;
    }
    finder.open_files(&format!("{base}/fd"))?;
    finder.maps(&format!("{base}/maps"))?;
    Ok(finder.uses)
}

/// The target of a link of /proc; `None` when it leads nowhere, as `exe` of a process that is ending.
fn link(path: &str) -> io::Result<Option<Vec<u8>>> {
    match readlinkat(CWD, path, Vec::new()) {
        Ok(target) => Ok(Some(target.into_bytes())),
        Err(e) => match io::Error::from(e) {
            e if has_vanished(&e) => Ok(None),
            e => Err(e),
        },
    }
}

impl View {
    fn read(base: &str, namespace: &[u8], root: &[u8], trees: &Trees<'_>) -> io::Result<Self> {
        let is_ours = link("/proc/self/ns/mnt")?.is_some_and(|own| own == namespace);
        // A process with a root of its own sees a part of the table only; ours is whole.
        let table = if is_ours { "/proc/self/mountinfo".to_owned() } else { format!("{base}/mountinfo") };
        let mounts = mounts::read(&table)?.into_iter().filter(|mount| trees.are_on(&mount.device));
        let mounts = mounts.map(|mount| if is_ours { mount } else { mount.seen_from_above(root) });
        Ok(Self { is_ours, mounts: mounts.collect() })
    }

    fn tree_at(&self, path: &[u8], trees: &Trees<'_>) -> Option<usize> {
        let by_path = || trees.holding_path(path).filter(|_| self.is_ours);
        // Every mount the path could go through, not only the last: a mount on top of a tree is no
        // reason to take the tree away.
        let located = |mount: &Mount| trees.holding_location(&mount.device, &mount.locate(path)?);
        self.mounts.iter().find_map(located).or_else(by_path)
    }
}

struct Finder<'f> {
    process: &'f ProcessStat,
    trees: &'f Trees<'f>,
    view: &'f View,
    uses: Vec<Use>,
    seen: HashSet<(usize, By)>,
}

impl Finder<'_> {
    fn add(&mut self, by: By, shown: &[u8]) {
        // Sockets, pipes and anonymous memory have no path.
        if shown.first() != Some(&b'/') {
            return;
        }
        let plain = shown.strip_suffix(b" (deleted)").unwrap_or(shown);
        if let Some(index) = self.view.tree_at(plain, self.trees) {
            self.push(index, by, shown);
        }
    }

    fn push(&mut self, index: usize, by: By, shown: &[u8]) {
        if self.seen.insert((index, by)) {
            let tree = self.trees.get(index).label.clone();
            let command = self.process.command.clone();
            self.uses.push(Use { pid: self.process.pid, command, tree, by, path: without_mark(shown) });
        }
    }

    /// Goes from a directory upwards and compares device and inode: finds what the names of another
    /// namespace hide.
    fn climb(&mut self, by: By, path: &str) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from) {
            Err(e) if has_vanished(&e) => return Ok(()),
            opened => opened?,
        };
        let shown = link(path)?.unwrap_or_default();
        let mut here: OwnedFd = opened;
        let mut below = None;
        for _ in 0..HIGHEST_CLIMB {
            let found = fstat(&here)?;
            let identity = (found.st_dev, found.st_ino);
            if let Some(index) = self.trees.with_identity(identity) {
                self.push(index, by, &shown);
                return Ok(());
            }
            if below == Some(identity) {
                return Ok(());
            }
            below = Some(identity);
            here = openat(&here, "..", flags, Mode::empty())?;
        }
        Ok(())
    }

    fn open_files(&mut self, path: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty())?;
        let mut target = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            // Closed meanwhile, or `.` and `..`; that they may be read is known since the first link.
            let Ok(read) = readlinkat(&directory, name, std::mem::take(&mut target)) else { continue };
            target = read.into_bytes();
            self.add(By::File, &target);
        }
        Ok(())
    }

    fn maps(&mut self, path: &str) -> io::Result<()> {
        let mut lines = BufReader::new(File::open(path)?);
        let (mut line, mut last) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let shown = line.strip_suffix(b"\n").unwrap_or(&line);
            let Some(start) = shown.iter().position(|byte| *byte == b'/') else { continue };
            // A library is mapped in several pieces, one after the other.
            if shown[start..] != last[..] {
                last = shown[start..].to_vec();
                self.add(By::Map, &last);
            }
        }
    }
}
