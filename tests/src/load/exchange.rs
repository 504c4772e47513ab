//! One request and its answer, over a connection of its own or over a kept one.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The version that answers, or why none did.
pub(super) fn fresh(port: u16, method: &str) -> Result<String, String> {
    let exchange = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request(method, "1.0").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = exchange().map_err(|error: std::io::Error| format!("{:?}", error.kind()))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no whole head")?;
    version(head, body)
}

/// A connection that is kept from one request to the next.
#[derive(Debug, Default)]
pub(super) struct Connection(Option<TcpStream>);

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Lost {
    /// Method and kind, such as `POST ConnectionReset`.
    pub(super) reason: String,
    /// Nothing of an answer had come.
    pub(super) before_first_byte: bool,
    /// The connection had served a request before.
    pub(super) reused: bool,
}

impl Connection {
    /// Asks over the kept connection, or over a new one where there is none or the other side has closed it.
    pub(super) fn ask(&mut self, port: u16, method: &str) -> Result<String, Lost> {
        let kept = self.0.take().filter(is_open);
        let reused = kept.is_some();
        let mut answer = Vec::new();
        let exchanged = match kept {
            Some(stream) => Ok(stream),
            None => TcpStream::connect(("127.0.0.1", port)),
        }
        .and_then(|stream| exchange(stream, method, &mut answer));
        let lost = |reason: String| Lost {
            reason: format!("{method} {reason}"),
            before_first_byte: answer.is_empty(),
            reused,
        };
        let (stream, head_ends) = exchanged.map_err(|error| lost(format!("{:?}", error.kind())))?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_at(head_ends);
        if header(head, "connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            self.0 = Some(stream);
        }
        version(head, body.trim_start()).map_err(lost)
    }
}

/// Whether nothing has come while nothing was asked: an end is what a server that goes away sends first.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut byte));
    let waits = looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    waits && stream.set_nonblocking(false).is_ok()
}

/// Sends and reads one whole answer into `answer`; returns where its head ends.
fn exchange(mut stream: TcpStream, method: &str, answer: &mut Vec<u8>) -> std::io::Result<(TcpStream, usize)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(request(method, "1.1").as_bytes())?;
    let mut bytes = [0; 4096];
    loop {
        if let Some(head_ends) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..head_ends]).into_owned();
            let length: usize = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            if answer.len() >= head_ends + 4 + length {
                return Ok((stream, head_ends));
            }
        }
        match stream.read(&mut bytes)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&bytes[..count]),
        }
    }
}

fn request(method: &str, http: &str) -> String {
    let body = if method == "POST" { "x=1" } else { "" };
    format!("{method} / HTTP/{http}\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn version(head: &str, body: &str) -> Result<String, String> {
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.split(' ').next().unwrap_or_default().to_owned()),
        Some(status) => Err(format!("status {status}")),
        None => Err("no status".into()),
    }
}
