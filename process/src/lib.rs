//! What /proc says about processes, and children that are run and waited for without guessing.
//!
//! The tools ask three things of a machine: which processes use a tree ([`scan`], [`uses_of`]), who
//! answers on an address ([`listener::owners`]), and when a process has ended ([`Watched`]). A process
//! whose parent has not collected it yet (state Z) has ended; that it still has a number means nothing.

pub mod command;
pub mod hosts;
pub mod listener;
mod mounts;
mod stat;
mod uses;
mod watched;

pub use stat::{ProcessStat, children, stat};
pub use uses::{By, Scan, Tree, Use, scan, uses_of};
pub use watched::{Waited, Watched};
