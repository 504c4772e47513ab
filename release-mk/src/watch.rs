//! What ends a child early: a signal, or a later stage of the pipe that is gone.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use record::Pipe;
use rustix::event::epoll;

/// An error when nobody reads our stdout any more, or a signal came.
pub(crate) fn look(pipe: &Pipe) -> Result<()> {
    pipe.look_down()?;
    pipe.check_signals()
}

/// One descriptor that becomes readable when a signal came or nobody reads our stdout any more.
pub(crate) fn down_and_signals(pipe: &Pipe) -> Result<OwnedFd> {
    let watched = epoll::create(epoll::CreateFlags::CLOEXEC).context("watch for signals")?;
    epoll::add(&watched, pipe.interrupts(), epoll::EventData::new_u64(0), epoll::EventFlags::IN)
        .context("watch for signals")?;
    // Errors and hang-ups are told without asking. A file cannot be watched, and needs not be.
    let _ = epoll::add(&watched, std::io::stdout(), epoll::EventData::new_u64(1), epoll::EventFlags::empty());
    Ok(watched)
}
