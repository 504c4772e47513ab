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

/// Asks the kernel what stdin is.
pub(crate) fn kind(stdin: impl AsFd) -> Stdin {
    match fstat(stdin).map(|stat| stat.st_mode & libc::S_IFMT) {
        Ok(libc::S_IFIFO | libc::S_IFREG) => Stdin::Record,
        Ok(libc::S_IFSOCK) => Stdin::Socket,
        _ => Stdin::Nothing,
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
            Err(e) => return Err(e).context("wait for a record on stdin"),
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
            Err(e) => return Err(e).context("read the record from stdin"),
        }
    }
    Ok(bytes)
}
