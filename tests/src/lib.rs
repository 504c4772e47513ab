//! The harness of the stories: shops to deploy, pipes to run, records that are validated before anybody sees them.
//!
//! `cargo test` builds no other package's binaries, so the harness builds them itself (see [`binaries`]): a stale
//! one cannot pass. What a story needs and a machine does not have is skipped with [`skip!`], loudly and counted.
#![expect(clippy::disallowed_methods, reason = "a harness acts on the world as a user does")]

pub mod binaries;
pub mod checker;
pub mod disk;
pub mod faults;
pub mod halts;
pub mod listing;
pub mod load;
pub mod order;
pub mod pipe;
pub mod planted;
pub mod puppets;
pub mod real;
pub mod record;
pub mod running;
pub mod services;
pub mod shop;
pub mod skip;
pub mod trace;

pub use checker::Checker;
pub use pipe::{Pipe, Run};
pub use record::Record;
pub use running::Running;
pub use services::Services;
pub use shop::Shop;
