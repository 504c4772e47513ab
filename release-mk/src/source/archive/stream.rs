//! The bytes of an archive: read, hashed and decompressed by a thread of its own.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::refuse;
use crate::content::Sha;

const CHUNK: usize = 128 * 1024;
/// Decompressed chunks that wait for the parser: 4 MiB.
const IN_FLIGHT: usize = 32;
/// Archives that need a larger window to unpack than this are refused: memory stays bounded.
const LARGEST_WINDOW_LOG: u32 = 27;
const LARGEST_XZ_MEMORY: u64 = 160 << 20;
/// What may stand before an entry: no name, no link and no pax header of a file that can be made comes near.
const LONGEST_HEADERS: u64 = 1 << 20;
const TICK: Duration = Duration::from_millis(100);

enum Message {
    Bytes(Vec<u8>),
    End { sha256: Option<Sha> },
    Failed(io::Error),
}

/// The decompressed archive, to read from. Between reads the signals and the pipe are looked after.
pub(crate) struct Stream<'a> {
    messages: Receiver<Message>,
    spare: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    state: &'a State<'a>,
}

/// What is learnt while a stream is read; outlives the parser that owns the stream.
pub(crate) struct State<'a> {
    tick: RefCell<&'a mut dyn FnMut() -> Result<()>>,
    last_tick: Cell<Instant>,
    stopped: RefCell<Option<anyhow::Error>>,
    sha256: Cell<Option<Sha>>,
    ended: Cell<bool>,
    /// Bytes that the parser has read.
    position: Cell<u64>,
    /// It reads headers into memory, long names and pax headers whole: not beyond here.
    furthest: Cell<u64>,
}

impl<'a> State<'a> {
    /// `tick` is called every 100 ms; an error of it ends the stream.
    pub(crate) fn new(tick: &'a mut dyn FnMut() -> Result<()>) -> Self {
        Self {
            tick: RefCell::new(tick),
            last_tick: Cell::new(Instant::now()),
            stopped: RefCell::new(None),
            sha256: Cell::new(None),
            ended: Cell::new(false),
            position: Cell::new(0),
            furthest: Cell::new(LONGEST_HEADERS),
        }
    }

    /// The content of an entry follows, `size` bytes in the archive, and then headers, which the parser holds in memory.
    pub(crate) fn expect_headers_behind(&self, size: u64) {
        self.furthest.set(self.position.get().saturating_add(size).saturating_add(LONGEST_HEADERS));
    }

    /// What follows is not for the parser.
    pub(crate) fn expect_anything(&self) {
        self.furthest.set(u64::MAX);
    }

    /// The digest of the archive as it is stored, if asked for and once it has been read to its end.
    pub(crate) fn sha256(&self) -> Option<Sha> {
        self.sha256.get()
    }

    /// Whether the parser has met the end of the stream.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Turns an error of the parser into what it comes from: a signal, or an archive that is damaged.
    pub(crate) fn blame(&self, error: io::Error) -> anyhow::Error {
        if let Some(stopped) = self.stopped.borrow_mut().take() {
            return stopped;
        }
        let failure = refuse("archive.damaged", "the archive is damaged or no archive of a known format")
            .hint("known are tar, plain or compressed with gzip, zstd or xz, and zip");
        anyhow::Error::new(error).context(failure)
    }

    /// The parser has met the end of the stream.
    pub(super) fn end(&self) {
        self.ended.set(true);
    }

    /// The parser has read up to here; an error when it holds too much of that in memory.
    pub(super) fn has_read_to(&self, position: u64) -> io::Result<()> {
        if position > self.furthest.get() {
            return Err(io::Error::other("the headers of an entry are longer than 1 MiB"));
        }
        self.position.set(position);
        Ok(())
    }

    /// Looks after the signals and the pipe, now and then.
    pub(super) fn tick(&self) -> io::Result<()> {
        if self.last_tick.get().elapsed() < TICK {
            return Ok(());
        }
        self.last_tick.set(Instant::now());
        (self.tick.borrow_mut())().map_err(|error| {
            *self.stopped.borrow_mut() = Some(error);
            io::Error::other("stopped")
        })
    }
}

impl<'a> Stream<'a> {
    /// Begins to read `from`. The thread is not waited for when the stream is dropped: it may hang on a sender that
    /// says nothing.
    /// With `hashed` the digest of the archive as it is stored is known at the end.
    pub(crate) fn begin(from: File, hashed: bool, state: &'a State<'a>) -> Self {
        let (sender, messages) = sync_channel(IN_FLIGHT);
        let (spare, empty) = sync_channel(IN_FLIGHT);
        std::thread::spawn(move || {
            let last = match decode(from, hashed, &sender, &empty) {
                Ok(sha256) => Message::End { sha256 },
                Err(error) => Message::Failed(error),
            };
            // Nobody listens any more when the parser has refused the archive.
            let _ = sender.send(last);
        });
        Self { messages, spare, chunk: Vec::new(), at: 0, state }
    }

    fn next_chunk(&mut self) -> io::Result<bool> {
        loop {
            self.state.tick()?;
            match self.messages.recv_timeout(TICK) {
                Ok(Message::Bytes(bytes)) => {
                    let used = std::mem::replace(&mut self.chunk, bytes);
                    self.at = 0;
                    // Only saves an allocation.
                    let _ = self.spare.try_send(used);
                    return Ok(true);
                }
                Ok(Message::End { sha256 }) => {
                    self.state.sha256.set(sha256);
                    self.state.end();
                    return Ok(false);
                }
                Ok(Message::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.next_chunk()? {
            return Ok(0);
        }
        let ready = &self.chunk[self.at..];
        let count = ready.len().min(buffer.len());
        self.state.has_read_to(self.state.position.get() + count as u64)?;
        buffer[..count].copy_from_slice(&ready[..count]);
        self.at += count;
        Ok(count)
    }
}

fn decode(from: File, hashed: bool, to: &SyncSender<Message>, empty: &Receiver<Vec<u8>>) -> io::Result<Option<Sha>> {
    let mut raw = BufReader::with_capacity(CHUNK, Hashing { from, sha: hashed.then(Sha256::new) });
    let mut decoder = decoder(&mut raw)?;
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let mut length = 0;
        while length < CHUNK {
            match decoder.read(&mut chunk[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        chunk.truncate(length);
        if length == 0 || to.send(Message::Bytes(chunk)).is_err() {
            break;
        }
    }
    drop(decoder);
    // What follows the compressed data belongs to the file's digest all the same.
    io::copy(&mut raw, &mut io::sink())?;
    Ok(raw.into_inner().sha.map(|sha| sha.finalize().into()))
}

/// The compression is recognised by the first bytes, never by the name.
fn decoder<'r>(raw: &'r mut BufReader<Hashing>) -> io::Result<Box<dyn Read + 'r>> {
    let mut start = Vec::new();
    raw.by_ref().take(6).read_to_end(&mut start)?;
    let magic: [u8; 6] = std::array::from_fn(|at| start.get(at).copied().unwrap_or(0));
    let raw = Cursor::new(start).chain(raw);
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
            decoder.window_log_max(LARGEST_WINDOW_LOG)?;
            Box::new(decoder)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let decoder =
                liblzma::stream::Stream::new_stream_decoder(LARGEST_XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(raw, decoder))
        }
        _ => Box::new(raw),
    })
}

struct Hashing {
    from: File,
    sha: Option<Sha256>,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Some(sha) = &mut self.sha {
            sha.update(&buffer[..count]);
        }
        Ok(count)
    }
}
