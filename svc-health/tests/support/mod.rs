//! Services that answer as they are told, and the tool run against them.

#![allow(dead_code, reason = "each test file uses its own part")]
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests run real programs")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use record::sections::{HealthSection, HealthTarget};
use record::{Record, Stage};

/// A service on a port of its own; it lives as long as the test process.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Service {
    /// Hands each connection, and its number from 0, to `answer` in a thread of its own. The request has been read.
    pub(crate) fn new(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub(crate) fn on(listener: TcpListener, answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let (asked, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
        let address = listener.local_addr().unwrap();
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                let (number, answer) = (count.fetch_add(1, Ordering::SeqCst), Arc::clone(&answer));
                std::thread::spawn(move || {
                    read_request(&mut connection);
                    answer(number, &mut connection);
                });
            }
        });
        Service { address, asked }
    }

    /// One that always answers with these bytes and hangs up.
    pub(crate) fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |_, connection| drop(connection.write_all(&bytes)))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn read_request(connection: &mut impl Read) -> String {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"\r\n\r\n") && matches!(connection.read(&mut byte), Ok(1)) {
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a run of the tool came to.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the tool alone, with `words` after `-n`.
pub(crate) fn health(words: &[&str]) -> Ran {
    Ran::of(command(&[&["-n"], words].concat()).output().unwrap())
}

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svc-health"));
    command.args(words).stdin(Stdio::null()).env_remove("CUTOVER_ROOT").env_remove("CUTOVER_RELEASE_PATH");
    command
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn record(&self) -> Record {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn stage(&self) -> Stage {
        self.record().stages.pop().unwrap()
    }

    pub(crate) fn target(&self) -> HealthTarget {
        self.stage().section::<HealthSection>().unwrap().targets.remove(0)
    }

    pub(crate) fn reason(&self) -> String {
        self.target().reason.unwrap_or_default()
    }

    pub(crate) fn code(&self) -> String {
        self.record().error.map(|error| error.code).unwrap_or_default()
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr)
    }
}
