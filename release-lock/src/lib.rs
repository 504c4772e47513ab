//! `release-lock`: runs a command as one isolated deploy.
//!
//! A library so that all tools can be put into one program; what it offers is the program.

mod apply;
mod cli;
mod descriptor;

use std::process::ExitCode;

use record::{Role, Tool};

const TOOL: Tool = Tool { name: "release-lock", version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let request = cli::request();
    let number = descriptor::Reserved::take();
    record::run(TOOL, Role::Begins, request.options.clone(), |pipe| {
        let path = pipe.root_path()?;
        if pipe.dry_run() {
            pipe.plan("lock", path.display().to_string(), None);
            pipe.plan("run", "the command", None);
            pipe.say(format_args!("would lock {} and run the command", path.display()));
            pipe.say("what that would do its own stages say: give --dry-run to the first of them");
            return Ok(());
        }
        if !path.exists() {
            // A typo in --root must not go unnoticed.
            pipe.say(format_args!("{} is a new root", path.display()));
        }
        let (root, _) = store::Root::create(&path, request.options.allow_network_fs)?;
        apply::become_command(pipe, root.rootdir(), &request, number)
    })
}
