//! The command line, and what it asks for.

use clap::{ArgGroup, Parser};
use record::{Options, Role};
use store::ReleaseId;

use crate::pattern::Pattern;

/// Replace the link that says which release is live, go back, or take a failed pipe back.
#[derive(Debug, Parser)]
#[command(
    name = "release-switch",
    version,
    group = ArgGroup::new("what").args(["to", "rollback", "good", "undo", "adopt"]),
    before_help = "\
Examples:
  release-mk --root /srv/shop --from build/ | release-switch
  release-switch --root /srv/shop --rollback --reason 'checkout is slow'",
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}"
)]
struct Cli {
    /// Switch to this release instead of the record's, a bad one too
    #[arg(long, value_name = "ID")]
    to: Option<ReleaseId>,
    /// Switch to the newest good release that was live on this link before, and mark the one it leaves bad
    #[arg(long)]
    rollback: bool,
    /// Mark the release good that this pipe made live; with -n the one that is live
    #[arg(long, conflicts_with_all = ["expect", "link_path", "supersede"])]
    good: bool,
    /// Behind a failed record put back what this pipe switched; behind a good one mark the release good
    #[arg(long, conflicts_with_all = ["expect", "link_path", "supersede", "no_record"])]
    undo: bool,
    /// Take over a layout that Capistrano, Deployer or commcare-cloud made: write manifests and history for what is there
    #[arg(long, conflicts_with_all = ["expect", "link_path", "supersede"])]
    adopt: bool,
    /// Do it only if the link names this release now
    #[arg(long, value_name = "ID")]
    expect: Option<ReleaseId>,
    /// Let the link name the one file in the release that matches, instead of its directory
    #[arg(long, value_name = "GLOB", conflicts_with = "rollback")]
    link_path: Option<Pattern>,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Switch although another pipe is held and waits for promotion, which it then never gets
    #[arg(long)]
    supersede: bool,
    #[command(flatten)]
    options: Options,
}

/// What is asked for, checked as far as the command line alone can be.
#[derive(Debug)]
pub(crate) struct Request {
    /// What to do.
    pub(crate) what: What,
    /// Why, in the user's words.
    pub(crate) reason: Option<String>,
    /// What all tools share.
    pub(crate) options: Options,
}

/// The things this tool can do.
#[derive(Debug)]
pub(crate) enum What {
    /// Replace the link.
    Switch(Switch),
    /// Mark what this pipe made live as good.
    Good,
    /// Take a failed pipe back.
    Undo,
    /// Write manifests and history for what another tool made.
    Adopt,
}

/// How to replace the link.
#[derive(Debug)]
pub(crate) struct Switch {
    /// To which release.
    pub(crate) target: Target,
    /// What the link must name for anything to happen.
    pub(crate) expect: Option<ReleaseId>,
    /// The file in the release that the link shall name.
    pub(crate) link_path: Option<Pattern>,
    /// Whether a held pipe is overtaken.
    pub(crate) supersede: bool,
}

/// Who says which release.
#[derive(Debug)]
pub(crate) enum Target {
    /// The record.
    Record,
    /// The command line.
    Id(ReleaseId),
    /// The history.
    Previous,
}

impl Request {
    /// How this run takes part in a pipe.
    pub(crate) fn role(&self) -> Role {
        match &self.what {
            What::Switch(Switch { target: Target::Id(_) | Target::Previous, .. }) | What::Adopt => Role::Begins,
            What::Switch(Switch { target: Target::Record, .. }) | What::Good => Role::Acts,
            What::Undo => Role::Undoes,
        }
    }
}

/// Reads the command line; a wrong one ends the process with 2 here.
pub(crate) fn request() -> Request {
    record::command_line::<Cli>().into()
}

impl From<Cli> for Request {
    fn from(cli: Cli) -> Self {
        let Cli { to, rollback, good, undo, adopt, expect, link_path, reason, supersede, options } = cli;
        let what = match (to, rollback) {
            (Some(id), _) => Some(Target::Id(id)),
            (None, true) => Some(Target::Previous),
            (None, false) => None,
        };
        let what = match what {
            None if good => What::Good,
            None if undo => What::Undo,
            None if adopt => What::Adopt,
            target => What::Switch(Switch { target: target.unwrap_or(Target::Record), expect, link_path, supersede }),
        };
        Self { what, reason, options }
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("one line without control characters".into());
    }
    if text.len() > 1000 {
        return Err("at most 1000 bytes".into());
    }
    Ok(text.to_owned())
}
