//! A directory held by its descriptor, and everything that is done beneath it.
//!
//! Paths are resolved once, when a [`Dir`] is opened; from then on every operation names one entry
//! of a directory that is already held. Nobody who swaps a directory for a symlink in between can
//! lead a tool elsewhere: no operation here follows a symlink in its last component.

mod accounts;
mod beneath;
mod entry;
mod error;
mod flock;
mod held;
mod name;
mod names;
mod owner;
mod planted;

pub use accounts::{Accounts, User};
pub use entry::{Kind, Stat};
pub use error::{Error, Result};
pub use flock::{Flock, Wait};
pub use held::{Dir, random_suffix};
pub use name::{InvalidName, Name};
pub use names::Names;
pub use owner::{ActingAs, Owner};
pub use planted::planted;
