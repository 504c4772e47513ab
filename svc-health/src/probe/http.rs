//! `http://`, `https://`, `http+unix://`: one GET over a connection of its own, answered as expected.
//!
//! An answer counts when all of it has come: a service that stops half way through its body is not healthy. What is
//! kept of it is bounded; what only drips, or never ends, runs into the attempt's time limit.

use std::rc::Rc;

use httparse::Status;

use super::Probe;
use super::body::{Body, Framing};
use super::net::{Socket, plain};
use super::release::Owner;
use super::resolve::Addresses;
use super::stream::Stream;
use super::tls::Tls;
use crate::engine::{Attempt, Io};
use crate::expect::{Expectations, Head};
use crate::target::{Place, Url};
use crate::verdict::Answer;

const HEAD_MOST: usize = 64 * 1024;
const FIELDS_MOST: usize = 128;
const CHUNK: usize = 16 * 1024;

/// Where to connect to.
#[derive(Debug)]
pub(crate) enum Way {
    /// By address.
    Net(Addresses),
    /// By the path of a unix socket.
    Unix(std::path::PathBuf),
}

/// Sends one request and judges the answer.
pub(crate) struct Http {
    way: Way,
    tls: Option<Tls>,
    request: Vec<u8>,
    expect: Rc<Expectations>,
    owner: Option<Owner>,
}

impl Http {
    /// A probe of `url`, which sends `fields` too; one of those replaces ours of the same name.
    pub(crate) fn new(
        url: &Url,
        fields: &[(String, String)],
        expect: Rc<Expectations>,
        tls: Option<Tls>,
        owner: Option<Owner>,
    ) -> Self {
        let way = match &url.place {
            Place::Net(address) => Way::Net(Addresses::of(address)),
            Place::Unix(path) => Way::Unix(path.clone()),
        };
        Http { way, tls, request: request(url, fields), expect, owner }
    }

    async fn ask(&self, io: &Io) -> Result<(), Answer> {
        let (socket, address) = match &self.way {
            Way::Net(addresses) => {
                let (socket, address) = Socket::tcp(io, &addresses.resolve(io).await?).await?;
                (socket, Some(address))
            }
            Way::Unix(path) => (Socket::unix(io, path).await?, None),
        };
        let mut stream = Stream::open(io, socket, self.tls.as_ref()).await?;
        io.doing("sending the request");
        stream.send(io, &self.request).await.map_err(|error| broken("while the request was sent", &error))?;
        self.judge(io, &mut stream).await?;
        match (&self.owner, &self.way, address) {
            (Some(owner), Way::Unix(path), _) => owner.of_unix(path),
            (Some(owner), _, Some(address)) => owner.of_tcp(address),
            _ => Ok(()),
        }
    }

    /// What an answer comes to that is received from `socket`, without having asked.
    pub(crate) async fn judged(&self, io: &Io, socket: Socket) -> Answer {
        let mut stream = match Stream::open(io, socket, None).await {
            Ok(stream) => stream,
            Err(answer) => return answer,
        };
        self.judge(io, &mut stream).await.err().unwrap_or(Answer::Pass)
    }

    async fn judge(&self, io: &Io, stream: &mut Stream) -> Result<(), Answer> {
        io.doing("waiting for the head of the answer");
        let mut bytes = Vec::new();
        let (said, framing) = loop {
            let looked_at = bytes.len();
            let received = receive(io, stream, &mut bytes, "in the head of the answer").await?;
            // A garbled beginning is told at once; otherwise a drip is not parsed again for each of its bytes.
            if looked_at > 0 && received > 0 && !ends_a_head(&bytes, looked_at) && bytes.len() < HEAD_MOST {
                continue;
            }
            let mut fields = [httparse::EMPTY_HEADER; FIELDS_MOST];
            let mut response = httparse::Response::new(&mut fields);
            match response.parse(&bytes) {
                Ok(Status::Complete(length)) => {
                    let head = head_of(&response);
                    if (100..200).contains(&head.status) && head.status != 101 {
                        bytes.drain(..length);
                        // The real head may have come along with the interim one, or is still to come.
                        if bytes.is_empty() {
                            continue;
                        }
                        let left = std::mem::take(&mut bytes);
                        stream.unread(left);
                        continue;
                    }
                    self.expect.judge_head(&head).map_err(Answer::Fail)?;
                    let (said, framing) = (head.said(), Framing::of(&head).map_err(Answer::Fail)?);
                    bytes.drain(..length);
                    break (said, framing);
                }
                Ok(Status::Partial) if received == 0 => {
                    let text =
                        if bytes.is_empty() { "closed without an answer" } else { "closed in the head of the answer" };
                    return Err(Answer::Fail(format!("the connection was {text}")));
                }
                Ok(Status::Partial) if bytes.len() >= HEAD_MOST => {
                    return Err(Answer::Fail(format!(
                        "the head of the answer is larger than {} KiB",
                        HEAD_MOST / 1024
                    )));
                }
                Ok(Status::Partial) => {}
                Err(error) => return Err(Answer::Fail(garbled(error))),
            }
        };
        self.judge_body(io, stream, bytes, &said, framing).await
    }

