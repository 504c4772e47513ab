//! Whether all later stages of the pipe have started and taken their command lines.
//!
//! A later stage that is misspelt or wrongly called is gone a moment after the shell started it, and then stdout has no
//! reader. But a fast first stage could act before that moment. So every stage marks the pipe it reads from once its
//! own command line is right and its own reader is ready too, and before its first effect it waits for the mark on the
//! pipe it writes to. The mark is the pipe's capacity (F_SETPIPE_SZ, fcntl(2)), which both ends can see. A reader that is
//! none of our tools never marks: the process that started the pipe is recognised, for others there is a grace.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::fstat;

/// The capacity that is the mark, in bytes: twice the usual one.
const MARK: i32 = 128 << 10;
/// When an ancestor that still holds the reading end is taken to be the reader: a shell that is still starting the
/// later stages holds it for an instant too.
const STARTING: Duration = Duration::from_millis(50);
/// How long a reader that never marks is waited for.
const GRACE: Duration = Duration::from_millis(300);

/// What is known of the later stages.
#[derive(Debug)]
pub(crate) struct Downstream {
    began: Instant,
    is_ready: bool,
}

impl Downstream {
    /// Nothing yet; the grace begins now.
    pub(crate) fn unknown() -> Self {
        Self { began: Instant::now(), is_ready: false }
    }

    /// Whether the later stages are ready, as far as that can be known or waited for.
    pub(crate) fn is_ready(&mut self, stdout: BorrowedFd<'_>) -> bool {
        self.is_ready = self.is_ready
            || !is_pipe(stdout)
            || fcntl(stdout, FcntlArg::F_GETPIPE_SZ) == Ok(MARK)
            || self.began.elapsed() > GRACE
            || (self.began.elapsed() > STARTING && an_ancestor_reads(stdout));
        self.is_ready
    }
}

/// Tells the stage before that this one and all later ones are ready.
pub(crate) fn mark(stdin: impl AsFd) {
    // Where the user's share of pipe memory is used up, the stage before waits for its grace instead.
    let _ = fcntl(stdin, FcntlArg::F_SETPIPE_SZ(MARK));
}

fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFIFO)
}

/// Whether a process above this one holds the reading end: a command substitution, or a program that captures us.
fn an_ancestor_reads(stdout: BorrowedFd<'_>) -> bool {
    let Ok(pipe) = fstat(stdout) else { return false };
    ancestors().take(8).any(|pid| reads(pid, (pipe.st_dev, pipe.st_ino)))
}

/// Whether this process is one of those above us.
pub(crate) fn is_an_ancestor(pid: i32) -> bool {
    ancestors().take(64).any(|ancestor| ancestor == pid)
}

fn ancestors() -> impl Iterator<Item = i32> {
    let parent = Some(nix::unistd::getppid().as_raw());
    std::iter::successors(parent, |pid| parent_of(*pid)).take_while(|pid| *pid > 1)
}

fn reads(pid: i32, pipe: (u64, u64)) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| {
        let is_same = nix::sys::stat::stat(&entry.path()).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == pipe);
        is_same && is_reading_end(pid, &entry.file_name().to_string_lossy())
    })
}

fn is_reading_end(pid: i32, fd: &str) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & libc::O_ACCMODE == libc::O_RDONLY)
}

fn parent_of(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_pipe_is_ready_at_once_and_an_unmarked_one_only_in_time() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut downstream = Downstream::unknown();
        assert!(!downstream.is_ready(writer.as_fd()));
        mark(&reader);
        assert!(downstream.is_ready(writer.as_fd()));
        let (_reader, writer) = std::io::pipe().unwrap();
        let mut late = Downstream { began: Instant::now().checked_sub(GRACE * 2).unwrap(), is_ready: false };
        assert!(late.is_ready(writer.as_fd()));
    }

    #[test]
    fn what_is_no_pipe_needs_no_waiting() {
        let file = tempfile::tempfile().unwrap();
        assert!(Downstream::unknown().is_ready(file.as_fd()));
    }
}
