//! How soon svc-health notices that a service is ready. Printed; that it is no second, as of those who ask once a second,
//! is judged: a busy machine is slow.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stories::{binaries, skip};

/// svc-health as it is shipped where such a build is there, and which it is.
fn prober() -> (PathBuf, &'static str) {
    let builds = ["x86_64-unknown-linux-musl/release", "x86_64-unknown-linux-gnu/release", "release"];
    let shipped =
        builds.iter().map(|build| binaries::target().join(build).join("svc-health")).find(|path| path.exists());
    match shipped {
        Some(path) => (path, "a release build"),
        None => (binaries::directory().join("svc-health"), "a debug build"),
    }
}

fn serve(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut bytes = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(n) if n > 0 => request.extend_from_slice(&bytes[..n]),
            _ => return,
        }
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
}

/// A server that is none of the two's bottleneck; it ends with the story.
fn server(listener: &TcpListener) {
    for _ in 0..16 {
        let listener = listener.try_clone().expect("share a listener");
        thread::spawn(move || listener.incoming().flatten().for_each(serve));
    }
}

fn run(program: &Path, arguments: &[String]) -> Duration {
    let began = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("run a program").success(), "{} fails", program.display());
    began.elapsed()
}

#[test]
fn readiness_is_noticed_at_once() {
    let (program, build) = prober();
    let mut delays = Vec::new();
    for round in 0..10_u64 {
        // The port is nobody's until the service listens on it.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let words = ["-n", "--quiet", &format!("http://{address}/"), "--wait", "60s"].map(str::to_owned);
        let asking = {
            let program = program.clone();
            thread::spawn(move || {
                run(&program, &words);
                Instant::now()
            })
        };
        thread::sleep(Duration::from_millis(200 + round * 70));
        let listener = TcpListener::bind(address).expect("listen");
        let ready = Instant::now();
        server(&listener);
        delays.push(asking.join().expect("it was healthy").saturating_duration_since(ready));
    }
    delays.sort();
    let (median, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    skip::measured(&format!(
        "readiness within the first seconds, {build}: noticed after {median:?} (median), {most:?} (most)"
    ));
    assert!(median < Duration::from_millis(500), "{delays:?}");
}
