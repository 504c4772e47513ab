//! The client: asks without pause and leaves nothing out of its count.
#![expect(clippy::disallowed_methods, reason = "the client paces itself and keeps its counts in a file")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::http;

/// Customers at a time, each with one request open.
const CUSTOMERS: usize = 4;
/// Pause of a customer between two requests.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Default, Clone)]
struct Counts {
    sent: u64,
    failed: u64,
    slowest: Duration,
    releases: BTreeMap<String, u64>,
}

/// Asks until SIGTERM; requests that are open then are still waited for and counted.
pub(crate) fn ask(port: u16, file: &Path) -> Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stopping)).context("watch for signals")?;
    }
    let counts = Arc::new(Mutex::new(Counts::default()));
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|_| {
            let (stopping, counts) = (Arc::clone(&stopping), Arc::clone(&counts));
            thread::spawn(move || {
                while !stopping.load(Ordering::SeqCst) {
                    one(port, &counts);
                    thread::sleep(PAUSE);
                }
            })
        })
        .collect();
    while !stopping.load(Ordering::SeqCst) {
        keep(&counts, file)?;
        thread::sleep(Duration::from_millis(20));
    }
    for customer in customers {
        // A customer that panicked has already said so on stderr; its counts are in the sum.
        let _ = customer.join();
    }
    keep(&counts, file)
}

fn one(port: u16, counts: &Mutex<Counts>) {
    let started = Instant::now();
    let answer = http::get(port, "/");
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.sent += 1;
    counts.slowest = counts.slowest.max(started.elapsed());
    match answer {
        Ok(answer) if answer.status == 200 => {
            *counts.releases.entry(answer.release.unwrap_or_default()).or_default() += 1;
        }
        Ok(answer) => {
            counts.failed += 1;
            http::complain(&format!("request {} was answered {}", counts.sent, answer.status));
        }
        Err(error) => {
            counts.failed += 1;
            http::complain(&format!("request {} failed: {error}", counts.sent));
        }
    }
}

/// Replaces the file, so that a reader sees one moment.
fn keep(counts: &Mutex<Counts>, file: &Path) -> Result<()> {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut text =
        format!("sent {}\nfailed {}\nslowest_ms {}\n", counts.sent, counts.failed, counts.slowest.as_millis());
    for (release, answers) in &counts.releases {
        text.push_str(&format!("release {release} {answers}\n"));
    }
    let new = file.with_extension("new");
    fs::write(&new, text).with_context(|| format!("write {}", new.display()))?;
    fs::rename(&new, file).with_context(|| format!("replace {}", file.display()))
}
