//! The shop: serves the release that is its working directory.
//!
//! A release with a `prices.csv` is a shop, and sick when a line of it has no price; any other directory is shown file
//! by file and is healthy as long as it can be read. What it answers is read at start, once, as an application loads
//! its code: a switch of the link does not change a process that runs.
#![expect(clippy::disallowed_methods, reason = "the demo's service writes its own pid file and takes time to answer")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::http;

/// Time an answer takes, so that there are requests in flight to lose.
const WORK: Duration = Duration::from_millis(3);

struct Shop {
    release: String,
    page: Result<String, String>,
    in_flight: AtomicUsize,
}

/// Serves until SIGTERM, then answers what is in flight and ends.
pub(crate) fn serve(port: u16, pidfile: &Path) -> Result<()> {
    let here = std::env::current_dir().context("find the release this was started in")?;
    let release = here.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let shop = Arc::new(Shop { release, page: page(), in_flight: AtomicUsize::new(0) });
    let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("listen on port {port}"))?;
    let stopping = stop_on_signal(port)?;
    fs::write(pidfile, format!("{}\n", std::process::id())).with_context(|| format!("write {}", pidfile.display()))?;
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else { continue };
        let shop = Arc::clone(&shop);
        shop.in_flight.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            // A client that went away is its own business.
            let _ = shop.answer(&stream);
            shop.in_flight.fetch_sub(1, Ordering::SeqCst);
        });
    }
    drop(listener);
    let patience = Instant::now() + http::PATIENCE;
    while shop.in_flight.load(Ordering::SeqCst) > 0 && Instant::now() < patience {
        thread::sleep(Duration::from_millis(1));
    }
    fs::remove_file(pidfile).with_context(|| format!("remove {}", pidfile.display()))
}

/// Sets a flag on SIGTERM or SIGINT and wakes the accepting thread by one connection to itself.
fn stop_on_signal(port: u16) -> Result<Arc<AtomicBool>> {
    let stopping = Arc::new(AtomicBool::new(false));
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT]).context("watch for signals")?;
    let flag = Arc::clone(&stopping);
    thread::spawn(move || {
        for _ in &mut signals {
            flag.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
    });
    Ok(stopping)
}

impl Shop {
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(http::PATIENCE))?;
        let Some(path) = http::read_request(stream)? else { return Ok(()) };
        thread::sleep(WORK);
        let (status, body) = match (path.as_str(), &self.page) {
            ("/healthz", Ok(_)) => (200, format!("ok {}\n", self.release).into_bytes()),
            (_, Err(reason)) => (503, format!("{reason}\n").into_bytes()),
            ("/", Ok(page)) => (200, page.clone().into_bytes()),
            (path, Ok(_)) => file(path).map_or_else(|| (404, b"no such file\n".to_vec()), |body| (200, body)),
        };
        http::write_answer(stream, status, &self.release, &body)
    }
}

/// The front page, or why there is none.
fn page() -> Result<String, String> {
    match fs::read_to_string("prices.csv") {
        Ok(prices) => price_list(&prices),
        Err(_) => listing(),
    }
}

fn price_list(prices: &str) -> Result<String, String> {
    let mut page = String::new();
    for (index, line) in prices.lines().enumerate() {
        let priced = line.split_once(',').and_then(|(name, price)| Some((name, price.parse::<f64>().ok()?)));
        let Some((name, price)) = priced else {
            return Err(format!("prices.csv line {}: {line:?} has no price", index + 1));
        };
        page.push_str(&format!("{name:<20} {price:>8.2}\n"));
    }
    Ok(page)
}

fn listing() -> Result<String, String> {
    let entries = fs::read_dir(".").map_err(|error| format!("read the release: {error}"))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names.into_iter().map(|name| name + "\n").collect())
}

/// A file of the release; nothing above it.
fn file(path: &str) -> Option<Vec<u8>> {
    let path = Path::new(path.trim_start_matches('/'));
    let beneath = path.components().all(|part| matches!(part, Component::Normal(_)));
    if beneath { fs::read(path).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_without_a_price_makes_the_whole_release_sick() {
        assert_eq!(price_list("tea,3.50\n").unwrap(), format!("{:<20} {:>8}\n", "tea", "3.50"));
        assert_eq!(price_list("tea,3.50\ncoffee\n").unwrap_err(), "prices.csv line 2: \"coffee\" has no price");
    }

    #[test]
    fn nothing_above_the_release_is_served() {
        assert!(file("/Cargo.toml").is_some());
        assert!(file("/../Cargo.toml").is_none());
        assert!(file("/src/../Cargo.toml").is_none());
    }
}
