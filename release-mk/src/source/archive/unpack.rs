//! Writing what an archive holds: judged entry by entry, through directory descriptors, files by threads of their own.
//!
//! The tree is empty at first and everything is made exclusively, so whatever is there already is a duplicate;
//! no symlink is followed on the way to a name, so nothing is written through one.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use dir::Dir;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::complete::{Waiting, finish};
use super::target::Target;
use super::write::{Admitted, BATCH, Small, Work, conflict, damaged, large, write};
use super::{names, refuse};
use crate::blobs::Blob;
use crate::content::Sha;
use crate::entries;
use crate::metadata::ExactModes;
use crate::pool;
use crate::shown::shown;

/// Files of a batch.
const BATCH_FILES: usize = 64;
/// Batches that wait, with their buffers of a quarter of a MiB, and large files of a plain archive.
const IN_FLIGHT: usize = 8;
const WRITERS: usize = 2;
/// Longer symlink targets are none.
const LONGEST_TARGET: usize = 4095;

/// What a header says of an entry besides its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// The mode as it was stored.
    pub(crate) mode: u32,
    /// The modification time as it was stored, in seconds since 1970.
    pub(crate) mtime: i64,
    /// What git calls the content.
    pub(crate) blob: Option<Blob>,
}

/// An archive that is being unpacked.
pub(crate) struct Unpack<'a> {
    target: &'a Target<'a>,
    waiting: Waiting,
    /// Small files that wait for more of them: their bytes, or where in the archive they begin.
    read: Option<(Vec<u8>, Vec<Small>)>,
    stored: Option<(Arc<File>, u64, Vec<Small>)>,
    to_writers: SyncSender<Work>,
    used: Receiver<Vec<u8>>,
    scratch: Vec<u8>,
    modes: &'a ExactModes,
    parent: Option<(PathBuf, Arc<Dir>)>,
    seen: u64,
    bytes: u64,
}

