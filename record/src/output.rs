//! What leaves a tool: one record to stdout in one write, and errors for people on stderr, once.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::json::LARGEST;
use crate::{Exit, Failure, Record, Tool, advice};

/// Writes the record to stdout, whole, in one line.
pub(crate) fn write(record: &Record) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    if line.len() > LARGEST {
        anyhow::bail!("the record has {} bytes, more than a reader takes", line.len());
    }
    write_whole(&line).map_err(|e| anyhow::Error::from(e).context("write the record to stdout"))
}

/// One write(2) for what fits a pipe; the rest follows, also to a descriptor that does not block.
fn write_whole(mut bytes: &[u8]) -> nix::Result<()> {
    let stdout = std::io::stdout();
    while !bytes.is_empty() {
        match nix::unistd::write(&stdout, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE).map(drop)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// How much a line matters, in the numbers of syslog(3) that the journal sorts and colours by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Why it failed, and what to do next.
    Error = 3,
    /// What went wrong without failing.
    Warning = 4,
    /// What is being done.
    Info = 6,
}

/// One line on stderr.
pub(crate) fn say(tool: &str, priority: Priority, line: &str) {
    tell(priority, [format!("{tool}: {}", visible(line))]);
}

/// The error, printed once: outermost first, then its causes, then the next step.
pub(crate) fn complain(tool: &str, message: &str, hint: Option<&str>) {
    let hint = hint.map(|hint| format!("hint: {}", visible(hint)));
    tell(Priority::Error, [format!("{tool}: {}", visible(message))].into_iter().chain(hint));
}

/// Lines on stderr, in one write so that those of several stages do not mix; a stderr that is gone is no reason to fail.
pub(crate) fn tell(priority: Priority, lines: impl IntoIterator<Item = String>) {
    let _ = std::io::stderr().write_all(text(priority, lines, goes_to_the_journal()).as_bytes());
}

fn text(priority: Priority, lines: impl IntoIterator<Item = String>, journal: bool) -> String {
    let mark = if journal { format!("<{}>", priority as u8) } else { String::new() };
    lines.into_iter().map(|line| format!("{mark}{line}\n")).collect()
}

/// Whether stderr is the stream that systemd has connected to the journal: JOURNAL_STREAM of systemd.exec(5), which
/// children inherit even where their stderr is something else.
#[expect(clippy::disallowed_methods, reason = "systemd says it in the environment only")]
fn goes_to_the_journal() -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|named| {
        nix::sys::stat::fstat(std::io::stderr()).is_ok_and(|own| named == format!("{}:{}", own.st_dev, own.st_ino))
    })
}

/// Prints why a tool that writes no record failed, and says how it ends.
pub fn complain_alone(tool: Tool, error: &anyhow::Error) -> ExitCode {
    let (failure, message) = failure_of(tool.name, error);
    let hint = failure.hint.clone().or_else(|| advice::of(error, None));
    complain(tool.name, &message, hint.as_deref());
    ExitCode::from(failure.exit.code())
}

/// A number and what is counted: `1 file`, `2 files`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The text with control and direction-changing characters escaped: safe to show on a terminal.
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The failure that an error carries: its own, or a plain one of exit status 1 for this tool.
pub(crate) fn failure_of(tool: &str, error: &anyhow::Error) -> (Failure, String) {
    let found =
        error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).or_else(|| error.downcast_ref::<Failure>());
    (found.cloned().unwrap_or_else(|| Failure::new(Exit::Failed, plain_code(tool), "")), message(error))
}

/// The chain on one line, a cause that only repeats the one before left out.
fn message(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

fn plain_code(tool: &str) -> &'static str {
    match tool {
        "release-mk" => "mk.failed",
        "release-switch" => "switch.failed",
        "release-gc" => "gc.failed",
        "release-pin" => "pin.failed",
        "release-ls" => "ls.failed",
        "release-lock" => "lock.failed",
        "svc-health" => "health.failed",
        "svc-restart" => "restart.failed",
        "svc-route" => "route.failed",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_failure_is_found_as_the_error_itself_and_as_context() {
        let failure = || Failure::new(Exit::Busy, "lock.busy", "the lock is held");
        let itself: anyhow::Error = failure().into();
        let wrapped = itself.context("switch current");
        assert_eq!(failure_of("x", &wrapped).0.exit, Exit::Busy);
        assert_eq!(failure_of("x", &wrapped).1, "switch current: the lock is held");
        let around = Err::<(), _>(Errno::EACCES).context(failure()).unwrap_err();
        assert_eq!(failure_of("x", &around).0.code, "lock.busy");
        let plain = anyhow::anyhow!("read link");
        assert_eq!(failure_of("release-switch", &plain).0.code, "switch.failed");
    }

    #[test]
    fn only_in_the_journal_every_line_carries_its_priority() {
        let lines = || ["a: it failed".to_owned(), "hint: again".to_owned()];
        assert_eq!(text(Priority::Error, lines(), true), "<3>a: it failed\n<3>hint: again\n");
        assert_eq!(text(Priority::Warning, lines(), false), "a: it failed\nhint: again\n");
    }

    #[test]
    fn nothing_that_moves_the_cursor_or_turns_the_text_reaches_a_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\u{202e}d ü"), "a\\u{1b}[2Jb\\nc\\u{202e}d ü");
    }
}
