//! [`Watched`]: one process held by a descriptor, so that its number cannot come to mean another one.
//!
//! The end of a process is an event of its pidfd, at once and whoever its parent is; asking with
//! `kill(pid, 0)` would find the zombie for as long as its parent likes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::stat;

/// A process that was there when it was opened.
#[derive(Debug)]
pub struct Watched {
    pid: u32,
    start_time: u64,
    fd: OwnedFd,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The process has ended.
    Ended,
    /// The deadline came first.
    TimedOut,
    /// The descriptor of interrupts became readable first.
    Interrupted,
}

impl Watched {
    /// Holds the process `pid`; `None` when there is none or it has ended.
    pub fn of(pid: u32) -> Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let fd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => fd,
            // EINVAL: the number is that of a thread, which is no process.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("watch process {pid}")),
        };
        // Read after the descriptor is held: the number is this process's until it has ended.
        match stat(pid)? {
            Some(stat) if !stat.has_ended() => Ok(Some(Self { pid, start_time: stat.start_time, fd })),
            _ => Ok(None),
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it started, in clock ticks since boot; another process under its number has another one.
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Whether it has ended by now, collected by its parent or not.
    pub fn has_ended(&self) -> Result<bool> {
        Ok(self.wait_end(Instant::now(), None)? == Waited::Ended)
    }

    /// Waits for its end until `deadline`, or until `interrupts` can be read.
    pub fn wait_end(&self, deadline: Instant, interrupts: Option<BorrowedFd<'_>>) -> Result<Waited> {
        loop {
            let mut fds = vec![PollFd::new(&self.fd, PollFlags::IN)];
            fds.extend(interrupts.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let left = deadline.saturating_duration_since(Instant::now());
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e).with_context(|| format!("wait for process {}", self.pid)),
            }
            if !fds[0].revents().is_empty() {
                return Ok(Waited::Ended);
            }
            if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
                return Ok(Waited::Interrupted);
            }
            if left.is_zero() {
                return Ok(Waited::TimedOut);
            }
        }
    }

    /// Sends it a signal; `false` when it has ended. Never hits another process.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(e) => Err(e).with_context(|| format!("send signal {} to process {}", signal.as_raw(), self.pid)),
        }
    }
}

impl AsFd for Watched {
    /// Readable once the process has ended: to poll together with other things.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
