#![expect(clippy::disallowed_methods, reason = "the guard is a child that is never waited for")]
//! What ends the guarded children when this process is killed: `kill -9` leaves no time to end them ourselves.
//!
//! One small shell in a group of its own, started before the first guarded child, reads the numbers of their
//! process groups from a pipe. The kernel closes that pipe with us, and the shell ends what is still listed.
//! Each child lists itself, by its stdin, before it becomes what it is to be: at no instant is one unlisted.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::pipe::{PipeFlags, pipe_with};

/// Reads `+ GROUP` and `- GROUP`; at the end of its input ends what is left: TERM, five seconds, KILL.
const SCRIPT: &str = r#"trap '' HUP INT TERM
groups=
while read -r word number; do
    case $word in
    +) groups="$groups $number" ;;
    -) kept=
        for group in $groups; do [ "$group" = "$number" ] || kept="$kept $group"; done
        groups=$kept ;;
    esac
done
for group in $groups; do kill -TERM "-$group"; done
left=25
for group in $groups; do
    while [ "$left" -gt 0 ] && kill -0 "-$group"; do sleep 0.2; left=$((left - 1)); done
    kill -KILL "-$group"
done"#;

/// What a child's shell does first, with the guard's pipe as its stdin.
pub(super) const LIST: &str = r#"echo "+ $$" >&0; exec </dev/null; "#;

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

struct Guard {
    shell: Child,
    line: OwnedFd,
}

/// The pipe to the guard, for a child's stdin. `close_first` is what its shell does to inherited descriptors.
pub(super) fn line(close_first: &str) -> io::Result<OwnedFd> {
    let mut guard = guard();
    if let Some(former) = guard.as_mut()
        && matches!(former.shell.try_wait(), Ok(None))
    {
        return former.line.try_clone();
    }
    guard.insert(Guard::start(close_first)?).line.try_clone()
}

/// Takes a group off the list, right before its leader is collected: from then on the number may be another's.
pub(super) fn forget(leader: u32) {
    if let Some(guard) = guard().as_ref() {
        // A guard that is gone guards nothing.
        let _ = rustix::io::write(&guard.line, format!("- {leader}\n").as_bytes());
    }
}

fn guard() -> MutexGuard<'static, Option<Guard>> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    fn start(close_first: &str) -> io::Result<Self> {
        let (theirs, line) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{close_first}{SCRIPT}")]).process_group(0).current_dir("/");
        command.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { shell: command.spawn()?, line })
    }
}
