//! release-mk: makes a release out of a directory, a file, an archive or a git revision, and starts the record.
//!
//! A library so that all tools can be put into one program and fuzzing can reach the readers; what it offers is the program.

mod apply;
mod artifact;
mod blobs;
mod build;
mod changed;
mod children;
mod cli;
mod content;
mod early;
mod entries;
mod environment;
mod exclude;
mod fingerprint;
#[doc(hidden)]
pub mod fuzz;
mod identity;
mod leaving;
mod links;
mod look;
mod metadata;
mod plan;
mod pool;
mod progress;
mod rehash;
mod remove;
mod request;
mod scratch;
mod share;
mod shown;
mod source;
mod space;
mod stamp;
mod stat_cache;
mod state;
mod steps;
mod unchanged;
mod watch;

use std::process::ExitCode;

use record::{Role, Tool};

const TOOL: Tool = Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };

/// The program: from the command line to the exit status.
pub fn main() -> ExitCode {
    let (request, options) = cli::request();
    record::run(TOOL, Role::Begins, options, |pipe| {
        let source = source::open(&request)?;
        let site = look::enter(pipe)?;
        if request.if_changed && changed::is_settled(pipe, &request, &source, &site)? {
            return Ok(());
        }
        let facts = look::look(pipe, &request, &source, &site)?;
        let plan = plan::plan(&request, &facts)?;
        match pipe.dry_run() {
            true => look::announce(pipe, &request, &plan, &site),
            false => apply::apply(pipe, &request, &source, &site, &plan),
        }
    })
}
