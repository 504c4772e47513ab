//! Skipping loudly: a test that cannot run on this machine says so and is counted at the end of `make test`.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that the current test is skipped, or a part of it, and why; `make test` counts these lines.
///
/// # Panics
///
/// If the list that `make test` counts cannot be written: a skip would be silent.
pub fn note(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    // The raw handle is not captured by the test runner, so a skipped test is seen even when it passes.
    let _ = std::io::stderr().lock().write_all(format!("SKIPPED {line}").as_bytes());
    if let Some(counted) = std::env::var_os("CUTOVER_TEST_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(counted).expect("open the list of skips");
        file.write_all(line.as_bytes()).expect("count a skip");
    }
}
