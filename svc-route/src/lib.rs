//! svc-route moves traffic between the slots of a service, and back.
//!
//! A library so that all tools can be put into one program; what it offers is the program.

mod addresses;
mod apply;
mod cli;
mod connections;
mod gate;
mod plan;
mod routers;
mod slots;
mod undo;

use std::process::ExitCode;

use record::Tool;

const TOOL: Tool = Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let request = cli::request();
    record::run(TOOL, request.role(), request.options.clone(), |pipe| {
        if let Some(root) = pipe.root_path_if_any()? {
            pipe.enter(record::RootDir::open(&root, request.options.allow_network_fs)?);
            pipe.refuse_contradiction()?;
        }
        match &request.action {
            cli::Action::Undo => undo::take_back(pipe, &request),
            _ => apply::apply(pipe, &request),
        }
    })
}
