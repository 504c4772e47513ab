//! Who answers on an address: the processes that hold its listening socket.
//!
//! After a fork several processes hold one socket, and with SO_REUSEPORT several sockets have one
//! address; any of them may answer, so all are named. A unix socket that is still open although another
//! one has taken its path is told apart.

mod bound;
mod tables;

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat, stat as stat_path};
use rustix::io::Errno;

use crate::stat;
use crate::stat::{all_pids, is_refused};
use tables::UnixSocket;

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listening {
    /// A TCP address as a client would connect to it: a listener on all addresses (`0.0.0.0`, `::`)
    /// answers there too.
    Tcp(SocketAddr),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// The holders of a listening socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Whether anybody listens there at all.
    pub listening: bool,
    /// Processes that hold the socket, in ascending order. May be empty although somebody listens, when
    /// those processes may not be looked at.
    pub pids: Vec<u32>,
    /// Processes that may not be looked at.
    pub unseen_processes: u64,
}

/// Finds the processes that hold the socket listening on `address`. Reads every process's open files,
/// if anybody listens.
pub fn owners(address: &Listening) -> Result<Owners> {
    match address {
        Listening::Tcp(address) => tcp_owners(address),
        Listening::Unix(path) => unix_owners(path),
    }
}

fn tcp_owners(address: &SocketAddr) -> Result<Owners> {
    let mut inodes = tables::tcp_listeners("/proc/self", address).context("read /proc/net/tcp")?;
    // A loopback address is a different one in each network namespace; any other may be a container's.
    if inodes.is_empty() && !address.ip().is_loopback() && !address.ip().is_unspecified() {
        for base in other_networks() {
            if tables::has_address(&base, &address.ip()) {
                // A namespace that ends meanwhile has no listener.
                inodes.extend(tables::tcp_listeners(&base, address).unwrap_or_default());
            }
        }
    }
    Ok(named(holders(&inodes)?))
}

fn unix_owners(path: &Path) -> Result<Owners> {
    let Ok(asked) = stat_path(path).map(|found| (found.st_dev, found.st_ino)) else {
        return Ok(Owners::default());
    };
    let mut sockets = tables::unix_listeners("/proc/self").context("read /proc/net/unix")?;
    for base in other_networks() {
        sockets.extend(tables::unix_listeners(&base).unwrap_or_default());
    }
    let name = path.canonicalize().ok().and_then(|path| path.file_name().map(ToOwned::to_owned));
    sockets.retain(|socket| socket.path.file_name() == name.as_deref());
    // Of several that were bound to the path one after the other, one has the file that is there now.
    if let Some(bound) = bound::sockets_of(asked.1)
        && sockets.iter().any(|socket| bound.contains(&socket.inode))
    {
        sockets.retain(|socket| bound.contains(&socket.inode));
    }
    let inodes: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let mut found = holders(&inodes)?;
    let is_asked =
        |socket: &UnixSocket, pids: &[u32]| pids.iter().any(|pid| leads_to(*pid, &socket.path) == Some(asked));
    let matching: HashSet<u64> = sockets
        .iter()
        .filter(|socket| found.by_inode.get(&socket.inode).is_some_and(|pids| is_asked(socket, pids)))
        .map(|socket| socket.inode)
        .collect();
    // A path that was bound relative to a directory the process has left since leads nowhere now.
    if !matching.is_empty() {
        found.by_inode.retain(|inode, _| matching.contains(inode));
    }
    Ok(named(found))
}

/// What the path that a process bound leads to, seen from that process.
fn leads_to(pid: u32, bound: &Path) -> Option<(u64, u64)> {
    let base = if bound.is_absolute() { format!("/proc/{pid}/root") } else { format!("/proc/{pid}/cwd") };
    let relative = bound.strip_prefix("/").unwrap_or(bound);
    stat_path(Path::new(&base).join(relative)).ok().map(|found| (found.st_dev, found.st_ino))
}

/// One process of each network namespace that is not ours, as far as they may be looked at.
fn other_networks() -> Vec<String> {
    let namespace = |base: &str| readlinkat(CWD, format!("{base}/ns/net"), Vec::new()).ok();
    let mut seen = HashSet::from([namespace("/proc/self")]);
    let bases = all_pids().unwrap_or_default().into_iter().map(|pid| format!("/proc/{pid}"));
    bases.filter(|base| namespace(base).is_some_and(|found| seen.insert(Some(found)))).collect()
}

struct Holders {
    asked: usize,
    by_inode: HashMap<u64, Vec<u32>>,
    unseen: u64,
}

fn named(holders: Holders) -> Owners {
    let mut pids: Vec<u32> = holders.by_inode.into_values().flatten().collect();
    pids.sort_unstable();
    pids.dedup();
    Owners { listening: holders.asked > 0, pids, unseen_processes: holders.unseen }
}

fn holders(inodes: &HashSet<u64>) -> Result<Holders> {
    let mut holders = Holders { asked: inodes.len(), by_inode: HashMap::new(), unseen: 0 };
    if inodes.is_empty() {
        return Ok(holders);
    }
    for pid in all_pids()? {
        match held_by(pid, inodes) {
            Ok(held) => held.into_iter().for_each(|inode| holders.by_inode.entry(inode).or_default().push(pid)),
            Err(e) if is_refused(&e) && stat(pid)?.is_some_and(|p| !p.is_kernel_thread() && !p.has_ended()) => {
                holders.unseen += 1;
            }
            // It ended while it was looked at.
            Err(_) => {}
        }
    }
    Ok(holders)
}

fn held_by(pid: u32, inodes: &HashSet<u64>) -> io::Result<HashSet<u64>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty())?;
    let mut held = HashSet::new();
    let mut target = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        target = match readlinkat(&directory, name, std::mem::take(&mut target)) {
            Ok(read) => read.into_bytes(),
            // The directory may be listed where its links may not be read.
            Err(Errno::ACCESS | Errno::PERM) => return Err(Errno::ACCESS.into()),
            // Closed meanwhile, or `.` and `..`.
            Err(_) => continue,
        };
        let inode = target.strip_prefix(b"socket:[").and_then(|rest| rest.strip_suffix(b"]"));
        let inode = inode.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        held.extend(inode.filter(|inode| inodes.contains(inode)));
    }
    Ok(held)
}
