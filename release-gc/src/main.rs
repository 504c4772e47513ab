//! `release-gc`: removes the releases that no rule keeps.

mod apply;
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

fn main() -> ExitCode {
    let request = cli::request();
    record::run(TOOL, Role::Acts, request.options, |pipe| collect::collect(pipe, &request.policy))
}
