//! The command line, and what it asks for.

use std::time::Duration;

use clap::{ArgGroup, Parser};
use record::{Options, Role};
use store::ReleaseId;

/// Keep a release until a date, with an owner and a reason.
#[derive(Debug, Parser)]
#[command(
    name = "release-pin",
    version,
    group = ArgGroup::new("what").args(["for", "remove", "list"]).required(true),
    before_help = "\
Examples:
  release-pin -n --root /srv/shop 20261121T071000Z-12 --for 10days \\
      --reason 'trial at Acme'
  release-mk --root /srv/shop --from build/ |
      release-pin --for 30days --reason audit | release-switch",
    after_help = "\
--for sets the date anew, from now on, so it makes an existing pin longer or shorter. Without a deploy \
in its pipe, release-pin does not wait for one: the collection at that deploy's end honours the pin.",
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}"
)]
struct Cli {
    /// The release; without it the record's
    #[arg(value_name = "ID", conflicts_with = "list")]
    id: Option<ReleaseId>,
    /// Keep it for so long from now on
    #[arg(long, value_name = "DURATION", value_parser = lasting)]
    r#for: Option<Duration>,
    /// Why; needed for a new pin, kept for one that is only made longer or shorter
    #[arg(long, value_name = "TEXT", requires = "for", conflicts_with_all = ["remove", "list"], value_parser = reason)]
    reason: Option<String>,
    /// Take the pin away
    #[arg(long)]
    remove: bool,
    /// List the pins, on stderr as a table and in the record
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    options: Options,
}

/// What is asked for, checked as far as the command line alone can be.
#[derive(Debug)]
pub(crate) struct Request {
    /// The release; the record's where it is not named.
    pub(crate) id: Option<ReleaseId>,
    /// What to do.
    pub(crate) what: What,
    /// What all tools share.
    pub(crate) options: Options,
}

/// The things this tool can do.
#[derive(Debug)]
pub(crate) enum What {
    /// Make a pin, or change one.
    Set {
        /// How long it lasts from now on.
        lasting: Duration,
        /// Why.
        reason: Option<String>,
    },
    /// Take a pin away.
    Remove,
    /// Only show them.
    List,
}

impl Request {
    /// How this run takes part in a pipe.
    pub(crate) fn role(&self) -> Role {
        if matches!(self.what, What::List) { Role::Begins } else { Role::Acts }
    }
}

/// Reads the command line; a wrong one ends the process with 2 here.
pub(crate) fn request() -> Request {
    let Cli { id, r#for, reason, remove, list: _, options } = record::command_line();
    let what = match r#for {
        Some(lasting) => What::Set { lasting, reason },
        None if remove => What::Remove,
        None => What::List,
    };
    Request { id, what, options }
}

fn lasting(text: &str) -> Result<Duration, String> {
    match record::duration(text)? {
        Duration::ZERO => Err("a pin lasts some time; --remove takes it away".into()),
        longer if longer > Duration::from_secs(100 * 366 * 86_400) => Err("at most 100 years".into()),
        duration => Ok(duration),
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err("one line of text".into());
    }
    if text.len() > 1000 {
        return Err("at most 1000 bytes".into());
    }
    Ok(text.to_owned())
}
