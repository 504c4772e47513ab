//! Skipping loudly: a story that cannot run on this machine says so and is counted at the end of `make test`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Ends the story here and counts it as skipped, with the reason.
#[macro_export]
macro_rules! skip {
    ($($why:tt)+) => {{
        $crate::skip::note(&format!($($why)+));
        return;
    }};
}

/// Says that the current test is skipped and why; `make test` counts these lines. Use [`skip!`](crate::skip!).
pub fn note(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    // The raw handle is not captured by the test runner, so a skipped story is seen even when it passes.
    let _ = std::io::stderr().lock().write_all(format!("SKIPPED {line}").as_bytes());
    if let Some(counted) = std::env::var_os("CUTOVER_TEST_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(counted).expect("open the list of skips");
        file.write_all(line.as_bytes()).expect("count a skip");
    }
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
