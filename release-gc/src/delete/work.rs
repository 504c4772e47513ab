//! What one worker does with a directory: removes its files, leaves its subdirectories to whoever is
//! free, and removes it when the last of them is gone.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, FileType, SeekFrom, StatxFlags, seek, statx};
use rustix::io::Errno;

use super::Tally;
use super::entries::Batch;
use super::node::{NoDirectory, Node, space};
use super::queue::{Job, Queue};

/// Levels that are open at a time; what lies deeper is moved to the top first. Two workers then hold less
/// than forty descriptors.
const DEEPEST: u32 = 16;
/// How often a directory that is not empty after all is read again, when somebody still writes in it.
const REREADINGS: u32 = 3;
/// From so many entries in a batch on, a thread of its own looks at them ahead of their removal.
const WORTH_LOOKING_AHEAD: usize = 4096;
const PART: usize = 512;

struct Worker<'w> {
    queue: &'w Queue,
    tally: &'w Tally,
    batch: Batch,
}

pub(super) fn work(queue: &Queue, tally: &Tally, must_stop: &(dyn Fn() -> bool + Sync)) {
    let mut worker = Worker { queue, tally, batch: Batch::new() };
    while let Some(job) = queue.take() {
        if must_stop() {
            queue.stop();
        } else {
            match job {
                Job::Enter(parent, name) => worker.enter(&parent, name),
                Job::Continue(node) => worker.empty(node),
            }
        }
        queue.step_done();
    }
}

