//! What is learnt while an archive is read, however it is read, and what ends the reading.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::plain::HEADER;
use super::refuse;
use crate::content::Sha;

/// What may stand before an entry: no name, no link and no pax header of a file that can be made comes near.
const LONGEST_HEADERS: u64 = 1 << 20;
/// How often the signals and the pipe are looked after.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// What is learnt while an archive is read; outlives the parser that owns what it reads from.
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

    /// Whether the parser has met the end of the archive.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Turns an error of the parser into what it comes from: a signal, the disk, or an archive that is damaged.
    pub(crate) fn blame(&self, error: io::Error) -> anyhow::Error {
        if let Some(stopped) = self.stopped.borrow_mut().take() {
            return stopped;
        }
        let error = anyhow::Error::new(error);
        let of_the_disk = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.raw_os_error().is_some())
        };
        if error.chain().any(of_the_disk) {
            return error.context("read the archive");
        }
        let known = "known are tar, plain or compressed with gzip, zstd or xz, and zip";
        // What the parser makes of a first header that is none says nothing.
        if (1..=HEADER as u64).contains(&self.position()) {
            let message = "it is no archive of a known format, or damaged at its very beginning";
            return refuse("archive.damaged", message).detail(format!("{error:#}")).hint(known).into();
        }
        error.context(refuse("archive.damaged", "the archive is damaged or no archive of a known format").hint(known))
    }

    /// The parser has met the end of the archive, whose digest is this if it was asked for.
    pub(super) fn end(&self, sha256: Option<Sha>) {
        self.sha256.set(sha256);
        self.ended.set(true);
    }

    /// Where the parser goes on reading.
    pub(super) fn position(&self) -> u64 {
        self.position.get()
    }

    /// It goes on from here.
    pub(super) fn seek(&self, position: u64) {
        self.position.set(position);
    }

    /// The parser has read so much more; an error when it holds too much of that in memory.
    pub(super) fn has_read(&self, count: u64) -> io::Result<()> {
        let position = self.position.get() + count;
        if position > self.furthest.get() {
            return Err(io::Error::other("the headers of an entry are longer than 1 MiB"));
        }
        self.position.set(position);
        Ok(())
    }

    /// The same where no parser stands between.
    pub(super) fn look(&self) -> Result<()> {
        self.tick().map_err(|error| self.blame(error))
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
