//! `svc-restart`: restarts the instances of a service in order, in batches, each behind a gate.
//!
//! A library so that all tools can be put into one program and fuzzing can reach the readers; what it offers is the program.

mod account;
mod act;
mod apply;
mod batches;
mod cli;
mod foretell;
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod hold;
mod instance;
mod managers;
mod pidfile;
mod plan;
mod request;
mod require;
mod sequence;
mod status;
mod surroundings;
mod take_back;
mod template;
mod undo;
mod verify;
mod wanted;
mod watch;

use std::process::ExitCode;

use record::Tool;

use crate::request::Mode;

const TOOL: Tool = Tool { name: "svc-restart", version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let (request, options) = cli::request();
    record::run(TOOL, cli::role(&request.mode), options, |pipe| match &request.mode {
        Mode::Act => act::act(pipe, &request),
        Mode::Undo => take_back::take_back(pipe, &request),
        Mode::Promote(file) => hold::promote(pipe, &request, file),
        Mode::Abort(file) => hold::abort(pipe, file),
        Mode::Status => status::tell(pipe),
    })
}
