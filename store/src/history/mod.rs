//! The activation log: which link named what since when, and what became of it.
//!
//! It is the only source for "previous", "good" and "bad". A verdict belongs to the manifest's
//! sequence number, never to an id: an id may be used again once its release was collected.

mod entry;
mod journal;
mod lines;
pub(crate) mod parse;
#[cfg(test)]
mod tests;
mod view;

pub use entry::{Entry, Kind, StageTime};
pub(crate) use journal::Journal;
pub use lines::{Change, OpenIntent, abort, bad, done, good, intent, past};
pub(crate) use lines::{append, end_of};
pub use view::{History, Span, Verdict, takes_back};