impl Worker<'_> {
    fn enter(&mut self, parent: &Arc<Node>, name: CString) {
        match Node::enter(parent, name.clone()) {
            // Its step counts for the parent until it is removed itself.
            Ok(node) => return self.empty(Arc::new(node)),
            Err(NoDirectory::Gone) => {}
            Err(NoDirectory::Other) => self.remove_file(parent, &name),
            Err(NoDirectory::Mount) => self.leave(parent, &name, "something is mounted there"),
            Err(NoDirectory::Refused(errno)) => self.leave(parent, &name, &why(errno)),
        }
        self.step_done(Arc::clone(parent));
    }

    /// Removes the files of a directory and hands on its subdirectories, batch by batch.
    fn empty(&mut self, node: Arc<Node>) {
        loop {
            let is_end = match self.batch.read(&node.fd) {
                Ok(is_end) => is_end,
                Err(errno) => {
                    self.leave(&node, c"", &why(errno));
                    true
                }
            };
            self.batch.sort();
            let directories = self.remove_files(&node);
            let jobs = self.to_enter(&node, directories);
            let has_jobs = !jobs.is_empty();
            if !is_end && has_jobs {
                // Beneath them on the stack: the rest is read when they are gone.
                self.queue.push(std::iter::once(Job::Continue(node)).chain(jobs));
                return;
            }
            if has_jobs {
                self.queue.push(jobs.into_iter());
            }
            if is_end {
                return self.step_done(node);
            }
        }
    }

    /// Removes what is no directory; what is one comes back.
    fn remove_files(&self, node: &Arc<Node>) -> Vec<CString> {
        let entries: Vec<(&CStr, FileType)> = self.batch.iter().collect();
        if entries.len() < WORTH_LOOKING_AHEAD {
            return self.remove_part(node, &entries, &vec![None; entries.len()]);
        }
        // Entries of one directory are removed one after the other, whoever asks; only looking at them can be done
        // meanwhile, and what was looked at is found faster.
        std::thread::scope(|scope| {
            let (ahead, looked_at) = std::sync::mpsc::sync_channel(2);
            let parts = entries.chunks(PART);
            let to_look_at = parts.clone();
            // Without a thread to spare each is looked at right before it goes.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                for part in to_look_at {
                    let spaces: Vec<_> = part.iter().map(|(name, kind)| look_at(node, name, *kind)).collect();
                    if ahead.send(spaces).is_err() {
                        return;
                    }
                }
            });
            let removed = parts.map(|part| {
                let spaces = looked_at.recv().unwrap_or_else(|_| vec![None; part.len()]);
                self.remove_part(node, part, &spaces)
            });
            removed.flatten().collect()
        })
    }

    fn remove_part(&self, node: &Arc<Node>, entries: &[(&CStr, FileType)], looked_at: &[Option<u64>]) -> Vec<CString> {
        let mut directories = Vec::new();
        let (mut removed, mut bytes) = (0, 0);
        for ((name, kind), space_ahead) in entries.iter().zip(looked_at) {
            if *kind == FileType::Directory {
                directories.push((*name).to_owned());
                continue;
            }
            if *kind == FileType::Symlink && dir::planted("follow-link-in-deletion") {
                node.empty_where_it_leads(name);
            }
            let bytes_of_it = space_ahead.or_else(|| look_at(node, name, *kind)).unwrap_or(0);
            match node.unlink(name, AtFlags::empty()) {
                Ok(()) => {
                    removed += 1;
                    bytes += bytes_of_it;
                }
                Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => directories.push((*name).to_owned()),
                Err(errno) => self.leave(node, name, &why(errno)),
            }
        }
        self.tally.note_removed(removed, bytes);
        directories
    }

    fn to_enter(&self, node: &Arc<Node>, directories: Vec<CString>) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(directories.len());
        for name in directories {
            let (parent, name) = match Some(node).filter(|node| node.depth >= DEEPEST).and_then(|node| node.lift(&name))
            {
                Some(lifted) => lifted,
                // What cannot be lifted (its own mode may forbid it, or something is mounted there) is entered where it is.
                None => (Arc::clone(node), name),
            };
            parent.expect(1);
            jobs.push(Job::Enter(parent, name));
        }
        jobs
    }

    fn remove_file(&self, node: &Arc<Node>, name: &CStr) {
        match node.unlink(name, AtFlags::empty()) {
            Ok(()) => self.tally.note_removed(1, 0),
            Err(Errno::NOENT) => {}
            Err(errno) => self.leave(node, name, &why(errno)),
        }
    }

    /// One step of `node` is done; when it was the last, the directory goes, and so on upwards.
    fn step_done(&self, node: Arc<Node>) {
        let mut node = node;
        while node.is_done() {
            let Some(parent) = node.parent.clone() else { return };
            if node.has_leftovers.load(Ordering::Relaxed) {
                parent.has_leftovers.store(true, Ordering::Relaxed);
            } else {
                match parent.unlink(&node.name, AtFlags::REMOVEDIR) {
                    Ok(()) => self.tally.note_removed(1, node.bytes),
                    Err(Errno::NOENT) => {}
                    Err(Errno::NOTEMPTY | Errno::EXIST) if self.read_again(&node) => return,
                    Err(errno) => self.leave(&parent, &node.name, &why(errno)),
                }
            }
            node = parent;
        }
    }

    fn read_again(&self, node: &Arc<Node>) -> bool {
        if node.rereadings.fetch_add(1, Ordering::Relaxed) >= REREADINGS || seek(&node.fd, SeekFrom::Start(0)).is_err()
        {
            return false;
        }
        node.expect(1);
        self.queue.push(std::iter::once(Job::Continue(Arc::clone(node))));
        true
    }

    fn leave(&self, node: &Arc<Node>, name: &CStr, why: &str) {
        node.has_leftovers.store(true, Ordering::Relaxed);
        self.tally.note_left(node.path_of(name), why);
    }
}

/// What removing a file gives back; `None` while it has another name.
fn look_at(node: &Node, name: &CStr, kind: FileType) -> Option<u64> {
    if !matches!(kind, FileType::RegularFile | FileType::Unknown | FileType::Symlink) {
        return Some(0);
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let found = statx(&node.fd, name, flags, StatxFlags::NLINK | StatxFlags::BLOCKS).ok()?;
    (found.stx_nlink == 1).then(|| space(found.stx_blocks))
}

fn why(errno: Errno) -> String {
    match errno {
        Errno::PERM => "not permitted: it may be immutable, or another user's".to_owned(),
        Errno::BUSY => "something is mounted there".to_owned(),
        errno => std::io::Error::from(errno).to_string(),
    }
}
