//! `release-gc`: removes the releases that no rule keeps.
//!
//! A library so that all tools can be put into one program; what it offers is the program.

mod apply;
mod astray;
mod cli;
mod clock_check;
mod collect;
mod delete;
mod in_use;
#[cfg(test)]
mod laws;
mod lived;
mod plan;
mod retention;

use std::process::ExitCode;

use record::{Role, Tool};

const TOOL: Tool = Tool { name: "release-gc", version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let request = cli::request();
    record::run(TOOL, Role::Acts, request.options, |pipe| collect::collect(pipe, &request.policy))
}
