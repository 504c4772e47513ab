//! Writing what an archive holds: judged entry by entry, through directory descriptors, small files by
//! threads of their own.
//!
//! The tree is empty at first and everything is made exclusively, so whatever is there already is a duplicate;
//! no symlink is followed on the way to a name, so nothing is written through one.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use dir::Dir;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use sha2::{Digest, Sha256};

use super::complete::finish;
use super::write::{Pending, conflict, create, write_batches};
use super::{Limits, names, refuse};
use crate::content::Sha;
use crate::entries::{self, Entries};
use crate::exclude::Exclude;
use crate::metadata;
use crate::progress::Meter;
use crate::shown::shown;
use crate::unchanged::Previous;

/// Files up to this size are handed to a writer; larger ones are written while they are read.
const SMALL: u64 = 256 * 1024;
/// A batch for a writer: so many bytes or files.
const BATCH_BYTES: usize = 256 * 1024;
const BATCH_FILES: usize = 64;
/// Batches that wait: at most 4 MiB.
const IN_FLIGHT: usize = 8;
const WRITERS: usize = 2;

/// Where an archive goes, and by which rules.
pub(crate) struct Target<'a> {
    /// The tree, empty.
    pub(crate) tree: &'a Dir,
    /// What stays behind.
    pub(crate) exclude: &'a Exclude,
    /// How much is accepted.
    pub(crate) limits: Limits,
    /// Where every entry is reported.
    pub(crate) entries: &'a Entries,
    /// How far it is.
    pub(crate) meter: &'a Meter,
    /// Times after this one are wrong, in seconds since 1970.
    pub(crate) now: i64,
    /// The release whose identical files are linked to.
    pub(crate) previous: Option<&'a Previous>,
    /// Whether a file with another time counts as identical: where the source has no times of its own.
    pub(crate) timeless: bool,
    /// Whether the archive's own digest is wanted.
    pub(crate) hashed: bool,
}

impl Target<'_> {
    /// Whether the previous release has the same file, and it was linked.
    pub(super) fn is_linked(&self, parent: &Dir, path: &Path, sha256: &Sha, size: u64, mode: u32, mtime: i64) -> bool {
        let mtime = (!self.timeless).then_some(mtime);
        let linked = self.previous.is_some_and(|previous| previous.link_same(parent, path, sha256, size, mode, mtime));
        if linked {
            self.meter.linked(size);
        }
        linked
    }
}

/// What a header says of an entry besides its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// The mode as it was stored.
    pub(crate) mode: u32,
    /// The modification time as it was stored, in seconds since 1970.
    pub(crate) mtime: i64,
}

/// An archive that is being unpacked.
pub(crate) struct Unpack<'a> {
    target: &'a Target<'a>,
    directories: HashMap<PathBuf, (u32, Option<TimeSpec>)>,
    symlinks: BTreeMap<PathBuf, OsString>,
    hard_links: Vec<(PathBuf, PathBuf)>,
    batch: Vec<Pending>,
    batch_bytes: usize,
    to_writers: SyncSender<Vec<Pending>>,
    parent: Option<(PathBuf, Arc<Dir>)>,
    seen: u64,
    bytes: u64,
}

/// Lets `parse` hand over the entries of an archive and completes the tree. Nothing is durable yet.
pub(crate) fn unpack(target: &Target<'_>, parse: impl FnOnce(&mut Unpack<'_>) -> Result<()>) -> Result<()> {
    let (to_writers, batches) = sync_channel(IN_FLIGHT);
    let batches = Mutex::new(batches);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| write_batches(&batches, target))).collect();
        let mut unpack = Unpack {
            target,
            directories: HashMap::new(),
            symlinks: BTreeMap::new(),
            hard_links: Vec::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            to_writers,
            parent: None,
            seen: 0,
            bytes: 0,
        };
        let parsed = parse(&mut unpack).and_then(|()| unpack.hand_over());
        let Unpack { to_writers, directories, symlinks, hard_links, seen, .. } = unpack;
        // Ends the writers.
        drop(to_writers);
        let mut written = Ok(());
        for writer in writers {
            let ended = writer.join().map_err(|_| anyhow::anyhow!("a writing thread is gone")).and_then(|ended| ended);
            written = written.and(ended);
        }
        // A writer's error comes first: the parser only noticed that nobody listened.
        written.and(parsed)?;
        if seen == 0 {
            bail!(refuse("archive.empty", "the archive is refused: there is nothing in it"));
        }
        finish(target, &symlinks, &hard_links, directories)
    })
}

