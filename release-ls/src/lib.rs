//! `release-ls`: shows the releases of a root.
//!
//! A library so that all tools can be put into one program; what it offers is the program.

mod activations;
mod cli;
mod columns;
mod hosts;
mod html;
mod listed;
mod missing;
mod out;
mod show;
mod table;
mod text;
mod verified;
mod verify;
mod walk;

use std::process::ExitCode;

use record::Tool;

const TOOL: Tool = Tool { name: "release-ls", version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    match cli::request().and_then(|request| show::show(&request)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => record::complain_alone(TOOL, &error),
    }
}