/// Lets `parse` hand over the entries of an archive and completes the tree, asking `tick` whether to go on. Nothing is
/// durable yet.
pub(crate) fn unpack(
    target: &Target<'_>,
    tick: &mut dyn FnMut() -> Result<()>,
    parse: impl FnOnce(&mut Unpack<'_>, &mut dyn FnMut() -> Result<()>) -> Result<()>,
) -> Result<()> {
    let (to_writers, works) = sync_channel(IN_FLIGHT);
    let works = Mutex::new(Some(works));
    let (give_back, used) = sync_channel(IN_FLIGHT);
    let modes = ExactModes::beneath(target.tree);
    std::thread::scope(|scope| {
        let (works, give_back, modes) = (&works, &give_back, &modes);
        let writers = pool::threads(scope, WRITERS, move || write(works, give_back, target, modes))?;
        let mut unpack = Unpack {
            target,
            waiting: Waiting::default(),
            read: None,
            stored: None,
            to_writers,
            used,
            scratch: Vec::new(),
            modes,
            parent: None,
            seen: 0,
            bytes: 0,
        };
        let parsed = parse(&mut unpack, tick).and_then(|()| unpack.hand_over());
        let Unpack { to_writers, waiting, seen, .. } = unpack;
        // Ends the writers, when they have done what waits or at once.
        drop(to_writers);
        if parsed.is_err() {
            *works.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let mut written = Ok(());
        for writer in writers {
            let ended = writer.join().map_err(|_| anyhow::anyhow!("a writing thread is gone")).and_then(|ended| ended);
            written = written.and(ended);
        }
        // A writer's error comes first: the parser only noticed that nobody listened.
        written.and(parsed)?;
        if seen == 0 || (target.meter.files() == 0 && waiting.is_bare()) {
            bail!(refuse("archive.empty", "the archive is refused: there is nothing in it, or all of it is excluded"));
        }
        finish(target, waiting, tick)
    })
}

/// Only a directory can be the top of a tree.
fn refuse_top(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        bail!(refuse("archive.path", "the archive is refused: its top is a file or a link"));
    }
    Ok(())
}

impl<'a> Unpack<'a> {
    /// Where it goes.
    pub(crate) fn target(&self) -> &'a Target<'a> {
        self.target
    }
}

impl Unpack<'_> {
    /// A directory; one that is there already only gets the mode and time of its last entry.
    pub(crate) fn directory(&mut self, name: &[u8], header: Header) -> Result<()> {
        let Some(path) = self.accept(name)? else { return Ok(()) };
        self.ensure(&path)?;
        let mode = (header.mode & 0o755) | 0o700;
        let time = self.time(header);
        self.waiting.directory(self.target.limits, path, mode, Some(time))
    }

    /// A symlink. Where it leads is judged when all are known.
    pub(crate) fn symlink(&mut self, name: &[u8], target: OsString, header: Header) -> Result<()> {
        let Some(path) = self.accept(name)? else { return Ok(()) };
        refuse_top(&path)?;
        if !(1..=LONGEST_TARGET).contains(&target.len()) || target.as_bytes().contains(&0) {
            let message = format!("the archive is refused: the target of the symlink '{}' is none", shown(&path));
            bail!(refuse("archive.link", message));
        }
        let parent = self.parent_of(&path)?;
        let own = path.file_name().unwrap_or_default();
        parent.symlink(&target, own).map_err(|e| conflict(&path, e))?;
        utimensat(&*parent, own, &TimeSpec::UTIME_OMIT, &self.time(header), UtimensatFlags::NoFollowSymlink)
            .map_err(|e| parent.error("set time of", own, e))?;
        self.target.entries.add([entries::symlink(path.clone(), target.clone())])?;
        self.target.meter.file(0);
        self.waiting.symlink(self.target.limits, path, target)
    }

    /// A further name for a file of the archive. Made when all files are there.
    pub(crate) fn hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        let Some(path) = self.accept(name)? else { return Ok(()) };
        refuse_top(&path)?;
        self.parent_of(&path)?;
        self.waiting.hard_link(self.target.limits, path, names::path(target)?)
    }

    /// A regular file of `size` bytes, which `content` must hold exactly.
    pub(crate) fn file(&mut self, name: &[u8], header: Header, size: u64, content: &mut dyn Read) -> Result<()> {
        let Some(file) = self.admit(name, header, size)? else { return Ok(()) };
        let Some(small) = usize::try_from(size).ok().filter(|size| *size <= BATCH) else {
            let mut read = |_, piece: &mut [u8]| Ok(read_full(content, piece)?);
            return large(file, size, &mut read, &mut self.scratch, self.target, self.modes);
        };
        let filled = |files: &[Small]| files.last().map_or(0, |(_, content)| content.end);
        if self.read.as_ref().is_some_and(|(_, files)| files.len() == BATCH_FILES || filled(files) + small > BATCH) {
            self.hand_over()?;
        }
        let (bytes, files) = self.read.get_or_insert_with(|| {
            let mut bytes = self.used.try_recv().unwrap_or_default();
            // Zeroed once for each buffer, not for each file.
            bytes.resize(BATCH + 1, 0);
            (bytes, Vec::with_capacity(BATCH_FILES))
        });
        let start = filled(files);
        let end = start + small;
        // One byte more than there should be, so that its end is seen.
        if read_full(content, &mut bytes[start..=end])? != small {
            bail!(damaged(&file.path));
        }
        files.push((file, start..end));
        Ok(())
    }

    /// A regular file whose `size` bytes are in a file that holds the archive, from `at` on; whoever writes them reads them.
    pub(crate) fn stored_file(
        &mut self,
        name: &[u8],
        header: Header,
        size: u64,
        archive: &Arc<File>,
        at: u64,
    ) -> Result<()> {
        let Some(file) = self.admit(name, header, size)? else { return Ok(()) };
        let Some(small) = usize::try_from(size).ok().filter(|size| *size <= BATCH) else {
            return self.send(Work::Large { file, size, archive: Arc::clone(archive), at });
        };
        // Of one batch all bytes are read at once, with the headers between them.
        let end_from = |first: u64| usize::try_from(at - first).map_or(usize::MAX, |start| start.saturating_add(small));
        if self.stored.as_ref().is_some_and(|(_, first, files)| files.len() == BATCH_FILES || end_from(*first) > BATCH)
        {
            self.hand_over()?;
        }
        let (_, first, files) =
            self.stored.get_or_insert_with(|| (Arc::clone(archive), at, Vec::with_capacity(BATCH_FILES)));
        let end = end_from(*first);
        files.push((file, end - small..end));
        Ok(())
    }

    /// A regular file whose content is known without being read: linked to the previous release's, which has the same.
    /// False when that is not possible; the file is then still to come.
    pub(crate) fn known_file(&mut self, name: &[u8], header: Header, sha256: Sha, size: u64) -> Result<bool> {
        let before = (self.seen, self.bytes);
        let Some(Admitted { parent, path, mode, mtime, blob }) = self.admit(name, header, size)? else {
            return Ok(true);
        };
        if !self.target.is_linked(&parent, &path, &sha256, size, mode, mtime.tv_sec()) {
            (self.seen, self.bytes) = before;
            return Ok(false);
        }
        self.target.remember(blob, sha256, size);
        self.target.entries.add([entries::file(path, mode, size, sha256)])?;
        Ok(true)
    }

    /// Where a file goes and what it gets, if it is accepted; `None` if it stays behind.
    fn admit(&mut self, name: &[u8], header: Header, size: u64) -> Result<Option<Admitted>> {
        if header.mode & 0o6000 != 0 {
            let shown = String::from_utf8_lossy(name).escape_debug().to_string();
            bail!(refuse(
                "archive.set_id",
                format!("the archive is refused: '{shown}' is set-user-id or set-group-id")
            ));
        }
        let Some(path) = self.accept(name)? else { return Ok(None) };
        refuse_top(&path)?;
        self.bytes = self.bytes.saturating_add(size);
        let limits = self.target.limits;
        if self.bytes > limits.archive_bytes() {
            bail!(
                refuse(
                    "archive.limit",
                    format!("the archive is refused: it unpacks to more than {} bytes", limits.archive_bytes())
                )
                .hint("if that is meant, allow more with --max-bytes")
            );
        }
        let parent = self.parent_of(&path)?;
        let (mode, mtime) = ((header.mode & 0o755) | 0o600, self.time(header));
        Ok(Some(Admitted { parent, path, mode, mtime, blob: header.blob }))
    }

    /// The path of an entry, `None` if it stays behind.
    fn accept(&mut self, name: &[u8]) -> Result<Option<PathBuf>> {
        self.seen += 1;
        self.target.limits.refuse_entries(self.seen)?;
        let path = names::path(name)?;
        let exclude = self.target.exclude;
        let is_excluded = |above: &Path| !above.as_os_str().is_empty() && exclude.matches(above);
        let stays_behind = !exclude.is_empty() && path.ancestors().any(is_excluded);
        Ok((!stays_behind).then_some(path))
    }

    fn hand_over(&mut self) -> Result<()> {
        if let Some((bytes, files)) = self.read.take() {
            self.send(Work::Read { bytes, files })?;
        }
        match self.stored.take() {
            Some((archive, at, files)) => self.send(Work::Stored { archive, at, files }),
            None => Ok(()),
        }
    }

    fn send(&self, work: Work) -> Result<()> {
        self.to_writers.send(work).ok().context("the writers are gone")
    }

    fn parent_of(&mut self, path: &Path) -> Result<Arc<Dir>> {
        let above = path.parent().unwrap_or(Path::new(""));
        if let Some((held, dir)) = &self.parent
            && held.as_os_str() == above.as_os_str()
        {
            return Ok(Arc::clone(dir));
        }
        self.ensure(above)?;
        let dir = Arc::new(self.target.tree.open_beneath(above).map_err(|e| conflict(above, e))?);
        self.parent = Some((above.to_path_buf(), Arc::clone(&dir)));
        Ok(dir)
    }

    /// Makes a directory and those above it, unless they are there.
    fn ensure(&mut self, path: &Path) -> Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|above| !self.waiting.has(above)).collect();
        for path in missing.into_iter().rev() {
            let above = self.target.tree.open_beneath(path.parent().unwrap_or(Path::new("")));
            let above = above.map_err(|e| conflict(path, e))?;
            above.create_dir(path.file_name().unwrap_or_default(), 0o700).map_err(|e| conflict(path, e))?;
            self.waiting.directory(self.target.limits, path.to_path_buf(), 0o755, None)?;
        }
        Ok(())
    }

    /// Times before 1970 or in the future are no times of a build.
    fn time(&self, header: Header) -> TimeSpec {
        TimeSpec::new(header.mtime.clamp(0, self.target.now), 0)
    }
}

fn read_full(content: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match content.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
