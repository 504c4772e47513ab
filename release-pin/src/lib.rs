//! `release-pin`: keeps a release until a date, with an owner and a reason.
//!
//! A library so that all tools can be put into one program; what it offers is the program.

mod apply;
mod cli;
mod list;
mod pin;
mod plan;

use std::process::ExitCode;

use record::Tool;

use crate::cli::What;

const TOOL: Tool = Tool { name: "release-pin", version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let request = cli::request();
    record::run(TOOL, request.role(), request.options.clone(), |pipe| match &request.what {
        What::List => list::list(pipe),
        what => pin::pin(pipe, request.id.as_ref(), what),
    })
}
