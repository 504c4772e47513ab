//! Which processes use a tree: by what they execute, stand in, are rooted in, have mapped or hold open.
//!
//! Paths in /proc are those of the process's own mount namespace and may end in ` (deleted)`, so they are
//! compared as places inside a file system, and directories also by device and inode.

mod look;
mod tree;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::stat::{all_pids, is_refused};
use crate::{ProcessStat, Watched, stat};
use look::{Looked, View};

pub use tree::Tree;
use tree::Trees;
pub(crate) use tree::is_beneath;

/// In which way a process uses a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// It executes a file in there.
    Exe,
    /// It stands in there.
    Cwd,
    /// Its root directory is in there.
    Root,
    /// It has mapped a file of it, as with shared libraries.
    Map,
    /// It holds a file or directory of it open.
    File,
}

/// One way in which one process uses one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The process.
    pub pid: u32,
    /// Its short name, never its arguments.
    pub command: String,
    /// The [`Tree::label`].
    pub tree: String,
    /// How.
    pub by: By,
    /// What exactly, under the name the process knows it by.
    pub path: PathBuf,
}

/// What all processes together use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// At most one entry for each process, tree and way.
    pub uses: Vec<Use>,
    /// Processes that may not be looked at, or of which /proc hides that they are there.
    pub unseen_processes: u64,
}

impl By {
    /// The word for records and people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exe => "exe",
            Self::Cwd => "cwd",
            Self::Root => "root",
            Self::Map => "map",
            Self::File => "file",
        }
    }
}

/// So many refusals may be processes that are just ending.
const FEW: usize = 16;
/// For how long one is looked at again and again whose main thread is ending while others go on, and the pause between.
const PATIENCE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(10);

/// Looks at every process but this one. Kernel threads and processes that end meanwhile do not count, nor
/// does the machine's init where it may not be looked at.
///
/// Costs a few system calls for each open file on the machine and reads every memory map.
pub fn scan(trees: &[Tree]) -> Result<Scan> {
    let trees = Trees::index(trees);
    let mut views = HashMap::new();
    let mut scan = Scan::default();
    let pids = all_pids()?;
    // Mounted with hidepid, /proc does not even show the numbers of other users' processes; number 1
    // is always there.
    if !pids.contains(&1) {
        scan.unseen_processes += 1;
    }
    let own = std::process::id();
    let mut refused = Vec::new();
    for pid in pids.into_iter().filter(|pid| *pid != own) {
        let Some(process) = stat(pid)? else { continue };
        match look(&process, &trees, &mut views) {
            Looked::At(uses) => scan.uses.extend(uses),
            // The machine's init runs no service itself, and some machines keep it even from root.
            Looked::Refused if pid == 1 && is_machines_own_namespace() => {}
            Looked::Refused => refused.push(process),
            Looked::Gone => {}
        }
    }
    // One that is about to end shows nothing any more and has not ended yet; by now it has. Where many are refused they
    // are other users', and a second look would only be refused again.
    let again = if refused.len() <= FEW { std::mem::take(&mut refused) } else { Vec::new() };
    for process in again {
        match look_again(&process, &trees, &mut views)? {
            Looked::At(uses) => scan.uses.extend(uses),
            Looked::Refused => refused.push(process),
            Looked::Gone => {}
        }
    }
    scan.unseen_processes += refused.len() as u64;
    Ok(scan)
}

/// What one process uses of the trees; nothing when it has ended. An error when it may not be looked at.
pub fn uses_of(pid: u32, trees: &[Tree]) -> Result<Vec<Use>> {
    let Some(process) = stat(pid)? else { return Ok(Vec::new()) };
    match look(&process, &Trees::index(trees), &mut HashMap::new()) {
        Looked::At(uses) => Ok(uses),
        Looked::Gone => Ok(Vec::new()),
        Looked::Refused => anyhow::bail!("look at process {pid} ({}): not allowed", process.command),
    }
}

/// Whether process numbers here are those of the machine, not of a container, whose number 1 may be the
/// service. The inode is fixed: `PROC_PID_INIT_INO` of `include/linux/proc_ns.h`.
fn is_machines_own_namespace() -> bool {
    rustix::fs::stat("/proc/self/ns/pid").is_ok_and(|found| found.st_ino == 0xEFFF_FFFC)
}

fn look(process: &ProcessStat, trees: &Trees<'_>, views: &mut HashMap<String, View>) -> Looked {
    if process.is_over() || process.is_kernel_thread() {
        return Looked::Gone;
    }
    match look::at(process, trees, views) {
        Ok(uses) => Looked::At(uses),
        Err(e) if is_refused(&e) => Looked::Refused,
        // Whatever else /proc answers, it was not seen; only a process that is over is known to use nothing.
        Err(_) => match stat(process.pid) {
            Ok(Some(now)) if now.start_time == process.start_time && !now.is_over() => Looked::Refused,
            _ => Looked::Gone,
        },
    }
}

/// A process that was refused, as it is now; waits while its main thread is ending, until another one can be looked at.
fn look_again(before: &ProcessStat, trees: &Trees<'_>, views: &mut HashMap<String, View>) -> Result<Looked> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(now) = stat(before.pid)?.filter(|now| now.start_time == before.start_time) else {
            return Ok(Looked::Gone);
        };
        match look(&now, trees, views) {
            Looked::Refused if now.is_ending() && Instant::now() < deadline => {
                if let Some(process) = Watched::of(now.pid)? {
                    process.wait_end(Instant::now() + PAUSE, None)?;
                }
            }
            looked => return Ok(looked),
        }
    }
}
