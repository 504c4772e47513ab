//! The deletion engine: takes trees apart by directory descriptors, several directories at a time.
//!
//! Nothing is named by a path, no link is followed, no mount is entered, and `..` is never used: what is
//! removed is what a held directory lists, so whoever swaps directories and links meanwhile can only
//! change which of the tree's own entries go first. Neither depth nor width costs memory or descriptors:
//! what lies too deep is renamed to the top of its tree, and wide directories are read in batches.

mod entries;
mod node;
mod queue;
mod work;

#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dir::Dir;

use node::Node;
use queue::{Job, Queue};

/// Threads at work: a second one gains a third; more only wait for the same journal.
const WORKERS: usize = 2;
/// How many of the entries that could not be removed are named.
const NAMED: usize = 100;

/// What a deletion came to.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    /// Entries that are gone: files, links, directories.
    pub(crate) entries: u64,
    /// Disk space of what had no other name.
    pub(crate) freed_bytes: u64,
    /// How many entries could not be removed; directories that are only not empty do not count.
    pub(crate) left: u64,
    /// The first of them.
    pub(crate) named: Vec<Leftover>,
    /// Whether it was told to stop before all was tried.
    pub(crate) stopped: bool,
}

/// An entry that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Its path below the directory that was given.
    pub(crate) path: String,
    /// Why.
    pub(crate) why: String,
}

/// Removes the entries `names` of `parent` with all beneath them. Goes on after errors; asks `must_stop`
/// before each directory.
pub(crate) fn delete(parent: &Dir, names: &[String], must_stop: &(dyn Fn() -> bool + Sync)) -> Deleted {
    let tally = Tally::default();
    let Some(top) = Node::above(parent) else {
        tally.note_left(parent.path().display().to_string(), "the directory cannot be held twice");
        return tally.into_deleted(false);
    };
    let top = Arc::new(top);
    top.expect(names.len());
    // Popped from the end, so the first name goes first.
    let jobs = names.iter().rev().filter_map(|name| CString::new(name.as_str()).ok());
    let queue = Queue::of(jobs.map(|name| Job::Enter(Arc::clone(&top), name)).collect());
    std::thread::scope(|scope| {
        for _ in 1..WORKERS {
            // Where no thread can be had, one does it all.
            let _ = std::thread::Builder::new().spawn_scoped(scope, || work::work(&queue, &tally, must_stop));
        }
        work::work(&queue, &tally, must_stop);
    });
    tally.into_deleted(queue.was_stopped())
}

/// What the workers count together.
#[derive(Debug, Default)]
struct Tally {
    entries: AtomicU64,
    freed_bytes: AtomicU64,
    left: AtomicU64,
    named: Mutex<Vec<Leftover>>,
}

impl Tally {
    fn note_removed(&self, entries: u64, bytes: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.freed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn note_left(&self, path: String, why: &str) {
        self.left.fetch_add(1, Ordering::Relaxed);
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < NAMED {
            named.push(Leftover { path, why: why.to_owned() });
        }
    }

    fn into_deleted(self, stopped: bool) -> Deleted {
        let mut named = self.named.into_inner().unwrap_or_else(PoisonError::into_inner);
        named.sort_by(|one, other| one.path.cmp(&other.path));
        Deleted {
            entries: self.entries.into_inner(),
            freed_bytes: self.freed_bytes.into_inner(),
            left: self.left.into_inner(),
            named,
            stopped,
        }
    }
}
