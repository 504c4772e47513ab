//! A script while it runs: its process group, its stages, the signals it gets.

use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::Run;

/// A started script. Dropped before its end, its whole process group is killed.
#[derive(Debug)]
pub struct Running {
    script: String,
    child: Child,
    group: Pid,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    started: Instant,
    deadline: Duration,
    ended: bool,
}

impl Running {
    pub(crate) fn spawn(mut command: Command, script: String, deadline: Duration, is_awaited: bool) -> Self {
        let mut child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        if let Some(stdout) = child.stdout.as_ref().filter(|_| is_awaited) {
            // The mark of a ready reader: see record/src/downstream.rs. Without it there is only more to wait for.
            let _ = rustix::pipe::fcntl_setpipe_size(stdout, 128 << 10);
        }
        let group = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        let stdout = child.stdout.take().map(read_all).unwrap_or_else(nothing);
        let stderr = child.stderr.take().map(read_all).unwrap_or_else(nothing);
        Self { script, child, group, stdout, stderr, started: Instant::now(), deadline, ended: false }
    }

    /// Sends a signal to the whole group, as a terminal or a supervisor does.
    pub fn signal_all(&self, signal: Signal) {
        let _ = killpg(self.group, signal);
    }

    /// Sends a signal to the stage that runs this program; waits until there is one.
    pub fn signal(&self, program: &str, signal: Signal) {
        for pid in self.pids_of(program) {
            let _ = kill(pid, signal);
        }
    }

    /// Sends a signal to the stages that run this program now, if any.
    pub fn signal_if_there(&self, program: &str, signal: Signal) {
        for pid in self.running(program) {
            let _ = kill(pid, signal);
        }
    }

    /// Sends a signal to the stage that runs this program, its `--undo` stages aside, if there is one.
    pub fn signal_acting(&self, program: &str, signal: Signal) {
        for pid in self.running(program) {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if !words.split(|byte| *byte == 0).any(|word| word == b"--undo") {
                let _ = kill(pid, signal);
            }
        }
    }

