//! Two things at once, where another thread is to be had.

use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use anyhow::Context;

/// Does `one` in this thread and `other` in one of its own; where the system has none to give, one behind the other. Who
/// looks after a machine that runs out of processes must get an answer all the same. An error where `other` panicked.
pub fn both<A, B: Send>(one: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> anyhow::Result<(A, B)> {
    // A closure that could not be handed to a thread would be lost with it.
    let other = Mutex::new(Some(other));
    let take = || other.lock().unwrap_or_else(PoisonError::into_inner).take().map(|other| other());
    std::thread::scope(|scope| {
        let thread = Builder::new().spawn_scoped(scope, take);
        let one = one();
        let other = match thread {
            Ok(thread) => thread.join().unwrap_or(None),
            Err(_) => take(),
        };
        Ok((one, other.context("the other thread is gone")?))
    })
}
