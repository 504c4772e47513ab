//! Many attempts at once in one thread: each is a future that the kernel's epoll wakes.
//!
//! An attempt has no clock of its own. Whoever started it said how long it may take; when that is over the engine drops
//! it, whatever it is doing, and with it its sockets and children.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::verdict::Answer;

/// A question on its way to its answer.
pub(crate) type Attempt<'p> = Pin<Box<dyn Future<Output = Answer> + 'p>>;

/// Events of what is not an attempt carry this token.
const BYSTANDER: u64 = u64::MAX;
const EVENTS_AT_ONCE: usize = 256;
/// So many operations in a row before others, and the clock, have their turn: who sends without end is always ready.
const TURN: u32 = 32;

/// What an attempt needs of the engine: to be woken, and a place to say what it is doing.
#[derive(Debug)]
pub(crate) struct Io {
    epoll: Rc<OwnedFd>,
    token: u64,
    doing: Cell<&'static str>,
    received: Cell<u64>,
    turn: Cell<u32>,
}

impl Io {
    /// Says what the attempt waits for now: the reason if it is never heard of again.
    pub(crate) fn doing(&self, what: &'static str) {
        self.doing.set(what);
    }

    /// Counts what came from the other side, for the same reason.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.set(self.received.get().saturating_add(bytes as u64));
    }

    /// Does `work` now, or as soon as `fd` is ready for it. `registered` belongs to `fd` and begins as false.
    pub(crate) async fn ready<T>(
        &self,
        fd: &impl AsFd,
        registered: &Cell<bool>,
        mut work: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        std::future::poll_fn(|_| {
            let Some(left) = self.turn.get().checked_sub(1) else { return Poll::Pending };
            self.turn.set(left);
            loop {
                return match work() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        // Adding tells at once when it has become ready in between, so nothing is missed.
                        match if registered.replace(true) { Ok(()) } else { self.register(fd) } {
                            Ok(()) => Poll::Pending,
                            Err(error) => Poll::Ready(Err(error)),
                        }
                    }
                    done => Poll::Ready(done),
                };
            }
        })
        .await
    }

    fn register(&self, fd: &impl AsFd) -> io::Result<()> {
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(self.token), events)?)
    }

    fn overdue(&self, limit: Duration) -> Answer {
        let (limit, doing) = (crate::report::span(limit), self.doing.get());
        Answer::Fail(match self.received.get() {
            0 => format!("no answer within {limit} ({doing})"),
            bytes => format!("no whole answer within {limit} ({doing}, {bytes} bytes so far)"),
        })
    }
}

/// An attempt that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Which target it asked.
    pub(crate) who: usize,
    /// What it found out.
    pub(crate) answer: Answer,
    /// When it began.
    pub(crate) began: Instant,
    /// Whether its time ran out.
    pub(crate) overdue: bool,
}

struct Running<'p> {
    who: usize,
    io: Rc<Io>,
    attempt: Attempt<'p>,
    began: Instant,
    limit: Duration,
}

/// The attempts that are under way.
pub(crate) struct Engine<'p> {
    epoll: Rc<OwnedFd>,
    slots: Vec<Option<Running<'p>>>,
    free: Vec<usize>,
    started: u32,
    events: Vec<Event>,
    /// Slots whose attempt used up its turn and goes on in the next one.
    eager: Vec<usize>,
}

impl<'p> Engine<'p> {
    /// An engine for at most `most` attempts at once.
    pub(crate) fn new(most: usize) -> io::Result<Self> {
        Ok(Engine {
            epoll: Rc::new(epoll::create(CreateFlags::CLOEXEC)?),
            slots: (0..most).map(|_| None).collect(),
            free: (0..most).rev().collect(),
            started: 0,
            events: Vec::with_capacity(EVENTS_AT_ONCE.min(most + 2)),
            eager: Vec::new(),
        })
    }

    /// Ends a wait also when `fd` has something to read, or fails. What epoll cannot watch (a file) never does.
    pub(crate) fn mind(&self, fd: impl AsFd, events: EventFlags) -> io::Result<()> {
        match epoll::add(&self.epoll, fd, EventData::new_u64(BYSTANDER), events) {
            Err(rustix::io::Errno::PERM | rustix::io::Errno::BADF | rustix::io::Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Whether another attempt may begin.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Begins an attempt at target `who`; it may be over at once. To be called only when there is room.
    pub(crate) fn start(
        &mut self,
        who: usize,
        limit: Duration,
        attempt: impl FnOnce(Rc<Io>) -> Attempt<'p>,
    ) -> Option<Finished> {
        let slot = self.free.pop()?;
        self.started = self.started.wrapping_add(1);
        // The number of the attempt makes an event of a former one in the same slot recognisable.
        let token = u64::from(self.started) << 32 | slot as u64;
        let io = Rc::new(Io {
            epoll: Rc::clone(&self.epoll),
            token,
            doing: Cell::new("starting"),
            received: Cell::new(0),
            turn: Cell::new(0),
        });
        let running = Running { who, attempt: attempt(Rc::clone(&io)), io, began: Instant::now(), limit };
        self.slots[slot] = Some(running);
        self.resume(slot)
    }

    /// Waits until an attempt is over, a bystander calls, or `until`; true in the second place when one called.
    pub(crate) fn wait(&mut self, until: Option<Instant>) -> io::Result<(Vec<Finished>, bool)> {
        let ends = self.slots.iter().flatten().map(|running| running.began + running.limit);
        let eager = std::mem::take(&mut self.eager);
        let at_once = (!eager.is_empty()).then(Instant::now);
        let until = ends.chain(until).chain(at_once).min();
        self.events.clear();
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut finished = Vec::new();
        let mut called = false;
        for at in 0..self.events.len() {
            let token = self.events[at].data.u64();
            let slot = (token & u64::from(u32::MAX)) as usize;
            if token == BYSTANDER {
                called = true;
            } else if self.slots.get(slot).and_then(Option::as_ref).is_some_and(|running| running.io.token == token) {
                finished.extend(self.resume(slot));
            }
        }
        // Before the eager ones go on: an attempt that is over now has had its time.
        finished.extend(self.overdue());
        for slot in eager {
            finished.extend(self.resume(slot));
        }
        Ok((finished, called))
    }

    /// Drops every attempt that is under way, as if its time had run out.
    pub(crate) fn give_up(&mut self) -> Vec<Finished> {
        self.end_those(|_| true)
    }

    fn resume(&mut self, slot: usize) -> Option<Finished> {
        let running = self.slots[slot].as_mut()?;
        running.io.turn.set(TURN);
        match running.attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {
                if running.io.turn.get() == 0 && !self.eager.contains(&slot) {
                    self.eager.push(slot);
                }
                None
            }
            Poll::Ready(answer) => {
                let Running { who, began, .. } = self.slots[slot].take()?;
                self.free.push(slot);
                Some(Finished { who, answer, began, overdue: false })
            }
        }
    }

    fn overdue(&mut self) -> Vec<Finished> {
        let now = Instant::now();
        self.end_those(|running| now >= running.began + running.limit)
    }

    fn end_those(&mut self, mut is_over: impl FnMut(&mut Running<'p>) -> bool) -> Vec<Finished> {
        let mut finished = Vec::new();
        for (slot, place) in self.slots.iter_mut().enumerate() {
            if let Some(Running { who, io, began, limit, .. }) = place.take_if(&mut is_over) {
                self.free.push(slot);
                finished.push(Finished { who, answer: io.overdue(limit), began, overdue: true });
            }
        }
        finished
    }
}
