//! What is still to be done: a stack, so that few directories are open at a time.
//!
//! First in, last out keeps the open directories to the ancestors of what is in hand; a queue in the
//! order of arrival would hold a whole level of the tree open.

use std::ffi::CString;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::node::Node;

/// One step for one worker.
#[derive(Debug)]
pub(super) enum Job {
    /// Open the entry of that directory and empty it.
    Enter(Arc<Node>, CString),
    /// Go on reading a directory.
    Continue(Arc<Node>),
}

/// The stack that the workers share.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    jobs: Vec<Job>,
    at_work: usize,
    waiting: usize,
    stopped: bool,
}

impl Queue {
    pub(super) fn of(jobs: Vec<Job>) -> Self {
        let state = State { jobs, at_work: 0, waiting: 0, stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next step; `None` when all is done. Whoever takes one must call [`Queue::step_done`] after it.
    pub(super) fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop() {
                state.at_work += 1;
                return Some(job);
            }
            if state.at_work == 0 {
                return None;
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Adds steps; the last one is taken first.
    pub(super) fn push(&self, jobs: impl Iterator<Item = Job>) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        state.jobs.extend(jobs);
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    pub(super) fn step_done(&self) {
        let mut state = self.lock();
        state.at_work -= 1;
        if state.at_work == 0 && state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Drops what is still to be done: steps in hand are finished, nothing new begins.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let dropped = std::mem::take(&mut state.jobs);
        drop(state);
        drop(dropped);
    }

    pub(super) fn was_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
