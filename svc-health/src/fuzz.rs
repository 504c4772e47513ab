//! What fuzzing holds against the readers of answers: bytes go in, and a law that breaks is a panic. No part of the
//! interface.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::Engine;
use crate::expect::{Expectations, Head};
use crate::probe::body::{Body, Framing};
use crate::probe::http::Http;
use crate::target::Target;
use crate::verdict::Answer;

/// An answer of a web server that ends in a closed connection is judged, at once, and only 2xx passes; what is said
/// of it is one printable line.
pub fn http(bytes: &[u8]) {
    if bytes.len() > 64 << 10 {
        return;
    }
    let Ok(Target::Http(url)) = "http://127.0.0.1/healthz".parse() else { panic!("a URL") };
    let Ok(status) = "200-299".parse() else { panic!("statuses") };
    let Ok(body) = "ok".parse() else { panic!("a pattern") };
    let Ok(field) = "Server: x".parse() else { panic!("a field") };
    for (fields, bodies) in [(Vec::new(), Vec::new()), (vec![field], vec![body])] {
        let expect = Expectations { statuses: Clone::clone(&status), fields, bodies };
        judged(bytes, Http::new(&url, &[], Rc::new(expect), None, None));
    }
    framed(bytes);
}

fn judged(bytes: &[u8], probe: Http) {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    theirs.write_all(bytes).expect("an answer that fits the socket");
    drop(theirs);
    ours.set_nonblocking(true).expect("a socket");
    let mut engine = Engine::new(1).expect("an engine");
    let probe = &probe;
    let begun =
        engine.start(0, Duration::from_secs(5), |io| Box::pin(async move { probe.judged(&io, ours.into()).await }));
    let finished = begun.or_else(|| {
        loop {
            let (mut finished, _) = engine.wait(None).expect("wait");
            if let Some(finished) = finished.pop() {
                break Some(finished);
            }
        }
    });
    let finished = finished.expect("an answer");
    assert!(!finished.overdue, "it was waited for what had come");
    match finished.answer {
        Answer::Pass => assert!(has_passing_head(bytes), "that passed"),
        Answer::Fail(why) | Answer::NotYet(why) | Answer::CannotTell(why) => {
            assert!(!why.is_empty() && !why.chars().any(char::is_control), "{why:?}");
            assert!(why.len() < 2_000, "{why:?}");
        }
    }
}

/// Whether some line of the answer is a status line with 2xx.
fn has_passing_head(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|line| line.starts_with(b"HTTP/1.") && line[8] == b' ' && line[9] == b'2')
}

/// A body means the same in whatever pieces it comes.
fn framed(bytes: &[u8]) {
    let head = |name, value| Head { status: 200, words: "OK", fields: vec![(name, value)] };
    for head in [head("Transfer-Encoding", &b"chunked"[..]), head("Content-Length", b"12"), head("Date", b"")] {
        let taken = |piece: usize| {
            let mut body = Body::new(Framing::of(&head).expect("a framing"), true);
            let mut ended = Ok(false);
            for piece in bytes.chunks(piece) {
                ended = body.take(piece);
                if ended != Ok(false) {
                    break;
                }
            }
            (ended, body.kept().to_vec(), body.is_whole())
        };
        let whole = taken(usize::MAX);
        assert!(whole.1.len() <= bytes.len());
        for piece in [1, 3, 7] {
            let pieces = taken(piece);
            // Of a garbled body less may have been kept when it was noticed.
            assert_eq!(pieces.0.is_err(), whole.0.is_err(), "in pieces of {piece}");
            assert!(whole.0.is_err() || pieces == whole, "in pieces of {piece}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_answers_breaks_no_law() {
        assert!(record::fuzz::replay("http", 64, super::http) > 5);
    }
}
