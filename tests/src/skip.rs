//! Skipping loudly: a story that cannot run on this machine says so and is counted at the end of `make test`.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

pub use ::skip::note;

/// Ends the story here and counts it as skipped, with the reason.
#[macro_export]
macro_rules! skip {
    ($($why:tt)+) => {{
        $crate::skip::note(&format!($($why)+));
        return;
    }};
}

/// Prints a measurement past the test runner's capture: it is to be seen when all is well.
pub fn measured(what: &str) {
    let _ = std::io::stderr().lock().write_all(format!("MEASURED {what}\n").as_bytes());
}

/// Whether a program is to be had, also in the directories of an administrator.
pub fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/usr/bin:/bin";
    path.split(':').any(|dir| Path::new(dir).join(program).is_file())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a command can be run and succeeds.
pub fn succeeds(words: &[&str]) -> bool {
    let mut command = std::process::Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether every process may be looked at: what it runs, where it is, what it has open.
pub fn sees_all_processes() -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    numbered.into_iter().all(|process| {
        let denied = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        !std::fs::read_link(process.path().join("cwd")).is_err_and(denied)
    })
}
