//! `history.jsonl` on disk: opened by whoever holds the lock, appended to in single writes.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use record::{Exit, Failure};

use super::parse::parse;
use super::{Entry, History};
use crate::Root;

const NAME: &str = "history.jsonl";

impl History {
    /// Reads the history of `root` without its lock. Writes nothing; a torn last line is left out.
    pub fn read(root: &Root) -> anyhow::Result<Self> {
        let mut file = match root.state().open_file(NAME, OFlag::O_RDONLY, 0) {
            Err(e) if e.is_not_found() => return Ok(Self::default()),
            opened => opened?,
        };
        Ok(parse(&read_whole(root, &mut file)?).0)
    }
}

/// Whether a line is waited for until it is on disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Disk {
    /// The line is durable when it is written.
    Now,
    /// It is with the next one.
    Later,
}

/// The open file and what it holds.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<File>,
    end: u64,
    history: History,
}

impl Journal {
    /// Reads the history and cuts off what a crash left half written at its end.
    pub(crate) fn open(root: &Root) -> anyhow::Result<Self> {
        let mut file = match root.state().open_file(NAME, OFlag::O_RDWR | OFlag::O_APPEND, 0) {
            Err(e) if e.is_not_found() => return Ok(Self { file: None, end: 0, history: History::default() }),
            opened => opened?,
        };
        let (mut history, end) = parse(&read_whole(root, &mut file)?);
        if history.torn_bytes > 0 {
            file.set_len(end)
                // Durable before the next line: else that one could follow zeros after a power cut.
                .and_then(|()| file.sync_all())
                .with_context(|| format!("repair the end of {}", path(root)))?;
            history.torn_bytes = 0;
        }
        Ok(Self { file: Some(file), end, history })
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Numbers `entry` and appends it in one write.
    pub(super) fn append(&mut self, root: &Root, entry: Entry, disk: Disk) -> anyhow::Result<Entry> {
        let entry = Entry { seq: self.history.next_line(), ..entry };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let end = self.end;
        let file = self.file(root)?;
        // One write, so that readers without the lock see a line or a part of one, never two mixed.
        let written = match file.write_at(&line, end) {
            Ok(written) if written == line.len() => match disk {
                Disk::Now => file.sync_data(),
                Disk::Later => Ok(()),
            },
            Ok(_) => Err(std::io::Error::from_raw_os_error(Errno::ENOSPC as i32)),
            Err(e) => Err(e),
        };
        if let Err(error) = written {
            // Taken back, so that an intent nobody acted upon does not count. The next writer would cut it off too.
            let _ = file.set_len(end);
            return Err(error).with_context(|| format!("append to {}", path(root)));
        }
        self.end += line.len() as u64;
        self.history.exists = true;
        self.history.push(entry.clone());
        Ok(entry)
    }

    /// Reserves blocks after the last line, without making the file longer.
    pub(super) fn reserve(&mut self, root: &Root, room: usize) -> anyhow::Result<()> {
        let end = i64::try_from(self.end)?;
        let file = self.file(root)?;
        match fallocate(&*file, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, i64::try_from(room)?) {
            // Where the file system cannot reserve, the link's own text still tells what happened.
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => {
                let path = path(root);
                bail!(
                    Failure::new(Exit::Failed, "disk.full", format!("no room for a line in {path}: {}", errno.desc()))
                        .hint(format!(
                            "release-gc -n --root {} --keep-failed 0 frees what no rule keeps",
                            root.path().display()
                        ))
                )
            }
            Err(errno) => Err(errno).with_context(|| format!("reserve room in {}", path(root))),
        }
    }

    fn file(&mut self, root: &Root) -> anyhow::Result<&mut File> {
        if self.file.is_none() {
            let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL;
            let file = root.state().open_file(NAME, flags, 0o644)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o644))
                .with_context(|| format!("change mode of {}", path(root)))?;
            // The name must survive a power cut before a line in it counts.
            root.state().sync()?;
            self.file = Some(file);
        }
        self.file.as_mut().context("the history is open")
    }
}

fn read_whole(root: &Root, file: &mut File) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("read {}", path(root));
    let metadata = file.metadata().with_context(reading)?;
    if !metadata.is_file() {
        bail!(Failure::new(Exit::Unsafe, "root.unsafe", format!("{} is not a regular file", path(root))));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).with_context(reading)?;
    Ok(bytes)
}

fn path(root: &Root) -> String {
    root.state().path().join(NAME).display().to_string()
}
