//! The bytes of an archive: read, hashed and decompressed by a thread of its own.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::plain::{HEADER, is_tar};
use super::state::{State, TICK};
use crate::content::Sha;
use crate::pool::no_thread;

const CHUNK: usize = 128 * 1024;
/// Decompressed chunks that wait for the parser: 4 MiB.
const IN_FLIGHT: usize = 32;
/// Archives that need a larger window to unpack than this are refused: memory stays bounded.
const LARGEST_WINDOW_LOG: u32 = 27;
const LARGEST_XZ_MEMORY: u64 = 160 << 20;

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

impl<'a> Stream<'a> {
    /// Begins to read `from`. The thread is not waited for when the stream is dropped: it may hang on a sender that
    /// says nothing.
    /// With `hashed` the digest of the archive as it is stored is known at the end.
    pub(crate) fn begin(from: File, hashed: bool, state: &'a State<'a>) -> Result<Self> {
        let (sender, messages) = sync_channel(IN_FLIGHT);
        let (spare, empty) = sync_channel(IN_FLIGHT);
        let decoding = move || {
            let last = match decode(from, hashed, &sender, &empty) {
                Ok(sha256) => Message::End { sha256 },
                Err(error) => Message::Failed(error),
            };
            // Nobody listens any more when the parser has refused the archive.
            let _ = sender.send(last);
        };
        Builder::new().spawn(decoding).with_context(no_thread)?;
        Ok(Self { messages, spare, chunk: Vec::new(), at: 0, state })
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
                    self.state.end(sha256);
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
        self.state.has_read(count as u64)?;
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
    raw.by_ref().take(HEADER as u64).read_to_end(&mut start)?;
    let magic: [u8; 6] = std::array::from_fn(|at| start.get(at).copied().unwrap_or(0));
    let is_tar = is_tar(&start);
    let raw = Cursor::new(start).chain(raw);
    Ok(match magic {
        _ if is_tar => Box::new(raw),
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
