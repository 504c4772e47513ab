//! The short lock: who changes something under a root holds it, for milliseconds.

use std::cell::{Ref, RefCell};
use std::ops::Deref;

use anyhow::{Context, bail};
use dir::{ActingAs, Flock, Wait};
use nix::errno::Errno;
use record::{Exit, Failure, Holder};

use crate::history::{History, Journal};
use crate::{Root, recover};

/// The held short lock of a root. Every function that changes the root asks for it. While it lives, this process acts
/// as the root's owner.
#[derive(Debug)]
pub struct Lock<'r> {
    root: &'r Root,
    journal: RefCell<Journal>,
    flock: Flock,
    _acting: ActingAs,
}

impl Root {
    /// Takes the short lock, waiting at most `wait` (else 75, `lock.busy`, naming the holder). Then settles what others
    /// left: a torn line of the history is cut off, open intents are closed by what their links say, links changed by
    /// hand are recorded as found.
    pub fn lock(&self, wait: Wait, tool: &str) -> anyhow::Result<Lock<'_>> {
        let lock = self.lock_to_adopt(wait, tool)?;
        lock.settle()?;
        Ok(lock)
    }

    /// The same without settling anything: for an adoption, which first writes what was before anything is found.
    /// It ends with [`Lock::settle`].
    pub fn lock_to_adopt(&self, wait: Wait, tool: &str) -> anyhow::Result<Lock<'_>> {
        let acting = self.rootdir().act_as_owner()?;
        let flock = match self.state().lock_file("lock", 0o600, wait) {
            // Says nothing of the lock.
            Err(e) if e.errno() == Errno::EROFS => return Err(e.into()),
            Err(e) => return Err(e).context(unusable_lock(self)),
            Ok(Err(busy)) => bail!(self.busy(Holder::read_from(&busy))),
            Ok(Ok(flock)) => flock,
        };
        // For people only; on a full disk there is no room for it, and a collection must still get the lock.
        let _ = Holder::this(tool).write_to(flock.file());
        let journal = Journal::open(self)?;
        Ok(Lock { root: self, journal: RefCell::new(journal), flock, _acting: acting })
    }

    fn busy(&self, holder: Option<Holder>) -> Failure {
        let who = holder.map_or_else(|| "somebody who has just taken it".to_owned(), |holder| holder.to_string());
        Failure::new(Exit::Busy, "lock.busy", format!("{} is locked by {who}", self.path().display()))
            .hint("it is held for milliseconds at a time; wait longer with --lock-wait, or see what that process does")
            .retryable()
    }
}

fn unusable_lock(root: &Root) -> Failure {
    let path = root.state().path().join("lock");
    let exit = match root.state().stat_if_there("lock") {
        Ok(Some(stat)) if stat.kind() != dir::Kind::File => Exit::Unsafe,
        _ => Exit::Failed,
    };
    Failure::new(exit, "lock.unusable", format!("{} cannot be locked", path.display()))
        .hint(format!("it must be a regular file of the root's owner, mode 0600: see ls -l {}", path.display()))
}

impl Lock<'_> {
    /// Settles what others left, as [`Root::lock`] does at its start.
    pub fn settle(&self) -> anyhow::Result<()> {
        recover::recover(self)
    }

    /// The history as it is now, what was appended under this lock included.
    pub fn history(&self) -> Ref<'_, History> {
        Ref::map(self.journal.borrow(), Journal::history)
    }

    /// The file of the history, to append to.
    pub(crate) fn journal(&self) -> &RefCell<Journal> {
        &self.journal
    }
}

impl Deref for Lock<'_> {
    type Target = Root;

    fn deref(&self) -> &Root {
        self.root
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Whoever waits next and reads the file must not be told of a holder that is gone. Were it to fail, the name
        // is merely stale.
        let _ = self.flock.file().set_len(0);
    }
}
