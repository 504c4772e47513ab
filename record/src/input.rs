//! The rules of stdin: when a record is expected, and how it is waited for.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;

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

/// Asks the kernel what stdin is.
pub(crate) fn kind(stdin: impl AsFd) -> Stdin {
    match fstat(stdin).map(|stat| stat.st_mode & libc::S_IFMT) {
        Ok(libc::S_IFIFO | libc::S_IFREG) => Stdin::Record,
        Ok(libc::S_IFSOCK) => Stdin::Socket,
        _ => Stdin::Nothing,
    }
}

/// Reads stdin to its end, watching stdout all the while: `pipe.broken` when its reader goes away.
/// At most one byte more than the largest record is read.
pub(crate) fn read(kind: Stdin, stdout: BorrowedFd<'_>, waiting: impl Fn()) -> anyhow::Result<Vec<u8>> {
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    let mut patience = if kind == Stdin::Socket { PollTimeout::from(5000_u16) } else { PollTimeout::NONE };
    while bytes.len() <= LARGEST {
        // No event is asked of stdout: an error or a hang-up is told unasked.
        let mut watched = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(stdout, PollFlags::empty())];
        match poll(&mut watched, patience) {
            Err(Errno::EINTR) => continue,
            Err(e) => return Err(e).context("wait for a record on stdin"),
            Ok(0) => {
                waiting();
                patience = PollTimeout::NONE;
                continue;
            }
            Ok(_) => {}
        }
        if is_gone(&watched[1]) {
            return Err(broken().into());
        }
        match stdin.lock().read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => {}
            Err(e) => return Err(e).context("read the record from stdin"),
        }
    }
    Ok(bytes)
}
