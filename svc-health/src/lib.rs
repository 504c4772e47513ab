//! `svc-health`: asks whether a service is healthy, and waits until it is.
//!
//! It changes nothing: everything below only asks, again and again, and decides. See `verdict` for what the answers
//! add up to and `probe` for the ways of asking.
//!
//! A library so that all tools can be put into one program and fuzzing can reach the readers; what it offers is the program.

mod ask;
mod asked;
mod changes;
mod cli;
mod engine;
mod expect;
#[doc(hidden)]
pub mod fuzz;
mod nagios;
mod pace;
mod probe;
mod reasons;
mod report;
mod target;
mod verdict;
mod watch;

use std::process::ExitCode;

use record::{Role, Tool};

const TOOL: Tool = Tool { name: "svc-health", version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let request = cli::request();
    if request.nagios {
        return nagios::run(&request);
    }
    record::run(TOOL, Role::Acts, request.options.clone(), |pipe| ask::ask(pipe, &request))
}
