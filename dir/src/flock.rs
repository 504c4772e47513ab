//! Exclusive kernel locks on files; the only file that knows fs2.
//!
//! A lock belongs to the open file description: it is free the moment the last descriptor of it
//! closes, also by kill -9, and the file itself is never unlinked.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use fs2::FileExt;
use nix::poll::{PollTimeout, poll};

/// How long to wait for a lock that somebody else holds; zero asks once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

/// A held lock; dropping it frees it, unless a child holds the same open file.
#[derive(Debug)]
pub struct Flock {
    file: File,
}

impl Flock {
    /// Locks `file` exclusively, asking again every few milliseconds until `wait` is over.
    ///
    /// `Ok(Err(file))` gives the file back when somebody else still holds the lock.
    pub fn acquire(file: File, wait: Wait) -> io::Result<Result<Self, File>> {
        let deadline = Instant::now() + wait.0;
        if crate::planted("no-lock") {
            return Ok(Ok(Self { file }));
        }
        loop {
            match file.try_lock_exclusive() {
                Ok(()) if crate::planted("lock-dropped-early") => {
                    return FileExt::unlock(&file).map(|()| Ok(Self { file }));
                }
                Ok(()) => return Ok(Ok(Self { file })),
                Err(e) if e.kind() == fs2::lock_contended_error().kind() => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Err(file));
            }
            pause(left.min(Duration::from_millis(10)));
        }
    }

    /// The locked file, to read and write what it holds.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn pause(duration: Duration) {
    let timeout = PollTimeout::try_from(duration).unwrap_or(PollTimeout::MAX);
    // An interrupted wait only means that the lock is asked for earlier.
    let _ = poll(&mut [], timeout);
}
