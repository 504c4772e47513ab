//! A few threads that share tasks; a task may add further ones.
//!
//! The calling thread does none of the work: it watches the signals and the pipe, and stops the
//! others at the first error of anyone. Each thread keeps the tasks it adds on a stack of its own and gives some of them
//! away only when another has nothing to do: a lock or a wake-up for each task costs more than many a task.
//! Stacks, not queues: the deepest directories come first, which keeps the number of waiting ones small.

use std::cell::RefCell;
use std::iter;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use record::{Exit, Failure};

/// How often the calling thread looks at signals, pipe and progress.
const TICK: Duration = Duration::from_millis(100);

/// What the threads share.
struct Shared<T> {
    state: Mutex<State<T>>,
    /// For the threads that work.
    added: Condvar,
    /// For the one that watches: were it woken in the place of one that works, a task would wait with it.
    ended: Condvar,
    stopped: AtomicBool,
    /// Somebody waits, and nothing has been given away since.
    hungry: AtomicBool,
}

struct State<T> {
    tasks: Vec<T>,
    /// How many threads there are.
    threads: usize,
    /// Threads that have nothing to do.
    idle: usize,
    error: Option<anyhow::Error>,
}

/// One of the threads, with the tasks it has still to do.
pub(crate) struct Worker<'p, T> {
    shared: &'p Shared<T>,
    own: RefCell<Vec<T>>,
}

impl<T: Send> Worker<'_, T> {
    /// Adds a task, for this thread unless another asks for it first.
    pub(crate) fn push(&self, task: T) {
        self.own.borrow_mut().push(task);
    }

    /// Adds a task for another thread. One that holds descriptors or much memory is given away only while
    /// [`is_hungry`](Self::is_hungry) says that it will be taken at once, and done by this thread else: that bounds both.
    pub(crate) fn give(&self, task: T) {
        self.shared.give([task]);
    }

    /// Whether another thread waits for a task.
    pub(crate) fn is_hungry(&self) -> bool {
        self.shared.hungry.load(Ordering::Relaxed)
    }

    /// Whether somebody failed or was interrupted; long tasks ask now and then. Also lets others have tasks, so that they
    /// need not wait for the end of a long one.
    pub(crate) fn is_stopped(&self) -> bool {
        if self.is_hungry() {
            let mut own = self.own.borrow_mut();
            if !own.is_empty() {
                // The oldest are nearest to the top, and so the largest.
                let half = own.len().div_ceil(2);
                self.shared.give(own.drain(..half));
            }
        }
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// The same for threads that the task has started: set once whoever failed has told why, so that none of them is first.
    pub(crate) fn stop_flag(&self) -> &AtomicBool {
        &self.shared.stopped
    }

    fn next(&self) -> Option<T> {
        let own = self.own.borrow_mut().pop();
        if self.is_stopped() {
            self.own.borrow_mut().clear();
        } else if own.is_some() {
            return own;
        }
        self.shared.take(&mut self.own.borrow_mut())
    }
}

impl<T: Send> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, tasks: impl IntoIterator<Item = T>) {
        let mut state = self.state();
        state.tasks.extend(tasks);
        self.hungry.store(false, Ordering::Relaxed);
        self.added.notify_all();
    }

    /// Waits for tasks of others: one to be done now, further ones into `own`. `None` when all work is over.
    fn take(&self, own: &mut Vec<T>) -> Option<T> {
        let mut state = self.state();
        state.idle += 1;
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                state.tasks.clear();
            }
            let fair = state.tasks.len().div_ceil(state.threads);
            own.extend(state.tasks.drain(..fair));
            if let Some(task) = own.pop() {
                state.idle -= 1;
                return Some(task);
            }
            if state.idle == state.threads || self.stopped.load(Ordering::Relaxed) {
                self.added.notify_all();
                self.ended.notify_all();
                return None;
            }
            self.hungry.store(true, Ordering::Relaxed);
            state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// So many threads were to be had.
    fn has(&self, threads: usize) {
        self.state().threads = threads;
        // All of them may be waiting already for one that did not come.
        self.added.notify_all();
    }

    fn stop(&self, error: anyhow::Error) {
        let mut state = self.state();
        state.error.get_or_insert(error);
        // Only now: who stops because of it must not be first with an error of its own.
        self.stopped.store(true, Ordering::Relaxed);
        drop(state);
        self.added.notify_all();
    }

    /// Waits for the end of all work, or a tick; true when it is over.
    fn rest(&self) -> bool {
        let over = |state: &State<T>| state.idle == state.threads && state.tasks.is_empty();
        let state = self.state();
        if over(&state) {
            return true;
        }
        let (state, _) = self.ended.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
        over(&state)
    }
}

