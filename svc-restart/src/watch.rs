//! Small questions about processes and time that several parts ask.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// Sleeps until an instant, through any signal.
pub(crate) fn wait_until(until: Instant) {
    wait(until, None);
}

/// Sleeps until an instant, or until `interrupts` can be read; `false` in the second case.
pub(crate) fn wait_unless(until: Instant, interrupts: BorrowedFd<'_>) -> bool {
    wait(until, Some(interrupts))
}

fn wait(until: Instant, interrupts: Option<BorrowedFd<'_>>) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        let left =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        let mut fds: Vec<PollFd<'_>> = interrupts.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        if poll(&mut fds, Some(&left)).is_ok_and(|ready| ready > 0) {
            return false;
        }
    }
}

/// A descriptor that can be read as soon as one of several can (epoll(7)).
pub(crate) fn any_of(fds: &[BorrowedFd<'_>]) -> Result<OwnedFd> {
    let any = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (at, fd) in fds.iter().enumerate() {
        epoll::add(&any, fd, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
    }
    Ok(any)
}

/// The living children of a process; none when it has ended.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let mut living = Vec::new();
    let tasks = match std::fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(tasks) => tasks,
        Err(_) => return Ok(living),
    };
    // The kernel lists children by the thread that made them.
    for task in tasks.flatten() {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in list.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()) {
            if process::stat(child)?.is_some_and(|stat| !stat.has_ended()) {
                living.push(child);
            }
        }
    }
    Ok(living)
}