    /// Sends a signal to the `--undo` stage of this program that has children, so is the one at work.
    pub fn signal_working_undo(&self, program: &str, signal: Signal) {
        let has_children = |pid: &Pid| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let mut lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
            lists.any(|list| !list.trim().is_empty())
        };
        let working: Vec<Pid> = self.running(program).into_iter().filter(has_children).collect();
        assert_eq!(working.len(), 1, "one stage of {program} is at work in: {}", self.script);
        for pid in working {
            let _ = kill(pid, signal);
        }
    }

    /// Waits until no signal of this kind is pending for the stages that run this program.
    pub fn has_taken(&self, program: &str, signal: Signal) {
        let is_pending = |pid: &Pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let mut masks =
                status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
            masks
                .any(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 << (signal as u64 - 1) != 0))
        };
        until(&format!("{program} has taken the signal"), || !self.running(program).iter().any(is_pending));
    }

    /// The members of the group that run this program now.
    fn running(&self, program: &str) -> Vec<Pid> {
        // The kernel keeps 15 bytes of a program's name.
        let short = &program[..program.len().min(15)];
        members(self.group).into_iter().filter(|(_, comm)| comm == short).map(|(pid, _)| pid).collect()
    }

    /// Waits until a member of the group runs this program; returns all of them.
    pub fn pids_of(&self, program: &str) -> Vec<Pid> {
        let mut found = Vec::new();
        until(&format!("{program} runs in: {}", self.script), || {
            found = self.running(program);
            !found.is_empty()
        });
        found
    }

    /// Waits until members of the group that run this program handle TERM; returns all of them. Before that, right
    /// after its start, a program is not yet itself.
    pub fn awake(&self, program: &str) -> Vec<Pid> {
        let pids = self.pids_of(program);
        until(&format!("{program} handles signals"), || pids.iter().all(|pid| handles_term(*pid)));
        pids
    }

    /// Waits until the stages of a pipe, each named with how many there are of it, handle TERM: until then one may die of a
    /// signal without a word. The first acts only when the others can be told, so where it is over they were awake.
    pub fn all_awake(&self, stages: &[(&str, usize)]) {
        let mut begun = false;
        until("all stages handle signals", || {
            let found: Vec<_> = stages.iter().map(|(program, count)| (self.running(program), *count)).collect();
            let is_awake =
                |(pids, count): &(Vec<Pid>, usize)| pids.len() >= *count && pids.iter().all(|pid| handles_term(*pid));
            begun |= found.iter().all(|(pids, _)| !pids.is_empty());
            let first_is_over = found.first().is_none_or(|(pids, _)| pids.is_empty());
            found.iter().all(is_awake) || (begun && first_is_over) || members(self.group).is_empty()
        });
    }

    /// Waits until a file is there; a story's way to know how far a pipe has come.
    pub fn reaches(&self, path: impl AsRef<std::path::Path>) -> &Self {
        let path = path.as_ref();
        until(&format!("{} is there", path.display()), || path.symlink_metadata().is_ok());
        self
    }

    /// Whether the script runs still.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The process group.
    pub fn group(&self) -> Pid {
        self.group
    }

    /// Waits for the end. Panics when the deadline passes or when somebody keeps stdout or stderr open afterwards.
    pub fn wait(mut self) -> Run {
        if !self.ends_in_time() {
            let processes = members(self.group);
            self.signal_all(Signal::SIGKILL);
            let stderr = self.stderr.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
            panic!(
                "not done in {:?}: {}\nstill there: {processes:?}\n--- stderr\n{stderr}",
                self.deadline, self.script
            );
        }
        let status = self.child.wait().expect("wait for the shell");
        let elapsed = self.started.elapsed();
        self.ended = true;
        let grace = Duration::from_secs(20);
        let stdout = self.stdout.recv_timeout(grace);
        let stderr = self.stderr.recv_timeout(grace);
        let (Ok(stdout), Ok(stderr)) = (stdout, stderr) else {
            let processes = members(self.group);
            self.signal_all(Signal::SIGKILL);
            panic!("{} ended, but stdout or stderr is kept open, by one of {processes:?}?", self.script);
        };
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Run { script: self.script.clone(), status, stdout, stderr, elapsed }
    }

    fn ends_in_time(&mut self) -> bool {
        if !self.is_running() {
            return true;
        }
        let pid = rustix::process::Pid::from_raw(self.group.as_raw()).expect("a pid");
        let ended = pidfd_open(pid, PidfdFlags::empty()).expect("watch the shell");
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let timeout = left.try_into().expect("a timeout");
        poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.signal_all(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Waits for a condition that nothing announces; looks every millisecond, gives up after 60 s.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process catches or ignores TERM, or has ended.
fn handles_term(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigCgt:").or(line.strip_prefix("SigIgn:")));
    let mut masks = masks.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).peekable();
    masks.peek().is_none() || masks.any(|mask| mask & 1 << (Signal::SIGTERM as u64 - 1) != 0)
}

/// The living members of a process group with the names of their programs. A zombie has ended.
fn members(group: Pid) -> Vec<(Pid, String)> {
    let mut members = Vec::new();
    for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // PID (COMM) STATE PPID PGRP …; COMM may contain anything but ends at the last parenthesis.
        let Some((head, tail)) = stat.rsplit_once(") ") else { continue };
        let comm = head.split_once('(').map_or("", |(_, comm)| comm);
        let mut fields = tail.split(' ');
        let (state, pgrp) = (fields.next(), fields.nth(1));
        if state != Some("Z") && pgrp == Some(group.as_raw().to_string().as_str()) {
            members.push((Pid::from_raw(pid), comm.to_owned()));
        }
    }
    members
}

fn read_all(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn nothing() -> Receiver<String> {
    let (sender, receiver) = channel();
    let _ = sender.send(String::new());
    receiver
}
