//! What lies on disk under a root: releases, links, history, pins, builds in progress and trash.
//!
//! Whoever looks opens a [`Root`]; whoever changes something asks it for the [`Lock`], and every
//! function with an effect asks for that lock, so forgetting it does not compile. What was killed
//! half-way is settled when the lock is taken next, before anything else is decided.

pub mod adopt;
mod both;
pub mod debris;
#[doc(hidden)]
pub mod fuzz;
pub mod history;
mod id;
pub mod inventory;
pub mod link;
pub mod listing;
mod lock;
pub mod manifest;
pub mod pins;
mod publish;
mod recover;
mod root;
mod seq;
pub mod staging;
pub mod trash;

pub use both::both;
pub use history::{History, Verdict};
pub use id::{InvalidId, ReleaseId};
pub use inventory::Inventory;
pub use lock::Lock;
pub use manifest::Manifest;
pub use pins::{Pin, PinState};
pub use root::Root;
pub use seq::next_seq;
