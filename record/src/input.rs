//! The rules of stdin: when a record is expected, and how it is waited for.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;

use crate::downstream::{Downstream, mark};
use crate::json::LARGEST;
use crate::look::{broken, is_gone};
use crate::{Exit, Failure};

/// What stdin is, as far as records are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// A pipe or a regular file: a record is expected.
    Record,
    /// A socket: a record is expected, but a remote shell may have left it open by mistake.
    Socket,
    /// A terminal, /dev/null, another device or nothing: no record.
    Nothing,
}

/// How long a socket may stay silent before people are told what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The code of the error that stdin could not be read.
pub(crate) const UNREAD: &str = "input.unread";

fn unread() -> Failure {
    Failure::new(Exit::Failed, UNREAD, "the record on stdin cannot be read")
}

/// Asks the kernel what stdin is. One that cannot be asked, as a file on a disk that is gone, is an error: taken for
/// nothing, a tool would act alone behind a pipe that failed.
pub(crate) fn kind(stdin: impl AsFd) -> anyhow::Result<Stdin> {
    match fstat(stdin).map(|stat| stat.st_mode & libc::S_IFMT) {
        Ok(libc::S_IFIFO | libc::S_IFREG) => Ok(Stdin::Record),
        Ok(libc::S_IFSOCK) => Ok(Stdin::Socket),
        Ok(_) | Err(Errno::EBADF) => Ok(Stdin::Nothing),
        Err(errno) => Err(errno).context(unread()),
    }
}

/// Reads stdin to its end, watching stdout all the while: `pipe.broken` when its reader goes away.
/// Once the later stages are ready it tells the stage before. At most one byte more than the largest record is read.
pub(crate) fn read(
    kind: Stdin,
    stdout: BorrowedFd<'_>,
    downstream: &mut Downstream,
    waiting: impl Fn(),
) -> anyhow::Result<Vec<u8>> {
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    let began = Instant::now();
    let mut told = kind != Stdin::Socket;
    let mut marked = false;
    while bytes.len() <= LARGEST {
        if !marked && downstream.is_ready(stdout) {
            mark(&stdin);
            marked = true;
        }
        if !told && began.elapsed() >= PATIENCE {
            waiting();
            told = true;
        }
        let timeout = match (marked, told) {
            (false, _) => PollTimeout::from(2_u8),
            (true, false) => PollTimeout::from(1000_u16),
            (true, true) => PollTimeout::NONE,
        };
        // No event is asked of stdout: an error or a hang-up is told unasked.
        let mut watched = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(stdout, PollFlags::empty())];
        match poll(&mut watched, timeout) {
            Err(Errno::EINTR) | Ok(0) => continue,
            Err(e) => return Err(e).context(unread()),
            Ok(_) => {}
        }
        if is_gone(&watched[1]) {
            return Err(broken().into());
        }
        match stdin.lock().read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                told = true;
                bytes.extend_from_slice(&buffer[..n]);
                if dir::planted("effect-before-end-of-stdin") && bytes.ends_with(b"\n") {
                    break;
                }
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => {}
            Err(e) => return Err(e).context(unread()),
        }
    }
    Ok(bytes)
}
