#![expect(clippy::disallowed_methods, reason = "this is the one place that starts children")]
//! Starts one child and waits for it: one poll over its end, its output, the interrupts and the clock.
//!
//! Its end is its pidfd's event, not the end of its output: a service it left behind may hold the pipe
//! for years.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::{DeployFd, Ended, Outcome, Output, Spec, group, guard};
use crate::watched::timespec;

const DEPLOY_FD: &str = "CUTOVER_DEPLOY_FD";
/// How long a killed group is waited for; a process stuck in the kernel must not hold us too.
const AFTER_KILL: Duration = Duration::from_secs(2);

type Hook<'h> = Option<&'h mut dyn FnMut(&[u8])>;

pub(super) fn run(spec: &Spec, interrupts: Option<BorrowedFd<'_>>, hook: Hook<'_>) -> Result<Ended> {
    let started = Instant::now();
    let at_once = |outcome| Ended {
        outcome,
        stdout: Vec::new(),
        stderr: Vec::new(),
        truncated: false,
        elapsed: started.elapsed(),
        rest_ended: false,
    };
    let (child, outputs) = match start(spec, hook.is_some())? {
        Ok(running) => running,
        Err(outcome) => return Ok(at_once(outcome)),
    };
    let mut running = Running::watch(child, outputs, hook).with_context(|| format!("watch {}", spec.label))?;
    let deadline = spec.time_limit.and_then(|limit| started.checked_add(limit));
    let mut rest_ended = false;
    let outcome = match running.wait(deadline, interrupts) {
        Stopped::Ended => {
            rest_ended = spec.leaves_nothing && running.end_rest(spec.grace);
            running.collect().with_context(|| format!("wait for {}", spec.label))?
        }
        Stopped::TimedOut => {
            running.end_group(spec.grace);
            Outcome::TimedOut(spec.time_limit.unwrap_or_default())
        }
        Stopped::Interrupted => {
            running.end_group(spec.grace);
            Outcome::Interrupted
        }
    };
    let [stdout, stderr] = running.outputs;
    Ok(Ended {
        outcome,
        truncated: stdout.truncated || stderr.truncated,
        stdout: stdout.kept,
        stderr: stderr.kept,
        elapsed: started.elapsed(),
        rest_ended,
    })
}

/// Starts the child; `Ok(Err(_))` when there is no such program.
fn start(spec: &Spec, hooked: bool) -> Result<std::result::Result<(Child, [Reader; 2]), Outcome>> {
    let (argv, by_shell) = wrapped(spec);
    let Some((program, arguments)) = argv.split_first() else { return Ok(Err(Outcome::NotFound)) };
    if by_shell && !spec.argv.first().is_some_and(|program| is_found(spec, program)) {
        return Ok(Err(Outcome::NotFound));
    }
    let mut command = Command::new(program);
    // A group of its own: the terminal's Ctrl-C is ours to pass on, and its end takes all it started.
    command.args(arguments).stdin(Stdio::null()).process_group(0);
    if spec.guarded {
        command.stdin(guard::line(&closing_deploy_fd()).with_context(|| format!("guard {}", spec.label))?);
    }
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    if spec.deploy_fd == DeployFd::Closed {
        command.env_remove(DEPLOY_FD);
    }
    for (name, value) in &spec.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let outputs = connect(&mut command, spec.output, hooked).with_context(|| format!("start {}", spec.label))?;
    match command.spawn() {
        Ok(child) => Ok(Ok((child, outputs))),
        Err(e) if spec.directory.as_ref().is_some_and(|directory| !directory.is_dir()) => {
            Err(e).with_context(|| format!("enter the directory of {}", spec.label))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Err(Outcome::NotFound)),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(Err(Outcome::NotExecutable)),
        Err(e) => Err(e).with_context(|| format!("start {}", spec.label)),
    }
}

/// The command line, behind a shell where something must be done first in the child; says whether it is. A command that is
/// a shell's own does that itself: each program more costs a millisecond.
fn wrapped(spec: &Spec) -> (Vec<OsString>, bool) {
    let close = if spec.deploy_fd == DeployFd::Closed { closing_deploy_fd() } else { String::new() };
    let mut first = OsString::from(close + if spec.guarded { guard::LIST } else { "" });
    if first.is_empty() {
        return (spec.argv.clone(), false);
    }
    if let [shell, flag, command] = &spec.argv[..]
        && (shell.as_os_str(), flag.as_os_str()) == (OsStr::new("/bin/sh"), OsStr::new("-c"))
    {
        first.push("\n");
        first.push(command);
        return (vec![shell.clone(), flag.clone(), first], false);
    }
    first.push("exec \"$@\"");
    let shell = ["/bin/sh".into(), "-c".into(), first, "sh".into()];
    (shell.into_iter().chain(spec.argv.iter().cloned()).collect(), true)
}

/// What a shell does to let go of the deploy lock; nothing where we have none.
fn closing_deploy_fd() -> String {
    let named = std::env::var(DEPLOY_FD).unwrap_or_default();
    let numbers = named.split(',').filter_map(|number| number.parse::<u32>().ok());
    // POSIX promises single digits only, and dash keeps to that; 0 to 2 are never the lock.
    numbers.filter(|number| (3..=9).contains(number)).map(|number| format!("exec {number}>&-; ")).collect()
}

