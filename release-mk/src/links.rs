//! Hard links inside a tree: the first name of an inode is copied, every further one becomes a link to it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::content::Sha;

/// The first copy of an inode that has several names.
#[derive(Debug, Clone)]
pub(crate) struct Copied {
    /// Its directory, relative to the tree.
    pub(crate) parent: Arc<PathBuf>,
    /// Its name in there.
    pub(crate) name: OsString,
    /// Its digest.
    pub(crate) sha256: Sha,
}

/// Which inodes with several names have been met. Holds an entry for each: trees whose every file
/// has a second name elsewhere cost some 100 bytes per file here.
#[derive(Default)]
pub(crate) struct Links {
    met: Mutex<HashMap<(u64, u64), Option<Copied>>>,
    settled: Condvar,
}

impl Links {
    /// `Some` when another name of the inode has been copied; waits while another thread is at it.
    /// `None` makes it the caller's task to copy it and to [`settle`](Self::settle), or to stop everybody.
    pub(crate) fn claim(&self, inode: (u64, u64), stopped: &dyn Fn() -> bool) -> Option<Copied> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match met.get(&inode) {
                None => {
                    met.insert(inode, None);
                    return None;
                }
                Some(Some(copied)) => return Some(copied.clone()),
                Some(None) if stopped() => return None,
                Some(None) => {
                    let wait = self.settled.wait_timeout(met, Duration::from_millis(50));
                    met = wait.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Says where the copy is and wakes whoever waits for it.
    pub(crate) fn settle(&self, inode: (u64, u64), copied: Copied) {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).insert(inode, Some(copied));
        self.settled.notify_all();
    }
}
