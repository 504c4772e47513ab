//! The record that flows from tool to tool, and the life of a stage around it.
//!
//! One JSON object on one line passes through a shell pipe; every tool adds a stage to it. A tool
//! calls [`run`], which reads the record before anything else, hands a [`Pipe`] to the tool's own
//! work, and turns whatever comes out of it into one record and one exit status.

mod advice;
pub mod clock;
mod deploy;
mod downstream;
mod elide;
mod exit;
mod failure;
mod family;
mod finish;
#[doc(hidden)]
pub mod fuzz;
pub mod host;
mod incoming;
mod input;
mod interrupts;
mod json;
mod look;
#[cfg(feature = "manual")]
mod manual;
mod options;
mod output;
mod pipe;
pub mod placeholders;
mod report;
mod root;
mod run_file;
pub mod schema;
pub mod sections;
mod undo;
mod wire;

pub use advice::errno_of;
pub use deploy::{DEPLOY_FD, DeployLock, Holder};
pub use exit::Exit;
pub use failure::{Blame, Failure};
pub use interrupts::Interrupts;
pub use json::{parse, parse_in};
pub use options::{Color, Options, command_line, duration, size, wrong_command_line};
pub use output::{complain_alone, counted, visible};
pub use pipe::{Pipe, Role, Tool, run};
pub use root::RootDir;
pub use run_file::RunFile;
pub use wire::{ErrorInfo, Record, Release, SCHEMA, Source, Stage, Step, Warning};
