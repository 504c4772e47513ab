//! A pipe that stops for good at a chosen place, so that it can be killed there and nowhere else.
//!
//! Programs of the tools' own names stand before them in PATH. Each runs the real one; at the chosen place it says
//! that it is there and goes on only when the story ends.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::{Pipe, Shop, binaries};

/// A place in a pipe: before or after the `nth` run of a program whose arguments have `with` and not `without`.
#[derive(Debug, Clone, Copy)]
pub struct Halt {
    when: &'static str,
    program: &'static str,
    with: &'static str,
    without: &'static str,
    nth: usize,
}

/// Runs the real program of its name, and stops where it is told. What is no tool is only a place to stop at.
const SHIM: &str = r#"#!/bin/sh
name=${0##*/} hit=
if [ "$name" = "$HALT_PROGRAM" ]; then
    case " $* " in *$HALT_WITHOUT*) ;; *$HALT_WITH*) hit=$HALT_WHEN ;; esac
fi
if [ "$hit" ]; then
    echo "$*" >>"$HALT_DIR/hits"
    [ "$(wc -l <"$HALT_DIR/hits")" = "$HALT_NTH" ] || hit=
fi
halt() { exec flock -s "$HALT_DIR/alive" true <&- 2>/dev/null >"$HALT_DIR/reached"; }
[ "$hit" != before ] || halt
real=$(PATH=${PATH#"$HALT_DIR:"} && command -v "$name") || exit 0
[ "$hit" = after ] || exec "$real" "$@"
# What the stage says is withheld: the next one hears nothing of it.
"$real" "$@" >/dev/null
halt
"#;

/// What may be halted at: the tools, nginx, socat, and `checkpoint`, which does nothing.
const PROGRAMS: [&str; 9] = [
    "release-mk",
    "release-switch",
    "release-gc",
    "svc-health",
    "svc-restart",
    "svc-route",
    "nginx",
    "socat",
    "checkpoint",
];

impl Halt {
    /// When it has done its work and nobody behind it has heard.
    pub const fn after(program: &'static str) -> Self {
        Self { when: "after", program, with: "", without: "\n", nth: 1 }
    }

    /// When it is about to begin.
    pub const fn before(program: &'static str) -> Self {
        Self { when: "before", ..Self::after(program) }
    }

    /// Only a run with this among its arguments.
    pub const fn with(self, with: &'static str) -> Self {
        Self { with, ..self }
    }

    /// Only a run without this among its arguments.
    pub const fn without(self, without: &'static str) -> Self {
        Self { without, ..self }
    }

    /// Only the `nth` such run, from 1 on.
    pub const fn nth(self, nth: usize) -> Self {
        Self { nth, ..self }
    }

    fn dir(shop: &Shop) -> PathBuf {
        shop.path().join("halts")
    }

    /// The pipe, which will halt here. `PATH` is what it would search otherwise.
    pub fn set(&self, shop: &Shop, pipe: Pipe) -> Pipe {
        let dir = Self::dir(shop);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).expect("make a directory for halts");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("open it to every user");
        std::os::unix::fs::symlink("../services/alive", dir.join("alive")).expect("link the story's lock");
        for program in PROGRAMS {
            fs::write(dir.join(program), SHIM).expect("write a shim");
            fs::set_permissions(dir.join(program), fs::Permissions::from_mode(0o755)).expect("make it executable");
        }
        let path = format!("{}:{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.display(), binaries::directory().display());
        pipe.env("PATH", path)
            .env("HALT_DIR", dir.display().to_string())
            .env("HALT_WHEN", self.when)
            .env("HALT_PROGRAM", self.program)
            .env("HALT_WITH", self.with)
            .env("HALT_WITHOUT", self.without)
            .env("HALT_NTH", self.nth.to_string())
    }

    /// Starts the pipe, waits until it has come here, and kills all of it.
    pub fn kill(&self, shop: &Shop, pipe: Pipe) {
        let mut running = self.set(shop, pipe).start();
        let reached = Self::dir(shop).join("reached");
        let mut ended = false;
        crate::running::until(&format!("the pipe halts at {self:?} or ends"), || {
            ended = !running.is_running();
            ended || reached.exists()
        });
        if ended && !reached.exists() {
            panic!("the pipe ended before it came to {self:?}\n{}", running.wait());
        }
        running.signal_all(Signal::SIGKILL);
        drop(running);
        kill_halted(&reached);
    }
}

/// What a stage runs has a process group of its own: the halted program is who has `reached` open. Its command line says nothing
/// for as long as it becomes flock, which a busy machine makes a while.
fn kill_halted(reached: &Path) {
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let reached = identity(reached).expect("what the halted program opened is there");
    for process in fs::read_dir("/proc").expect("read /proc").flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw);
        let mut open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if let Some(pid) = pid
            && open.any(|file| identity(&file.path()) == Some(reached))
        {
            let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        }
    }
}
