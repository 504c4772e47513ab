//! A client that asks all the time with a fresh connection each, and counts every answer that is none.
//!
//! Four threads send some 250 requests a second, GET and POST in turn, and stop by themselves.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::running::until;

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
    /// The failed ones by reason, such as `status 502`.
    pub failed: BTreeMap<String, usize>,
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

    /// How many failed.
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }
}

/// No client asks longer than this, whatever becomes of the story.
const LONGEST: Duration = Duration::from_secs(120);

impl Load {
    /// Starts to ask `127.0.0.1:port`.
    pub fn on(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let end = Instant::now() + LONGEST;
        let threads = (0..4)
            .map(|number| {
                let (stop, tally) = (Arc::clone(&stop), Arc::clone(&tally));
                thread::spawn(move || {
                    for turn in number.. {
                        if stop.load(Ordering::Relaxed) || Instant::now() > end {
                            return;
                        }
                        let asked = Instant::now();
                        let answer = ask(port, if turn % 2 == 0 { "GET" } else { "POST" });
                        tally.lock().expect("the tally").note(asked, answer);
                        thread::sleep(Duration::from_millis(15).saturating_sub(asked.elapsed()));
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
        let goal = self.so_far().sent + more;
        until("the client asks", || self.so_far().sent >= goal);
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

impl Tally {
    fn note(&mut self, asked: Instant, answer: Result<String, String>) {
        self.sent += 1;
        match answer {
            Ok(version) => self.answers.push((asked, Instant::now(), version)),
            Err(reason) => *self.failed.entry(reason).or_default() += 1,
        }
    }
}

/// The version that answers, or why none did.
fn ask(port: u16, method: &str) -> Result<String, String> {
    let body = if method == "POST" { "x=1" } else { "" };
    let request = format!("{method} / HTTP/1.0\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let exchange = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = exchange().map_err(|error: std::io::Error| format!("{:?}", error.kind()))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no whole head")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.split(' ').next().unwrap_or_default().to_owned()),
        Some(status) => Err(format!("status {status}")),
        None => Err("no status".into()),
    }
}
