//! One run of one command: wall time, processor time, peak memory.
//!
//! A process learns the peak memory of its children only as the largest of all it has waited for. So each measured
//! command gets a parent of its own, this program again, which says what it saw as one line of JSON.
#![expect(clippy::disallowed_methods, reason = "starting programs and asking the clock is what it is for")]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// The first argument of a parent of one command.
pub(crate) const CHILD: &str = "--child";

/// What one run took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of processor time, user and system, of the command and what it waited for.
    pub(crate) cpu: f64,
    /// The largest resident size of any process of it, in MiB.
    pub(crate) memory: f64,
    status: i32,
}

/// Runs the shell command in `folder`, `repeat` times in a row, and says what one of them took. `status` is what it ends with.
pub(crate) fn run(folder: &Path, command: &str, repeat: u32, status: i32) -> Result<Taken> {
    let this = std::env::current_exe().context("find this program")?;
    let mut parent = Command::new(this);
    parent.arg(CHILD).arg(repeat.to_string()).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::piped());
    if needs_shell(command) {
        parent.args(["sh", "-c", command]);
    } else {
        parent.args(command.split_ascii_whitespace());
    }
    let output = parent.output().with_context(|| format!("run {command}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let taken: Taken = serde_json::from_slice(&output.stdout).with_context(|| format!("measure {command}: {said}"))?;
    ensure!(taken.status == status, "{command} ended with {}, not {status}: {said}", taken.status);
    Ok(taken)
}

/// Runs something that is not measured.
pub(crate) fn prepare(folder: &Path, command: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    let output = shell.args(["-euc", command]).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {command}"))?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What a command prints, trimmed; `None` where it cannot be run.
pub(crate) fn said(command: &str) -> Option<String> {
    let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// A shell would cost more than the smallest of what is measured.
fn needs_shell(command: &str) -> bool {
    command.contains(['|', '&', ';', '<', '>', '$', '(', '\'', '"', '*', '='])
}

/// Runs `REPEAT PROGRAM ARGUMENT…` and prints what it took.
pub(crate) fn child(arguments: &[String]) -> ExitCode {
    let [repeat, program, arguments @ ..] = arguments else { return ExitCode::FAILURE };
    let repeat: u32 = repeat.parse().unwrap_or(1);
    let began = Instant::now();
    let mut status = 0;
    for _ in 0..repeat {
        let ended = Command::new(program).args(arguments).stdout(Stdio::null()).status();
        status = ended.map_or(127, |ended| ended.code().unwrap_or(128));
    }
    let wall = began.elapsed().as_secs_f64() / f64::from(repeat);
    let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return ExitCode::FAILURE };
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = (seconds(used.user_time()) + seconds(used.system_time())) / f64::from(repeat);
    let taken = Taken { wall, cpu, memory: used.max_rss() as f64 / 1024.0, status };
    match serde_json::to_writer(std::io::stdout(), &taken) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
