//! A single file as source: a jar, a binary.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use dir::{Dir, Stat};
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use record::{Exit, Failure};

use crate::content::{Copier, Fault, Job, Sha};
use crate::entries::{self, Entries};
use crate::metadata;
use crate::progress::Meter;
use crate::shown::shown;
use crate::source::survey::{Sizes, Survey};
use crate::space::BLOCK;

/// What the file holds, as a survey of a directory would say it.
pub(crate) fn survey(file: &File) -> Result<Survey> {
    let stat = file.metadata().context("look at the source")?;
    let disk_bytes = stat.len().next_multiple_of(BLOCK).min((stat.blocks() * 512).max(BLOCK));
    Ok(Survey { files: 1, sizes: Some(Sizes { bytes: stat.len(), disk_bytes }), ..Survey::default() })
}

/// Copies the file under `name` into the tree, with its metadata, and says its digest. Not yet durable when it returns.
pub(crate) fn copy(
    from: &File,
    name: &OsStr,
    to: &Dir,
    entries: &Entries,
    meter: &Meter,
    stopped: &dyn Fn() -> bool,
) -> Result<Sha> {
    let path = Path::new(name);
    let stat = fstat(from).context("look at the source")?;
    let size = Stat(stat).size();
    let copy = to.open_file(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?;
    let sparse = u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < size;
    let job = Job { from, to: Some(&copy), size, sparse, reflink: &AtomicBool::new(true), meter: Some(meter) };
    let changed = || {
        Failure::new(Exit::Failed, "mk.changed", format!("the source changed while it was copied: {}", shown(path)))
            .hint("let whatever writes it finish, then run again")
            .retryable()
    };
    let sha256 = Copier::default().copy(&job, stopped).map_err(|fault| match fault {
        Fault::Read(error) => anyhow::Error::new(error).context(format!("read {}", shown(path))),
        Fault::Write(error) => anyhow::Error::new(error).context(format!("write {}", shown(path))),
        Fault::Changed => changed().into(),
        Fault::Stopped => anyhow::anyhow!("stopped while copying {}", shown(path)),
    })?;
    let after = fstat(from).context("look at the source")?;
    if (after.st_size, after.st_mtime, after.st_mtime_nsec) != (stat.st_size, stat.st_mtime, stat.st_mtime_nsec) {
        return Err(changed().into());
    }
    let (uid, gid) = metadata::user();
    metadata::copy_attributes(from, &copy, uid == 0).map_err(|e| to.error("copy extended attributes of", name, e))?;
    let mode = metadata::mode_of_copy(&stat, uid, gid);
    metadata::finish(&copy, mode, &metadata::modified(&stat)).map_err(|e| to.error("set mode of", name, e))?;
    meter.file(size);
    entries.add([entries::file(path.to_path_buf(), mode, size, sha256)])?;
    Ok(sha256)
}
