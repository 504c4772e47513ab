//! As much of HTTP/1.1 as the demo speaks: one request, one answer with its length, then the connection closes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer of the demo takes; whoever waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// An answer as the client sees it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// What the header `x-release` says.
    pub(crate) release: Option<String>,
}

/// Reads one request and returns its path; `None` where it is not a complete GET.
pub(crate) fn read_request(stream: &TcpStream) -> io::Result<Option<String>> {
    let mut lines = BufReader::new(stream).take(16 * 1024);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            let mut words = first.split(' ');
            return Ok(words.next().filter(|method| *method == "GET").and(words.next()).map(str::to_owned));
        }
    }
}

/// Writes one answer and ends this side of the connection.
pub(crate) fn write_answer(mut stream: &TcpStream, status: u16, release: &str, body: &[u8]) -> io::Result<()> {
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Error",
    };
    let release = if release.is_empty() { String::new() } else { format!("x-release: {release}\r\n") };
    let mut answer =
        format!("HTTP/1.1 {status} {reason}\r\ncontent-length: {}\r\n{release}connection: close\r\n\r\n", body.len())
            .into_bytes();
    answer.extend_from_slice(body);
    stream.write_all(&answer)?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// Asks on a fresh connection and reads the whole answer; a body shorter than promised is an error.
pub(crate) fn get(port: u16, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short"))
}

fn parse(text: &[u8]) -> Option<Answer> {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&text[..end]).ok()?;
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let length: usize = header("content-length: ")?.parse().ok()?;
    if text.len() - end - 4 != length {
        return None;
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, release: header("x-release: ").map(str::to_owned) })
}

/// One line on stderr, where each part of the demo keeps its log.
pub(crate) fn complain(line: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(io::stderr(), "demo-shop: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_shorter_than_it_promised_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-release: r2\r\n\r\nyes";
        let answer = parse(whole).unwrap();
        assert_eq!((answer.status, answer.release.as_deref()), (200, Some("r2")));
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "cut after {cut} bytes");
        }
    }
}
