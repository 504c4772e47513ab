//! A client that asks all the time, with a fresh connection each or with kept ones, and counts every answer that is none.
//!
//! Its threads send some 260 requests a second together, GET and POST in turn, and stop by themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::running::until;
use exchange::{Connection, Lost, fresh};

mod exchange;

/// A running client.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    threads: Vec<JoinHandle<()>>,
}

/// What it sent and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many requests.
    pub sent: usize,
    /// The failed ones by reason, such as `status 502`; of kept connections such as `POST ConnectionReset`.
    pub failed: BTreeMap<String, usize>,
    /// How many GETs failed before their first byte on a connection that had been used, and were asked once more.
    pub retried: usize,
    /// Every answer: when it was asked for, when it had come, and the version.
    pub answers: Vec<(Instant, Instant, String)>,
}

impl Tally {
    /// Whether this version answered at all.
    pub fn saw(&self, version: &str) -> bool {
        self.answers.iter().any(|(_, _, seen)| seen == version)
    }

    /// For how long `old` still answered requests that were sent after `new` had answered one; nothing when the
    /// version changed at once for everybody.
    pub fn overlap(&self, old: &str, new: &str) -> Option<Duration> {
        let first = self.answers.iter().filter(|(_, _, seen)| seen == new).map(|(_, answered, _)| *answered).min()?;
        let late = self.answers.iter().filter(|(asked, _, seen)| seen == old && *asked > first);
        late.map(|(asked, _, _)| *asked - first).max()
    }

    /// How many of this method failed on kept connections.
    pub fn failures_of(&self, method: &str) -> usize {
        self.failed.iter().filter(|(reason, _)| reason.starts_with(method)).map(|(_, count)| count).sum()
    }

    /// Requests per second, from the first answer to the last.
    pub fn rate(&self) -> f64 {
        let first = self.answers.iter().map(|(asked, ..)| *asked).min();
        let last = self.answers.iter().map(|(_, answered, _)| *answered).max();
        let span = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
        self.sent as f64 / span.as_secs_f64().max(0.001)
    }

    /// How many failed.
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }
}

/// No client asks longer than this, whatever becomes of the story.
const LONGEST: Duration = Duration::from_secs(240);

/// As many as keep the pace when an answer takes [`EVERY`].
const THREADS: usize = 12;

/// As many as keep the pace when nobody takes connections for a second or two, as when a server starts itself anew: the
/// others go on asking meanwhile.
const CROWD: usize = 600;

/// How often each of twelve threads asks; more ask the less.
const EVERY: Duration = Duration::from_millis(45);

impl Load {
    /// Starts to ask `127.0.0.1:port`, each time with a connection of its own.
    pub fn on(port: u16) -> Self {
        Self::start(THREADS, move |_, method| fresh(port, method).map(|version| (version, false)))
    }

    /// The same by so many that the pace holds while answers take their time.
    pub fn of_a_crowd_on(port: u16) -> Self {
        Self::start(CROWD, move |_, method| fresh(port, method).map(|version| (version, false)))
    }

    /// Starts to ask `127.0.0.1:port` over connections that are kept. As clients do, it looks before it asks whether its
    /// connection was closed, and asks once more with a fresh one where a GET fails before its first byte.
    pub fn keeping(port: u16) -> Self {
        Self::start(THREADS, move |kept, method| match kept.ask(port, method) {
            Err(Lost { before_first_byte: true, reused: true, .. }) if method == "GET" => {
                kept.ask(port, method).map(|version| (version, true)).map_err(|lost| lost.reason)
            }
            answer => answer.map(|version| (version, false)).map_err(|lost| lost.reason),
        })
    }

    fn start(
        clients: usize,
        ask: impl Fn(&mut Connection, &str) -> Result<(String, bool), String> + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let end = Instant::now() + LONGEST;
        let many = u32::try_from(clients).expect("so many clients");
        let pace = EVERY * many / 12;
        let threads = (0..many)
            .map(|number| {
                let (stop, tally, ask) = (Arc::clone(&stop), Arc::clone(&tally), ask.clone());
                thread::spawn(move || {
                    // Not all at the same moment.
                    thread::sleep(pace * number / many);
                    let mut kept = Connection::default();
                    for turn in number.. {
                        if stop.load(Ordering::Relaxed) || Instant::now() > end {
                            return;
                        }
                        let asked = Instant::now();
                        let answer = ask(&mut kept, if turn % 2 == 0 { "GET" } else { "POST" });
                        tally.lock().expect("the tally").note(asked, answer);
                        thread::sleep(pace.saturating_sub(asked.elapsed()));
                    }
                })
            })
            .collect();
        Self { stop, tally, threads }
    }

    /// What came of it so far.
    pub fn so_far(&self) -> Tally {
        self.tally.lock().expect("the tally").clone()
    }

    /// Whether it asks still; it stops by itself in the end.
    pub fn is_asking(&self) -> bool {
        self.threads.iter().any(|thread| !thread.is_finished())
    }

    /// Waits until so many more requests were answered or failed.
    pub fn for_requests(&self, more: usize) -> &Self {
        // Not a copy of all answers each time: that would slow the clients down.
        let sent = || self.tally.lock().expect("the tally").sent;
        let goal = sent() + more;
        until("the client asks", || sent() >= goal);
        self
    }

    /// Stops asking.
    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("end a client");
        }
        self.so_far()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {} failed, {:.0}/s", self.sent, self.failures(), self.rate())
    }
}

impl Tally {
    fn note(&mut self, asked: Instant, answer: Result<(String, bool), String>) {
        self.sent += 1;
        match answer {
            Ok((version, again)) => {
                self.retried += usize::from(again);
                self.answers.push((asked, Instant::now(), version));
            }
            Err(reason) => *self.failed.entry(reason).or_default() += 1,
        }
    }
}
