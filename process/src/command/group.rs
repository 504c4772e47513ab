//! The process group of a child: ended as a whole, so that nothing it started is left behind.
//!
//! The group's number is safe to signal as long as its leader has not been collected, which is why the
//! leader is collected last.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::stat::all_pids;
use crate::{Waited, Watched, stat};

/// Signals every process of the group; one that may not be signalled (a setuid program) stays.
pub(super) fn signal(leader: u32, signal: Signal) {
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // ESRCH and EPERM leave nothing to be done about it.
        let _ = kill_process_group(group, signal);
    }
}

/// Waits until no process of the group but the leader's remains is running, or `deadline`. Says whether
/// all have ended.
pub(super) fn wait_members(leader: u32, deadline: Instant, interrupts: Option<BorrowedFd<'_>>) -> bool {
    loop {
        let Some(member) = living_member(leader) else { return true };
        match member.wait_end(deadline, interrupts) {
            Ok(Waited::Ended) => {}
            _ => return false,
        }
    }
}

fn living_member(leader: u32) -> Option<Watched> {
    let pids = all_pids().unwrap_or_default();
    pids.into_iter().filter(|pid| *pid != leader).find_map(|pid| match stat(pid) {
        Ok(Some(found)) if found.group == leader && !found.has_ended() => Watched::of(pid).ok().flatten(),
        _ => None,
    })
}
