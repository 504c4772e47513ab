//! The command line, and what it asks for.

use std::time::Duration;

use clap::Parser;
use record::Options;

use crate::retention::{MinFree, Policy};

/// Remove the releases that no rule keeps; what is live, among the newest, pinned or in use stays
#[derive(Debug, Parser)]
#[command(
    name = "release-gc",
    version,
    before_help = "\
Examples:
  release-gc -n --root /srv/shop --dry-run -v
  release-mk --root /srv/shop --from build/ | release-switch |
      release-gc --keep 5",
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}"
)]
struct Cli {
    /// Keep the newest N releases that were good, and the newest N that were live and not bad; a bad one goes at once unless something else here keeps it
    #[arg(long, value_name = "N", default_value_t = 5)]
    keep: usize,
    /// Keep what was made, or stopped being live, less than D days ago
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u64).range(..=36_500))]
    keep_days: Option<u64>,
    /// Keep what was never live for this long after it was made
    #[arg(long, value_name = "DURATION", value_parser = record::duration, default_value = "24h")]
    keep_unused: Duration,
    /// Keep the newest N failed builds; they never count against --keep
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep_failed: usize,
    /// Until this much of the disk is free (2G, 10%), also remove what only its age keeps, oldest first
    #[arg(long, value_name = "SIZE|PERCENT", value_parser = min_free)]
    min_free: Option<MinFree>,
    /// Remove at most N releases and failed builds, the oldest
    #[arg(long, value_name = "N")]
    max_delete: Option<usize>,
    /// Remove no release while processes cannot be looked at, and fail when anything is left
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    options: Options,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The rules of retention.
    pub(crate) policy: Policy,
    /// What all tools share.
    pub(crate) options: Options,
}

/// Reads the command line; a wrong one ends the process with 2 here.
pub(crate) fn request() -> Request {
    record::command_line::<Cli>().into()
}

impl From<Cli> for Request {
    fn from(cli: Cli) -> Self {
        let policy = Policy {
            keep: cli.keep,
            keep_young: cli.keep_days.map(|days| Duration::from_secs(days * 24 * 60 * 60)),
            keep_unused: cli.keep_unused,
            keep_failed: cli.keep_failed,
            min_free: cli.min_free,
            max_delete: cli.max_delete,
            strict: cli.strict,
        };
        Self { policy, options: cli.options }
    }
}

fn min_free(text: &str) -> Result<MinFree, String> {
    let Some(percent) = text.strip_suffix('%') else { return record::size(text).map(MinFree::Bytes) };
    match percent.parse::<u8>() {
        Ok(percent) if percent <= 100 => Ok(MinFree::Percent(percent)),
        _ => Err(format!("'{}' is no percentage; write it like 10% or 2G", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_asked_for_in_bytes_or_percent() {
        assert_eq!(min_free("2G"), Ok(MinFree::Bytes(2 << 30)));
        assert_eq!(min_free("10%"), Ok(MinFree::Percent(10)));
        for text in ["101%", "%", "-1%", "much", "10 %"] {
            assert!(min_free(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let policy = Request::from(Cli::parse_from(["release-gc"])).policy;
        assert_eq!((policy.keep, policy.keep_young, policy.keep_failed, policy.strict), (5, None, 1, false));
        assert_eq!(policy.keep_unused, Duration::from_secs(86_400));
    }
}
