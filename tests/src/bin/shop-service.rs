//! A small real service for stories: `shop-service PORT PIDFILE ALIVE`, started in the directory of a release.
//!
//! Answers any request with `VERSION PID`, where VERSION is the content of `version` in the release. How it behaves
//! is in the release's file `mode`, for the instance whose port ends in N in `mode.N` if that is there: `ok`; `500`,
//! `301` (these statuses); `exit` (ends at once); `slow MS` (listens late); `dies MS` (ends after a while); `silent`
//! (accepts and never answers); `deaf` (never listens); `drip` (a byte a second); `head`, `body` (without end); `garbled`
//! (no HTTP); `flaps` (every third answer is 500). It announces readiness by writing its pid file, reads its
//! directory anew (the parameter `LINK`) on HUP, and ends when nobody holds ALIVE any more.
#![expect(clippy::disallowed_methods, reason = "a service acts on the world")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, pidfile, alive] = arguments.as_slice() else { return ExitCode::from(2) };
    let alive = File::open(alive).expect("open the lock that the story holds");
    thread::spawn(move || {
        let _ = alive.lock_shared();
        std::process::exit(0);
    });
    let own = format!("mode.{}", port.chars().last().unwrap_or_default());
    let mode = fs::read_to_string(own).or_else(|_| fs::read_to_string("mode")).unwrap_or_default();
    let (mode, number) = mode.trim().split_once(' ').unwrap_or((mode.trim(), "0"));
    let pause = Duration::from_millis(number.parse().expect("milliseconds"));
    match mode {
        "exit" => return ExitCode::FAILURE,
        "slow" => thread::sleep(pause),
        "deaf" => loop {
            thread::park();
        },
        "dies" => drop(thread::spawn(move || {
            thread::sleep(pause);
            std::process::exit(1);
        })),
        _ => {}
    }
    let listener = TcpListener::bind(("127.0.0.1", port.parse().expect("a port"))).expect("listen");
    let version = Arc::new(RwLock::new(read_version()));
    reload_on_hangup(Arc::clone(&version));
    announce(pidfile);
    for stream in listener.incoming().flatten() {
        let (version, mode) = (version.read().expect("the version").clone(), mode.to_owned());
        thread::spawn(move || answer(stream, &version, &mode));
    }
    ExitCode::SUCCESS
}

fn read_version() -> String {
    fs::read_to_string("version").unwrap_or_else(|_| "unknown".to_owned()).trim().to_owned()
}

fn reload_on_hangup(version: Arc<RwLock<String>>) {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGHUP]).expect("catch HUP");
    thread::spawn(move || {
        for _ in signals.forever() {
            if let Some(link) = std::env::var_os("LINK") {
                std::env::set_current_dir(link).expect("enter the release");
            }
            *version.write().expect("the version") = read_version();
        }
    });
}

/// Writes the pid file by rename: whoever sees it sees it whole, and after the service listens.
fn announce(pidfile: &str) {
    let fresh = format!("{pidfile}.{}", std::process::id());
    fs::write(&fresh, format!("{}\n", std::process::id())).expect("write the pid file");
    fs::rename(fresh, pidfile).expect("write the pid file");
}

/// Sends the same again and again, for as long as somebody reads.
fn repeat(stream: &mut TcpStream, first: &str, then: &str, pause: Duration) {
    let mut sent = stream.write_all(first.as_bytes());
    while sent.is_ok() {
        sent = stream.write_all(then.as_bytes());
        thread::sleep(pause);
    }
}

fn answer(mut stream: TcpStream, version: &str, mode: &str) {
    let mut request = Vec::new();
    let mut bytes = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(n) if n > 0 => request.extend_from_slice(&bytes[..n]),
            _ => return,
        }
    }
    static ANSWERS: AtomicUsize = AtomicUsize::new(0);
    let number = ANSWERS.fetch_add(1, Ordering::Relaxed);
    let status = match mode {
        "silent" => loop {
            thread::park();
        },
        "drip" => return repeat(&mut stream, "", "H", Duration::from_secs(1)),
        "head" => return repeat(&mut stream, "HTTP/1.1 200 OK\r\n", "A: b\r\n", Duration::ZERO),
        "body" => return repeat(&mut stream, "HTTP/1.1 200 OK\r\n\r\n", "endless\n", Duration::ZERO),
        "garbled" => return drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")),
        "flaps" if number % 3 == 2 => "500 Broken",
        "500" => "500 Broken",
        "301" => "301 Moved\r\nLocation: https://127.0.0.1/",
        _ => "200 OK",
    };
    let body = format!("{version} {}\n", std::process::id());
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
}