impl Unpack<'_> {
    /// A directory; one that is there already only gets the mode and time of its last entry.
    pub(crate) fn directory(&mut self, name: &[u8], header: Header) -> Result<()> {
        let Some(path) = self.accept(name)? else { return Ok(()) };
        self.ensure(&path)?;
        let mode = (header.mode & 0o755) | 0o700;
        self.directories.insert(path, (mode, Some(self.time(header))));
        Ok(())
    }

    /// A symlink. Where it leads is judged when all are known.
    pub(crate) fn symlink(&mut self, name: &[u8], target: OsString, header: Header) -> Result<()> {
        let Some(path) = self.accept(name)? else { return Ok(()) };
        let parent = self.parent_of(&path)?;
        let own = path.file_name().unwrap_or_default();
        parent.symlink(&target, own).map_err(|e| conflict(&path, e))?;
        utimensat(&*parent, own, &TimeSpec::UTIME_OMIT, &self.time(header), UtimensatFlags::NoFollowSymlink)
            .map_err(|e| parent.error("set time of", own, e))?;
        self.target.entries.add(vec![entries::symlink(&path, &target)])?;
        self.target.meter.file(0);
        self.symlinks.insert(path, target);
        Ok(())
    }

    /// A further name for a file of the archive. Made when all files are there.
    pub(crate) fn hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        let Some(path) = self.accept(name)? else { return Ok(()) };
        self.parent_of(&path)?;
        self.hard_links.push((path, names::path(target)?));
        Ok(())
    }

    /// A regular file of `size` bytes, which `content` must hold exactly.
    pub(crate) fn file(&mut self, name: &[u8], header: Header, size: u64, content: &mut dyn Read) -> Result<()> {
        if header.mode & 0o6000 != 0 {
            let shown = String::from_utf8_lossy(name).escape_debug().to_string();
            bail!(refuse(
                "archive.set_id",
                format!("the archive is refused: '{shown}' is set-user-id or set-group-id")
            ));
        }
        let Some(path) = self.accept(name)? else { return Ok(()) };
        if path.as_os_str().is_empty() {
            bail!(refuse("archive.path", "the archive is refused: its top is a file"));
        }
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
        let mode = (header.mode & 0o755) | 0o600;
        let mtime = self.time(header);
        if size > SMALL {
            return self.large_file(&parent, path, mode, mtime, size, content);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        content.take(size + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            bail!(damaged(&path));
        }
        self.batch_bytes += bytes.len();
        self.batch.push(Pending { parent, path, mode, mtime, content: bytes });
        if self.batch.len() >= BATCH_FILES || self.batch_bytes >= BATCH_BYTES {
            self.hand_over()?;
        }
        Ok(())
    }

    fn large_file(
        &self,
        parent: &Dir,
        path: PathBuf,
        mode: u32,
        mtime: TimeSpec,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        let mut file = create(parent, &path)?;
        let mut sha = Sha256::new();
        let mut buffer = vec![0; 128 * 1024];
        let mut done = 0;
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            done += count as u64;
            if done > size {
                bail!(damaged(&path));
            }
            sha.update(&buffer[..count]);
            file.write_all(&buffer[..count]).with_context(|| format!("write {}", shown(&path)))?;
        }
        if done != size {
            bail!(damaged(&path));
        }
        let sha256: Sha = sha.finalize().into();
        if self.target.previous.is_some() {
            // Only now it is known to be the same; the copy makes room for the link.
            let name = path.file_name().unwrap_or_default();
            let aside = format!(".{}", dir::random_suffix());
            parent.rename_new(name, parent, &aside)?;
            if self.target.is_linked(parent, &path, &sha256, size, mode, mtime.tv_sec()) {
                parent.remove_file(&aside)?;
                return self.target.entries.add(vec![entries::file(&path, mode, size, sha256)]);
            }
            parent.rename_new(&aside, parent, name)?;
        }
        metadata::finish(&file, mode, &mtime).with_context(|| format!("set mode of {}", shown(&path)))?;
        self.target.meter.file(size);
        self.target.entries.add(vec![entries::file(&path, mode, size, sha256)])
    }

    /// The path of an entry, `None` if it stays behind.
    fn accept(&mut self, name: &[u8]) -> Result<Option<PathBuf>> {
        self.seen += 1;
        if self.seen > self.target.limits.archive_files() {
            bail!(
                refuse(
                    "archive.limit",
                    format!("the archive is refused: it has more than {} entries", self.target.limits.archive_files())
                )
                .hint("if that is meant, allow more with --max-files")
            );
        }
        let path = names::path(name)?;
        let stays_behind =
            path.ancestors().any(|above| !above.as_os_str().is_empty() && self.target.exclude.matches(above));
        Ok((!stays_behind).then_some(path))
    }

    fn hand_over(&mut self) -> Result<()> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.to_writers.send(batch).ok().context("the writers are gone")
    }

    fn parent_of(&mut self, path: &Path) -> Result<Arc<Dir>> {
        let above = path.parent().unwrap_or(Path::new(""));
        if let Some((held, dir)) = &self.parent
            && held == above
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
        if path.as_os_str().is_empty() || self.directories.contains_key(path) {
            return Ok(());
        }
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !self.directories.contains_key(*above))
            .collect();
        for path in missing.into_iter().rev() {
            let above = self.target.tree.open_beneath(path.parent().unwrap_or(Path::new("")));
            let above = above.map_err(|e| conflict(path, e))?;
            above.create_dir(path.file_name().unwrap_or_default(), 0o700).map_err(|e| conflict(path, e))?;
            self.directories.insert(path.to_path_buf(), (0o755, None));
        }
        Ok(())
    }

    /// Times before 1970 or in the future are no times of a build.
    fn time(&self, header: Header) -> TimeSpec {
        TimeSpec::new(header.mtime.clamp(0, self.target.now), 0)
    }
}

fn damaged(path: &Path) -> record::Failure {
    refuse("archive.damaged", format!("the archive is damaged: '{}' is not as long as it says", shown(path)))
}
