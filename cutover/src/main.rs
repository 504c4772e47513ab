//! `cutover`: all tools in one program, which acts as the one by whose name it is called.
//!
//! Each tool is a program of its own, too. What is installed is this one, with a symlink for each name: nine static
//! programs hold the same half nine times.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

/// A third of the time to start is saved by it; the allocator of glibc has no need of it.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// What a tool is called, what it does, and how it begins.
type Tool = (&'static str, &'static str, fn() -> ExitCode);

const TOOLS: [Tool; 9] = [
    ("release-mk", "makes a release out of a directory, a file, an archive or a git revision", release_mk::main),
    ("release-switch", "replaces the link that says which release is live; rolls back", release_switch::main),
    ("release-gc", "removes what no rule keeps", release_gc::main),
    ("release-pin", "keeps a release until a date, with a reason", release_pin::main),
    ("release-ls", "shows what is there, and what was live when", release_ls::main),
    ("release-lock", "runs a command as one isolated deploy", release_lock::main),
    ("svc-health", "asks whether a service is healthy, and waits until it is", svc_health::main),
    ("svc-restart", "restarts instances in batches, each behind a gate", svc_restart::main),
    ("svc-route", "moves traffic between slots", svc_route::main),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    if let Some((_, _, tool)) = TOOLS.iter().find(|(name, _, _)| *name == called_as(&called)) {
        return tool();
    }
    match arguments.next().and_then(|argument| argument.into_string().ok()).as_deref() {
        Some("--version" | "-V") => answer(concat!("cutover ", env!("CARGO_PKG_VERSION"), "\n")),
        None | Some("--help" | "-h") => answer(&tools()),
        Some(_) => {
            // Nobody is left to tell when stderr is gone.
            let _ = std::io::stderr().write_all(b"cutover: call a tool by its name; `cutover` alone lists them\n");
            ExitCode::from(2)
        }
    }
}

/// The last component of what we were called as. A login shell's leading hyphen is no part of it.
fn called_as(zeroth: &OsStr) -> &OsStr {
    let name = Path::new(zeroth).file_name().unwrap_or_default();
    OsStr::from_bytes(name.as_bytes().strip_prefix(b"-").unwrap_or(name.as_bytes()))
}

/// A line for each tool.
fn tools() -> String {
    let lines: String = TOOLS.iter().map(|(name, does, _)| format!("  {name:<16}{does}\n")).collect();
    format!(
        "Takes a service from one release to the next, and back. The tools, each with --help and a manual page:\n\n{lines}\nman cutover has the rest.\n"
    )
}

/// Prints an answer on stdout.
fn answer(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_comes_last_without_a_login_shells_hyphen() {
        for called in ["release-mk", "/usr/bin/release-mk", "./release-mk", "-release-mk"] {
            assert_eq!(called_as(OsStr::new(called)), "release-mk");
        }
        assert_eq!(called_as(OsStr::new("")), "");
    }
}
