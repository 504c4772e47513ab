//! `release-switch`: replaces the link that says which release is live, and takes it back.
//!
//! A library so that all tools can be put into one program; what it offers is the program.

mod adopt;
mod apply;
mod back;
mod cli;
mod link_path;
mod pattern;
mod plan;
mod read;
mod switch;
mod undo;
mod verdict;

use std::process::ExitCode;

use record::Tool;

use crate::cli::What;

const TOOL: Tool = Tool { name: "release-switch", version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let request = cli::request();
    record::run(TOOL, request.role(), request.options.clone(), |pipe| {
        let reason = request.reason.as_deref();
        match &request.what {
            What::Switch(asked) => switch::switch(pipe, asked, reason),
            What::Good => verdict::good(pipe, reason),
            What::Undo if pipe.undoing() => undo::undo(pipe, reason),
            What::Undo => verdict::came_through(pipe, reason),
            What::Adopt => adopt::adopt(pipe, reason),
        }
    })
}