    async fn judge_body(
        &self,
        io: &Io,
        stream: &mut Stream,
        mut bytes: Vec<u8>,
        said: &str,
        framing: Framing,
    ) -> Result<(), Answer> {
        io.doing("reading the body");
        let mut body = Body::new(framing, self.expect.ask_for_the_body());
        loop {
            let ended = body.take(&bytes).map_err(|reason| Answer::Fail(format!("{said}, but {reason}")))?;
            if ended {
                break;
            }
            bytes.clear();
            if receive(io, stream, &mut bytes, "in the body of the answer").await? == 0 {
                body.close().map_err(|reason| Answer::Fail(format!("{said}, but {reason}")))?;
                break;
            }
        }
        self.expect.judge_body(said, body.kept(), body.is_whole()).map_err(Answer::Fail)
    }
}

impl Probe for Http {
    fn attempt(&self, io: Rc<Io>) -> Attempt<'_> {
        Box::pin(async move { self.ask(&io).await.err().unwrap_or(Answer::Pass) })
    }
}

/// Appends what comes to `bytes`; how much that was.
async fn receive(io: &Io, stream: &mut Stream, bytes: &mut Vec<u8>, place: &str) -> Result<usize, Answer> {
    let filled = bytes.len();
    bytes.resize(filled + if filled == 0 { 4 * 1024 } else { CHUNK }, 0);
    let received = stream.receive(io, &mut bytes[filled..]).await.map_err(|error| broken(place, &error))?;
    bytes.truncate(filled + received);
    io.received(received);
    Ok(received)
}

fn broken(place: &str, error: &std::io::Error) -> Answer {
    Answer::Fail(format!("{} {place}", plain(error)))
}

fn garbled(error: httparse::Error) -> String {
    match error {
        httparse::Error::TooManyHeaders => format!("the head of the answer has more than {FIELDS_MOST} fields"),
        httparse::Error::Version | httparse::Error::Status => "the answer has no HTTP/1.1 status line".into(),
        error => format!("the head of the answer is garbled: {error}"),
    }
}

/// Whether an empty line lies in what came since `looked_at`.
fn ends_a_head(bytes: &[u8], looked_at: usize) -> bool {
    let new = &bytes[looked_at.saturating_sub(3)..];
    new.windows(4).any(|window| window == b"\r\n\r\n") || new.windows(2).any(|window| window == b"\n\n")
}

fn head_of<'a>(response: &httparse::Response<'_, 'a>) -> Head<'a> {
    let fields = response.headers.iter().map(|field| (field.name, field.value)).collect();
    Head { status: response.code.unwrap_or(0), words: response.reason.unwrap_or(""), fields }
}

fn request(url: &Url, fields: &[(String, String)]) -> Vec<u8> {
    let ours = [
        ("Host", url.host.as_str()),
        ("User-Agent", concat!("svc-health/", env!("CARGO_PKG_VERSION"))),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ];
    let is_replaced = |name: &str| fields.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let kept = ours.into_iter().filter(|(name, _)| !is_replaced(name));
    let given = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut text = format!("GET {} HTTP/1.1\r\n", url.path);
    for (name, value) in kept.chain(given) {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn a_request_names_the_host_and_given_fields_replace_ours() {
        let Ok(Target::Http(url)) = "http://h:8080/p?q".parse() else { panic!("no url") };
        let plain = String::from_utf8(request(&url, &[])).unwrap();
        assert!(plain.starts_with("GET /p?q HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: svc-health/"), "{plain}");
        assert!(plain.ends_with("\r\nConnection: close\r\n\r\n"), "{plain}");
        let given = String::from_utf8(request(&url, &[("host".into(), "shop".into())])).unwrap();
        assert!(given.contains("\r\nhost: shop\r\n") && !given.contains("h:8080"), "{given}");
    }

    #[test]
    fn the_end_of_a_head_is_found_across_pieces() {
        assert!(ends_a_head(b"HTTP/1.1 200 OK\r\n\r\n", 18));
        assert!(ends_a_head(b"HTTP/1.1 200 OK\n\n", 16));
        assert!(!ends_a_head(b"HTTP/1.1 200 OK\r\nA: b\r\n", 17));
    }
}
