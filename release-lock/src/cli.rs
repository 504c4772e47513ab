//! The command line, and what it asks for.

use std::ffi::OsString;

use clap::Parser;
use record::Options;

/// Run a command as one isolated deploy: everything in it works under the root's deploy lock.
#[derive(Debug, Parser)]
#[command(
    name = "release-lock",
    version,
    before_help = "\
Examples:
  release-lock --root /srv/shop -- ./deploy.sh
  [ \"${CUTOVER_DEPLOY_FD-}\" ] || exec release-lock --root /srv/shop -- \"$0\" \"$@\"",
    after_help = "\
The lock lasts until the last process of the command ends. The command finds CUTOVER_ROOT and \
CUTOVER_DEPLOY_FD in its environment (and CUTOVER_LINK where --link is given), and its exit status is the exit status; 126 and 127 say \
that it could not be started or found. Nothing is printed but when the lock is not to be had, or a root is made. With --dry-run the command is not run; to see \
what it would do give --dry-run to the first stage of its pipe. Below the deploy of another root both locks are held.",
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}"
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The program and its arguments; never empty.
    pub(crate) command: Vec<OsString>,
    /// What all tools share.
    pub(crate) options: Options,
}

/// Reads the command line; a wrong one ends the process with 2 here.
pub(crate) fn request() -> Request {
    let Cli { options, command } = record::command_line();
    if options.report.is_some() {
        record::wrong_command_line::<Cli>(
            "--report means nothing to release-lock: give it to the stages of the command",
        );
    }
    Request { command, options }
}
