//! Which unix socket a socket file belongs to, asked of the kernel (sock_diag(7)).
//!
//! The table in /proc has paths only, and a server that was replaced keeps the path of a file that is no
//! longer its own for as long as it finishes its work.

use std::collections::HashSet;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

use crate::watched::timespec;

/// Numbers of `linux/netlink.h`, `linux/sock_diag.h` and `linux/unix_diag.h`.
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_UNIX: u8 = 1;
const LISTENING: u32 = 1 << 10;
const UDIAG_SHOW_VFS: u32 = 2;
const UNIX_DIAG_VFS: u16 = 1;
const HEADER: usize = 16;

/// The listening sockets of our network namespace that are bound to a file of this inode number; `None` when the
/// kernel does not tell. It tells 32 bits of the number and no usable device, so a namesake elsewhere may be among them.
pub(super) fn sockets_of(file_inode: u64) -> Option<HashSet<u64>> {
    let kernel =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG)).ok()?;
    send(&kernel, &request(), SendFlags::empty()).ok()?;
    let mut found = HashSet::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let mut fds = [PollFd::new(&kernel, PollFlags::IN)];
        if poll(&mut fds, Some(&timespec(Duration::from_secs(1)))).ok()? == 0 {
            return None;
        }
        let (length, _) = recv(&kernel, buffer.as_mut_slice(), RecvFlags::empty()).ok()?;
        let mut rest = buffer.get(..length)?;
        while let Some((kind, body, after)) = next(rest, HEADER, |head| u32_at(head, 0), |head| u16_at(head, 4)) {
            match kind {
                NLMSG_DONE => return Some(found),
                NLMSG_ERROR => return None,
                SOCK_DIAG_BY_FAMILY => found.extend(bound_to(body, file_inode)),
                _ => {}
            }
            rest = after;
        }
    }
}

/// A `nlmsghdr` and a `unix_diag_req`.
fn request() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(40_u32.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    // Sequence and port: one question, one answer.
    bytes.extend([0; 8]);
    bytes.extend([AF_UNIX, 0, 0, 0]);
    bytes.extend(LISTENING.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(UDIAG_SHOW_VFS.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes
}

/// The socket's own inode, from a `unix_diag_msg` with its attributes, if it is bound to that file.
fn bound_to(message: &[u8], file_inode: u64) -> Option<u64> {
    let socket = u64::from(u32_at(message, 4)?);
    let mut rest = message.get(16..)?;
    while let Some((kind, value, after)) = next(rest, 4, |head| u16_at(head, 0).map(u32::from), |head| u16_at(head, 2))
    {
        if kind == UNIX_DIAG_VFS {
            #[expect(clippy::cast_possible_truncation, reason = "the kernel tells as many bits")]
            let wanted = file_inode as u32;
            return (u32_at(value, 0)? == wanted).then_some(socket);
        }
        rest = after;
    }
    None
}

/// Cuts one length-prefixed piece off: its kind, what it holds, and what follows, aligned to four bytes.
fn next(
    bytes: &[u8],
    header: usize,
    length: impl Fn(&[u8]) -> Option<u32>,
    kind: impl Fn(&[u8]) -> Option<u16>,
) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(length(bytes)?).ok()?;
    let body = bytes.get(header..length)?;
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind(bytes)?, body, after))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
