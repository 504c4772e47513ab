//! The options that all tools share, as clap reads them.

#[cfg(feature = "manual")]
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, ValueEnum};
use dir::Name;

/// The options that all tools share; every tool's command line flattens them in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Options {
    /// The root: the directory with releases/, shared/ and the link [env: CUTOVER_ROOT]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// The link that says which release is live [env: CUTOVER_LINK] [default: current]
    #[arg(long, value_name = "NAME")]
    pub link: Option<Name>,

    /// How long to wait for a lock that somebody else holds; 0s asks once
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub lock_wait: Duration,

    /// Only plan: lock and write nothing; makes all later stages of the pipe plan too
    #[arg(long)]
    pub dry_run: bool,

    /// Read no record from stdin: run alone, or begin a pipe
    #[arg(short = 'n', long)]
    pub no_record: bool,

    /// Write this stage's entry whole to FILE, however long its lists are
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Work on NFS, CIFS and FUSE too, where locks and renames may not hold what is promised
    #[arg(long)]
    pub allow_network_fs: bool,

    /// Say nothing on stderr but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more on stderr
    #[arg(short, long)]
    pub verbose: bool,

    /// Colours on stderr, and on the terminal where a tool prints a table
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub color: Color,

    /// Print the JSON Schema of the record and exit
    #[arg(long)]
    pub schema: bool,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to colour what goes to `stream`.
    pub fn applies_to(self, stream: &impl std::io::IsTerminal) -> bool {
        match self {
            Self::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Reads a tool's command line. `--schema`, `--help` and `--version` are answered here, and a wrong
/// line ends the process with 2 and an empty stdout.
#[expect(clippy::print_stdout, clippy::exit, reason = "the schema is this call's whole answer")]
pub fn command_line<C: Parser>() -> C {
    #[cfg(feature = "manual")]
    if let Some(answer) = crate::manual::answer(C::command()) {
        std::process::exit(i32::from(std::io::stdout().write_all(&answer).is_err()));
    }
    let before_command = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    if before_command.into_iter().any(|argument| argument == "--schema") {
        print!("{}", crate::schema::COMMITTED);
        std::process::exit(0);
    }
    C::try_parse().unwrap_or_else(|error| answer(C::command().get_name(), &error))
}

/// Ends the process with 2 over something on the command line that the options' own types cannot tell.
pub fn wrong_command_line<C: CommandFactory>(message: &str) -> ! {
    let mut command = C::command();
    let error = command.error(clap::error::ErrorKind::ValueValidation, message);
    answer(command.get_name(), &error)
}

/// Prints what clap has to say: help and version to stdout; an error to stderr, without letting what was typed reach
/// the terminal raw.
#[expect(clippy::exit, reason = "a command line that cannot be read ends the tool")]
fn answer(tool: &str, error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    // In a pipe of six nobody else would tell whose command line is wrong.
    let text = format!("{tool}: {}", error.render());
    crate::output::tell(crate::output::Priority::Error, text.lines().map(crate::visible));
    std::process::exit(error.exit_code())
}

/// Reads a duration as humantime does: `30s`, `1h30m`, `10days`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|e| format!("{e}; write it like 30s, 1h30m or 10days"))?;
    // Beyond this, adding it to a clock would overflow; nobody waits so long.
    if duration > LONGEST { Err("longer than 100 years".into()) } else { Ok(duration) }
}

const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Reads a size in bytes: `500M`, `1.5G`, `4096`; K, M, G and T are powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{}' is no size; write it like 500M or 2G", text.escape_debug());
    let trimmed = text.trim().trim_end_matches(['B', 'b']).trim_end_matches('i');
    let (number, shift) = match trimmed.char_indices().last() {
        Some((at, 'k' | 'K')) => (&trimmed[..at], 10),
        Some((at, 'm' | 'M')) => (&trimmed[..at], 20),
        Some((at, 'g' | 'G')) => (&trimmed[..at], 30),
        Some((at, 't' | 'T')) => (&trimmed[..at], 40),
        _ => (trimmed, 0),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).filter(|bytes| *bytes < 1 << 53).ok_or_else(wrong);
    }
    let plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value = number.parse::<f64>().ok().filter(|_| plain).ok_or_else(wrong)?;
    let bytes = value * f64::from(1_u32 << 10).powi(shift / 10);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    if bytes < 9.0e15 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("500M", 500 << 20), ("2G", 2 << 30), ("1.5K", 1536), ("1KiB", 1024)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1e3", "many", "9999999T", "inf", "NaN"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_humantime_does() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert!(duration("soon").is_err());
        assert!(duration("584000000000years").is_err());
        assert!(duration("18446744073709551615s").is_err());
    }
}
