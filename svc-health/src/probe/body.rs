//! Where the body of an answer ends, and what is kept of it. Pure.
//!
//! RFC 9112, section 6.3: no body after 204 and 304, chunked before a length, a length before the end of the connection.

use crate::expect::Head;

/// At most so much is kept for `--expect-body`; the rest is read and dropped.
const KEPT_MOST: usize = 64 * 1024;
/// A line of a chunk's size or of a trailer is no longer than this.
const LINE_MOST: usize = 8 * 1024;

/// How the end of the body is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(u64),
    /// By a chunk of no length.
    Chunked,
    /// By the end of the connection.
    Close,
}

impl Framing {
    /// What the head says.
    pub(crate) fn of(head: &Head<'_>) -> Result<Self, String> {
        if matches!(head.status, 101 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        if let Some(coding) = head.value("transfer-encoding") {
            let last = coding.rsplit(',').next().unwrap_or_default().trim();
            return Ok(if last.eq_ignore_ascii_case("chunked") { Framing::Chunked } else { Framing::Close });
        }
        match head.value("content-length") {
            None => Ok(Framing::Close),
            Some(length) => length
                .parse()
                .map(Framing::Length)
                .map_err(|_| format!("{}, with a garbled Content-Length", head.said())),
        }
    }
}

#[derive(Debug)]
enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailer,
}

/// A body that is being received.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    chunk: Chunk,
    line: Vec<u8>,
    keep: bool,
    kept: Vec<u8>,
    whole: bool,
}

impl Body {
    /// Nothing has come yet. Unless `keep`, only the end is looked for.
    pub(crate) fn new(framing: Framing, keep: bool) -> Self {
        Body { framing, chunk: Chunk::Size, line: Vec::new(), keep, kept: Vec::new(), whole: true }
    }

    /// The beginning of the body.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Whether what was kept is all of it.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Takes what came next; true when that was the end.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<bool, String> {
        match self.framing {
            Framing::Close => {
                self.keep(bytes);
                Ok(false)
            }
            Framing::Length(left) => {
                let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.keep(&bytes[..taken]);
                let left = left - taken as u64;
                self.framing = Framing::Length(left);
                Ok(left == 0)
            }
            Framing::Chunked => self.take_chunks(bytes),
        }
    }

    /// Takes the end of the connection.
    pub(crate) fn close(&self) -> Result<(), &'static str> {
        match self.framing {
            Framing::Close => Ok(()),
            _ => Err("the connection was closed in the body of the answer"),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.keep {
            let room = KEPT_MOST - self.kept.len();
            self.whole &= bytes.len() <= room;
            self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn take_chunks(&mut self, mut bytes: &[u8]) -> Result<bool, String> {
        loop {
            if let Chunk::Data(left) = self.chunk {
                let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.keep(&bytes[..taken]);
                bytes = &bytes[taken..];
                let left = left - taken as u64;
                self.chunk = if left == 0 { Chunk::DataEnd } else { Chunk::Data(left) };
                if left > 0 {
                    return Ok(false);
                }
            }
            let Some(line) = self.line(&mut bytes)? else { return Ok(false) };
            self.chunk = match self.chunk {
                Chunk::Size => match size(&line).ok_or("its chunks are garbled")? {
                    0 => Chunk::Trailer,
                    size => Chunk::Data(size),
                },
                Chunk::DataEnd if line.is_empty() => Chunk::Size,
                Chunk::DataEnd => return Err("its chunks are garbled".into()),
                _ if line.is_empty() => return Ok(true),
                _ => Chunk::Trailer,
            };
        }
    }

    /// The next whole line without its end, gathered over as many pieces as it comes in.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        if self.line.len() + piece.len() > LINE_MOST {
            return Err("its chunks are garbled".into());
        }
        self.line.extend_from_slice(piece);
        *bytes = rest;
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

/// The size at the beginning of a chunk's line; extensions after `;` mean nothing here.
fn size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.split(';').next()?.trim();
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of `bytes` when they come in pieces of `piece`, and whether they are a whole body.
    fn received(framing: &Framing, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, bool), String> {
        let mut body = Body::new(framing.clone(), true);
        let mut ended = body.take(b"")?;
        for piece in bytes.chunks(piece) {
            ended = ended || body.take(piece)?;
        }
        Ok((body.kept().to_vec(), ended || body.close().is_ok()))
    }

    #[test]
    fn a_body_ends_where_its_framing_says_however_it_is_cut() {
        for (framing, bytes, kept, ended) in [
            (Framing::Length(0), "", "", true),
            (Framing::Length(2), "ok", "ok", true),
            (Framing::Length(2), "okmore", "ok", true),
            (Framing::Length(3), "ok", "ok", false),
            (Framing::Close, "all", "all", true),
            (Framing::Chunked, "2\r\nok\r\n0\r\n\r\n", "ok", true),
            (Framing::Chunked, "2;a=b\r\nok\r\n1\r\n!\r\n0\r\nDate: x\r\n\r\n", "ok!", true),
            (Framing::Chunked, "2\r\nok\r\n", "ok", false),
            (Framing::Chunked, "2\r\nok\r\n0\r\n", "ok", false),
        ] {
            for piece in 1..=bytes.len().max(1) {
                let result = received(&framing, bytes.as_bytes(), piece);
                assert_eq!(result, Ok((kept.into(), ended)), "{framing:?} {bytes:?} by {piece}");
            }
        }
    }

    #[test]
    fn garbled_chunks_are_refused() {
        for bytes in ["x\r\n", "2\r\nokay\r\n", "-1\r\n", "\r\n", "fffffffffffffffff\r\n", &"1".repeat(9000)] {
            assert!(received(&Framing::Chunked, bytes.as_bytes(), 7).is_err(), "{bytes:.20}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let bytes = vec![b'x'; 3 * KEPT_MOST];
        let mut body = Body::new(Framing::Close, true);
        body.take(&bytes).unwrap();
        assert_eq!((body.kept().len(), body.is_whole()), (KEPT_MOST, false));
    }
}
