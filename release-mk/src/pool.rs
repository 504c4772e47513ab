//! A few threads that share a stack of tasks; a task may add further ones.
//!
//! The calling thread does none of the work: it watches the signals and the pipe, and stops the
//! others at the first error of anyone. A stack, not a queue: the deepest directories come first,
//! which keeps the number of waiting ones small.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// How often the calling thread looks at signals, pipe and progress.
const TICK: Duration = Duration::from_millis(100);

/// So many waiting tasks are enough to keep every thread busy; see [`Pool::is_hungry`].
const ENOUGH: usize = 32;

/// The tasks that wait, and how far the work is.
pub(crate) struct Pool<T> {
    state: Mutex<State<T>>,
    /// For the threads that work.
    added: Condvar,
    /// For the one that watches: were it woken in the place of one that works, a task would wait with it.
    ended: Condvar,
    stopped: AtomicBool,
}

struct State<T> {
    tasks: Vec<T>,
    running: usize,
    /// Threads that wait for a task. Waking nobody costs a system call all the same.
    waiting: usize,
    error: Option<anyhow::Error>,
}

impl<T: Send> Pool<T> {
    /// Adds a task for whichever thread is free first.
    pub(crate) fn push(&self, task: T) {
        let mut state = self.state();
        state.tasks.push(task);
        if state.waiting > 0 {
            self.added.notify_one();
        }
    }

    /// Whether tasks should be split off for others. A task that holds descriptors or much memory is
    /// only pushed while this is true, else done at once: that bounds both.
    pub(crate) fn is_hungry(&self) -> bool {
        self.state().tasks.len() < ENOUGH
    }

    /// Whether somebody failed or was interrupted; long tasks ask now and then.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, error: anyhow::Error) {
        self.stopped.store(true, Ordering::Relaxed);
        let mut state = self.state();
        state.tasks.clear();
        state.error.get_or_insert(error);
        drop(state);
        self.added.notify_all();
        self.ended.notify_all();
    }

    fn next(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if self.is_stopped() {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.running += 1;
                return Some(task);
            }
            if state.running == 0 {
                return None;
            }
            state.waiting += 1;
            state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    fn finished(&self) {
        let mut state = self.state();
        state.running -= 1;
        let over = state.running == 0 && state.tasks.is_empty();
        drop(state);
        if over {
            self.added.notify_all();
            self.ended.notify_all();
        }
    }

    /// Waits for the end of all work, or a tick; true when it is over.
    fn rest(&self) -> bool {
        let state = self.state();
        // Whoever still worked when the others were stopped may have added tasks that nobody takes any more.
        let over = |state: &State<T>| state.running == 0 && (state.tasks.is_empty() || self.is_stopped());
        if over(&state) {
            return true;
        }
        let (state, _) = self.ended.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
        over(&state)
    }
}

/// Two to four threads: more only wait for the same file system journal.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, 4)
}

/// Does `first` and every task that grows out of it. Each thread keeps one `scratch` of its own;
/// `tick` runs in the calling thread every 100 ms, and an error of it stops the others too.
pub(crate) fn run<T: Send, S>(
    first: Vec<T>,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&Pool<T>, &mut S, T) -> Result<()> + Sync,
    mut tick: impl FnMut() -> Result<()>,
) -> Result<()> {
    let pool = Pool {
        state: Mutex::new(State { tasks: first, running: 0, waiting: 0, error: None }),
        added: Condvar::new(),
        ended: Condvar::new(),
        stopped: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| {
                let mut own = scratch();
                while let Some(task) = pool.next() {
                    if let Err(error) = work(&pool, &mut own, task) {
                        pool.stop(error);
                    }
                    pool.finished();
                }
            });
        }
        while !pool.rest() {
            if let Err(error) = tick() {
                pool.stop(error);
            }
        }
    });
    match pool.state.into_inner().unwrap_or_else(PoisonError::into_inner).error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use anyhow::bail;

    use super::*;

    #[test]
    fn every_task_that_grows_out_of_the_first_is_done_once() {
        let sum = AtomicU64::new(0);
        let work = |pool: &Pool<u64>, (): &mut (), n: u64| {
            sum.fetch_add(1, Ordering::Relaxed);
            if n > 0 {
                pool.push(n - 1);
                pool.push(n - 1);
            }
            Ok(())
        };
        run(vec![10], || (), work, || Ok(())).unwrap();
        assert_eq!(sum.into_inner(), 2047);
    }

    #[test]
    fn the_first_error_stops_everybody_and_comes_out() {
        let work = |pool: &Pool<u64>, (): &mut (), n: u64| {
            if n == 500 {
                bail!("five hundred");
            }
            pool.push(n + 1);
            Ok(())
        };
        let error = run(vec![0], || (), work, || Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "five hundred");
        let endless = |pool: &Pool<u64>, (): &mut (), n: u64| {
            pool.push(n + 1);
            Ok(())
        };
        let error = run(vec![0], || (), endless, || bail!("interrupted")).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
    }

    #[test]
    fn a_task_that_is_added_after_an_error_keeps_nobody_waiting() {
        let both_work = std::sync::Barrier::new(2);
        let work = |pool: &Pool<u64>, (): &mut (), n: u64| {
            both_work.wait();
            if n == 0 {
                bail!("no");
            }
            while !pool.is_stopped() {
                std::thread::yield_now();
            }
            // `stop` empties the stack right after it says so.
            while pool.state().error.is_none() {
                std::thread::yield_now();
            }
            pool.push(2);
            Ok(())
        };
        assert_eq!(run(vec![0, 1], || (), work, || Ok(())).unwrap_err().to_string(), "no");
    }
}