/// Whether the shell would find the program: its own complaint could not be told from the program's.
fn is_found(spec: &Spec, program: &OsStr) -> bool {
    if program.as_encoded_bytes().contains(&b'/') {
        let base = spec.directory.clone().unwrap_or_default();
        return base.join(program).exists();
    }
    let path = match spec.environment.get(OsStr::new("PATH")) {
        Some(given) => given.clone(),
        None => std::env::var_os("PATH"),
    };
    let path = path.unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn connect(command: &mut Command, output: Output, hooked: bool) -> io::Result<[Reader; 2]> {
    if hooked {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        command.stdout(Stdio::from(writer.try_clone()?)).stderr(Stdio::from(writer));
        return Ok([Reader::of(reader, 0)?, Reader::none()]);
    }
    match output {
        Output::ToStderr => {
            command.stdout(io::stderr()).stderr(Stdio::inherit());
            Ok([Reader::none(), Reader::none()])
        }
        Output::Captured { limit } => {
            let (out, out_writer) = pipe_with(PipeFlags::CLOEXEC)?;
            let (err, err_writer) = pipe_with(PipeFlags::CLOEXEC)?;
            command.stdout(Stdio::from(out_writer)).stderr(Stdio::from(err_writer));
            Ok([Reader::of(out, limit)?, Reader::of(err, limit)?])
        }
    }
}

/// Our end of one pipe.
struct Reader {
    pipe: Option<File>,
    limit: usize,
    kept: Vec<u8>,
    truncated: bool,
}

impl Reader {
    fn of(pipe: OwnedFd, limit: usize) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe: Some(File::from(pipe)), limit, kept: Vec::new(), truncated: false })
    }

    fn none() -> Self {
        Self { pipe: None, limit: 0, kept: Vec::new(), truncated: false }
    }

    /// Takes what is there, at most a mebibyte at once, so that a chatty child cannot keep us here.
    fn drain(&mut self, hook: &mut Hook<'_>) {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => match hook {
                    Some(hook) => hook(&buffer[..n]),
                    None => {
                        let room = self.limit - self.kept.len();
                        self.kept.extend_from_slice(&buffer[..n.min(room)]);
                        self.truncated |= n > room;
                    }
                },
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

enum Stopped {
    Ended,
    TimedOut,
    Interrupted,
}

struct Running<'h> {
    child: Child,
    pidfd: OwnedFd,
    outputs: [Reader; 2],
    hook: Hook<'h>,
}

impl<'h> Running<'h> {
    fn watch(mut child: Child, outputs: [Reader; 2], hook: Hook<'h>) -> Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a child without a number")?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { child, pidfd, outputs, hook }),
            Err(e) => {
                // Without a way to watch it, it must not run.
                group::signal(child.id(), Signal::KILL);
                let _ = child.wait();
                Err(e.into())
            }
        }
    }

    fn wait(&mut self, deadline: Option<Instant>, interrupts: Option<BorrowedFd<'_>>) -> Stopped {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let [ended, interrupted] = self.poll(left, interrupts);
            for reader in &mut self.outputs {
                reader.drain(&mut self.hook);
            }
            if ended {
                return Stopped::Ended;
            }
            if interrupted {
                return Stopped::Interrupted;
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Stopped::TimedOut;
            }
        }
    }

    /// Sleeps until something happens; says whether the child ended and whether an interrupt came.
    fn poll(&self, left: Option<Duration>, interrupts: Option<BorrowedFd<'_>>) -> [bool; 2] {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(self.outputs.iter().filter_map(|r| r.pipe.as_ref()).map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(interrupts.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, left.map(timespec).as_ref()) {
            // Nothing but lack of memory is left as a reason; the deadline still holds.
            Err(Errno::INTR) | Err(_) => [false, false],
            Ok(_) => {
                let ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
                [ready(fds.first()), interrupts.is_some() && ready(fds.last())]
            }
        }
    }

    fn collect(&mut self) -> Result<Outcome> {
        guard::forget(self.child.id());
        Ok(Outcome::of_status(self.child.wait()?))
    }

    /// Ends what the leader, which has ended and is not collected yet, left behind. Whether there was anything.
    fn end_rest(&mut self, grace: Duration) -> bool {
        let leader = self.child.id();
        let ended_within = |time| group::wait_members(leader, Instant::now() + time, None);
        if ended_within(Duration::ZERO) {
            return false;
        }
        group::signal(leader, Signal::TERM);
        if !ended_within(grace) {
            group::signal(leader, Signal::KILL);
            ended_within(AFTER_KILL);
        }
        true
    }

    /// Ends the whole group: TERM, `grace`, KILL. The leader is collected last, because its number is
    /// the group's.
    fn end_group(&mut self, grace: Duration) {
        let leader = self.child.id();
        group::signal(leader, Signal::TERM);
        let deadline = Instant::now() + grace;
        let ended = matches!(self.wait(Some(deadline), None), Stopped::Ended);
        if !(ended && group::wait_members(leader, deadline, None)) {
            group::signal(leader, Signal::KILL);
        }
        if ended || matches!(self.wait(Some(Instant::now() + AFTER_KILL), None), Stopped::Ended) {
            guard::forget(leader);
            let _ = self.child.wait();
        }
    }
}
