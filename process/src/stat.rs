//! One line of `/proc/PID/stat`, and the numbers of all processes.
//!
//! The command name in it may hold spaces and parentheses, so fields are counted from the last `)`.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

/// What the kernel says about one process, at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its number.
    pub pid: u32,
    /// Its short name, at most 15 bytes; never its arguments.
    pub command: String,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// Its parent's number.
    pub parent: u32,
    /// The number of its process group.
    pub group: u32,
    /// How many threads it has.
    pub threads: u64,
    /// When it started, in clock ticks since boot: with the number it names one process for good.
    pub start_time: u64,
    flags: u64,
}

/// The kernel's own mark on its threads, `PF_KTHREAD` of `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// Its mark on a thread that is ending and will not run a program any more, `PF_EXITING`.
const ENDING: u64 = 0x0000_0004;

impl ProcessStat {
    /// Whether it has ended: collected by its parent or not, no thread of it runs any more.
    pub fn has_ended(&self) -> bool {
        // A main thread may end before the others: then the process is shown as Z with threads left.
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }

    /// Whether its main thread is ending or has ended. Its links in /proc lead nowhere then, although other threads may go on.
    pub(crate) fn is_ending(&self) -> bool {
        self.flags & ENDING != 0
    }

    /// Whether no thread of it will run a program any more: it has ended, or lacks nothing to that but the kernel's work.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended() || (self.is_ending() && self.threads <= 1)
    }

    /// Whether it is a thread of the kernel, which uses no file of anybody's.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    fn parse(line: &str) -> Option<Self> {
        let (pid, rest) = line.split_once(" (")?;
        let (command, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // proc(5) counts from 1 and from the pid; the first field here is its third.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.trim().parse().ok()?,
            command: command.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            group: u32::try_from(number(5)?).ok()?,
            flags: number(9)?,
            threads: number(20)?,
            start_time: number(22)?,
        })
    }
}

/// Reads `/proc/PID/stat`; `None` when there is no such process (any more).
pub fn stat(pid: u32) -> Result<Option<ProcessStat>> {
    let path = format!("/proc/{pid}/stat");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if has_vanished(&e) => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("read {path}")),
    };
    let line = String::from_utf8_lossy(&bytes);
    if is_being_collected(&line) {
        return Ok(None);
    }
    ProcessStat::parse(&line).with_context(|| format!("understand {path}")).map(Some)
}

/// Whether the process was being collected when its line was written: it has no group any more, and the kernel shows -1
/// (`do_task_stat` of `fs/proc/array.c`).
fn is_being_collected(line: &str) -> bool {
    let rest = line.rsplit_once(") ").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_ascii_whitespace().nth(2)) == Some("-1")
}

/// The living children of a process.
pub fn children(parent: u32) -> Result<Vec<ProcessStat>> {
    let all = all_pids()?.into_iter().map(stat);
    let living = all
        .filter_map(Result::transpose)
        .filter(|stat| stat.as_ref().is_ok_and(|s| s.parent == parent && !s.has_ended()));
    living.collect()
}

/// The numbers of all processes that /proc shows, in its order.
pub(crate) fn all_pids() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").context("list /proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Whether an error of /proc means that the process ended meanwhile.
pub(crate) fn has_vanished(error: &io::Error) -> bool {
    matches!(rustix::io::Errno::from_io_error(error), Some(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH))
}

/// Whether an error of /proc means that we may not look.
pub(crate) fn is_refused(error: &io::Error) -> bool {
    matches!(rustix::io::Errno::from_io_error(error), Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM))
}

/// The process's directory in /proc whose links still lead somewhere: that of a living thread when the
/// main thread has ended before the others.
pub(crate) fn living_base(stat: &ProcessStat) -> String {
    let base = format!("/proc/{}", stat.pid);
    if !matches!(stat.state, 'Z' | 'X' | 'x') {
        return base;
    }
    let own = stat.pid.to_string();
    let tasks = fs::read_dir(Path::new(&base).join("task"));
    let living = tasks.into_iter().flatten().flatten().map(|t| t.file_name()).find(|tid| tid.to_str() != Some(&own));
    living.map_or(base.clone(), |tid| format!("{base}/task/{}", tid.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_and_spaces_moves_no_field() {
        let line = "42 (a) (b c) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 98765 1000 5";
        let stat = ProcessStat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.command.as_str(), stat.state), (42, "a) (b c", 'S'));
        assert_eq!((stat.parent, stat.group, stat.threads, stat.start_time), (7, 8, 3, 98765));
        assert!(!stat.is_kernel_thread() && !stat.has_ended());
    }

    #[test]
    fn a_process_without_a_group_is_being_collected() {
        assert!(is_being_collected("16734 (sleep) X 0 -1 -1 0 -1 4227084 0 0 0 0 0 0 0 0 20 0 0 0 98765 0 0"));
        assert!(!is_being_collected("42 (a) (b c) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 98765 1000 5"));
    }

    #[test]
    fn a_process_that_is_ending_is_over_when_it_has_no_other_thread() {
        let line = |flags, threads| format!("1 (x) R 0 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 1 0 0");
        let stat = |flags, threads| ProcessStat::parse(&line(flags, threads)).unwrap();
        assert!(stat(0x0040_000C, 1).is_over() && !stat(0x0040_000C, 1).has_ended());
        assert!(stat(0x0040_000C, 2).is_ending() && !stat(0x0040_000C, 2).is_over());
        assert!(!stat(0x0040_0008, 1).is_over());
    }

    #[test]
    fn a_zombie_has_ended_unless_a_thread_goes_on() {
        let line = |threads| format!("1 (x) Z 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 1 0 0");
        assert!(ProcessStat::parse(&line(1)).unwrap().has_ended());
        assert!(!ProcessStat::parse(&line(2)).unwrap().has_ended());
    }

    #[test]
    fn a_number_that_nobody_has_is_no_process() {
        assert_eq!(stat(u32::MAX - 1).unwrap(), None);
        assert_eq!(stat(std::process::id()).unwrap().unwrap().pid, std::process::id());
    }
}
