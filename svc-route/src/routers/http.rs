//! One request to an admin API, over TCP or a unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};
use record::{Exit, Failure};

use crate::addresses;
use crate::slots::Address;

/// The largest answer that is read, in bytes.
const LARGEST: u64 = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: String,
}

/// Sends one request and reads the whole answer. HTTP/1.0, so that the body ends with the connection.
pub(crate) fn request(
    address: &Address,
    method: &str,
    path: &str,
    etag: Option<&str>,
    body: &str,
) -> anyhow::Result<Answer> {
    let what = || format!("{method} {path} at {address}");
    let unreachable = || {
        Failure::new(Exit::Failed, "route.unreachable", what())
            .hint("--admin is the address of the proxy's own API; is the proxy running?")
    };
    let mut text = format!(
        "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        host(address),
        body.len()
    );
    if let Some(etag) = etag {
        text.push_str(&format!("If-Match: {etag}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    let answer = match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).with_context(unreachable)?;
            stream.set_read_timeout(Some(TIMEOUT)).with_context(what)?;
            exchange(stream, &text)
        }
        Address::Tcp(host, port) => {
            let stream = addresses::connect(host, *port, TIMEOUT).with_context(unreachable)?;
            stream.set_read_timeout(Some(TIMEOUT)).with_context(what)?;
            exchange(stream, &text)
        }
    };
    parse(&answer.with_context(what)?).with_context(what)
}

/// Caddy checks the name against its origins; on a unix socket it is empty.
fn host(address: &Address) -> String {
    match address {
        Address::Unix(_) => "localhost".into(),
        address => address.to_string(),
    }
}

fn exchange(mut stream: impl Read + Write, text: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) =
        head.parse(bytes).map_err(|error| anyhow::anyhow!("understand the answer: {error}"))?
    else {
        bail!("the answer ends in its head");
    };
    let etag = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("etag"));
    Ok(Answer {
        status: head.code.unwrap_or(0),
        etag: etag.map(|field| String::from_utf8_lossy(field.value).into_owned()),
        body: String::from_utf8_lossy(&bytes[length..]).into_owned(),
    })
}