/// Two to four threads: more only wait for the same file system journal.
pub(crate) fn workers() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, 4))
}

/// So many threads, or as many of them as are to be had; an error where that is none.
pub(crate) fn threads<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    work: impl Fn() -> T + Copy + Send + 'scope,
) -> Result<Vec<ScopedJoinHandle<'scope, T>>> {
    let first = Builder::new().spawn_scoped(scope, work).with_context(no_thread)?;
    let others = (1..count).map_while(|_| Builder::new().spawn_scoped(scope, work).ok());
    Ok(iter::once(first).chain(others).collect())
}

/// What is said where a thread is needed and none is to be had.
pub(crate) fn no_thread() -> Failure {
    Failure::new(Exit::Failed, "mk.threads", "start a thread")
        .hint("processes, threads or memory are used up: see ulimit -a, and TasksMax and MemoryMax of the unit")
        .retryable()
}

/// Does `first` and every task that grows out of it. Each thread keeps one `scratch` of its own, and all of them come
/// back; `tick` runs in the calling thread every 100 ms, and an error of it stops the others too.
pub(crate) fn run<T: Send, S: Send>(
    first: Vec<T>,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&Worker<'_, T>, &mut S, T) -> Result<()> + Sync,
    mut tick: impl FnMut() -> Result<()>,
) -> Result<Vec<S>> {
    let shared = Shared {
        state: Mutex::new(State { tasks: first, threads: workers(), idle: 0, error: None }),
        added: Condvar::new(),
        ended: Condvar::new(),
        stopped: AtomicBool::new(false),
        hungry: AtomicBool::new(false),
    };
    let scratches = std::thread::scope(|scope| {
        let one = || {
            let mut own = scratch();
            let worker = Worker { shared: &shared, own: RefCell::default() };
            while let Some(task) = worker.next() {
                if let Err(error) = work(&worker, &mut own, task) {
                    shared.stop(error);
                }
            }
            own
        };
        let threads = threads(scope, workers(), one)?;
        shared.has(threads.len());
        while !shared.rest() {
            if let Err(error) = tick() {
                shared.stop(error);
            }
        }
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a working thread is gone"))).collect()
    });
    match shared.state.into_inner().unwrap_or_else(PoisonError::into_inner).error {
        Some(error) => Err(error),
        None => scratches,
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
        let work = |pool: &Worker<'_, u64>, (): &mut (), n: u64| {
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
        let work = |pool: &Worker<'_, u64>, (): &mut (), n: u64| {
            if n == 500 {
                bail!("five hundred");
            }
            pool.push(n + 1);
            Ok(())
        };
        let error = run(vec![0], || (), work, || Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "five hundred");
        let endless = |pool: &Worker<'_, u64>, (): &mut (), n: u64| {
            pool.push(n + 1);
            Ok(())
        };
        let error = run(vec![0], || (), endless, || bail!("interrupted")).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
    }

    #[test]
    fn a_task_that_is_added_after_an_error_keeps_nobody_waiting() {
        let both_work = std::sync::Barrier::new(2);
        let work = |pool: &Worker<'_, u64>, (): &mut (), n: u64| {
            both_work.wait();
            if n == 0 {
                bail!("no");
            }
            while !pool.is_stopped() {
                std::thread::yield_now();
            }
            pool.push(2);
            Ok(())
        };
        assert_eq!(run(vec![0, 1], || (), work, || Ok(())).unwrap_err().to_string(), "no");
    }
}
