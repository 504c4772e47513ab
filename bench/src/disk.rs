//! Where it is measured: a journaled ext4 on a loop device, made for the run.
//!
//! The disk of the machine may be without a journal, where a sync of a directory costs a quarter, or nearly full. The
//! image is written over once before anything is measured, is never trimmed, and is not cached a second time by the
//! machine: the first write to a block of a new file costs many times the later ones, and would be most of each row.

#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "makes and clears a file system")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::corpus;
use crate::measure::prepare;

/// A folder on the file system that was made for it; unmounted when dropped.
pub(crate) struct Place {
    /// The folder.
    pub(crate) path: PathBuf,
    image: Option<PathBuf>,
    /// What the page says of it.
    pub(crate) kind: &'static str,
    keep: bool,
}

/// On a loop device.
const LOOP: &str = "ext4 with a journal on a loop device with direct I/O, its image written over once before";
/// Of the image, in MiB: the corpora, and what one round makes of the largest twice.
const SIZE: u32 = 14 * 1024;
/// With small corpora.
const QUICK_SIZE: u32 = 3 * 1024;

impl Place {
    /// Makes the file system below `target/bench`, unless one is to be kept and was, or takes a plain folder there where that is not allowed, and says so.
    pub(crate) fn make(repository: &Path, keep: bool, quick: bool) -> Result<Self> {
        let path = repository.join("target/bench/disk");
        let image = repository.join("target/bench/disk.img");
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        let (from, to) = (image.display(), path.display());
        if keep && path.join(corpus::COMPLETE).exists() {
            return Ok(Self { path: path.clone(), image: Some(image.clone()), kind: LOOP, keep });
        }
        let size = if quick { QUICK_SIZE } else { SIZE };
        // What a killed run left.
        let _ = prepare(repository, &format!("umount '{to}' 2>/dev/null; rm -f '{from}'"));
        let made = prepare(
            repository,
            &format!(
                "dd if=/dev/zero of='{from}' bs=1M count={size} conv=fsync status=none && mkfs.ext4 -q -F -E nodiscard '{from}' \
                 && device=$(losetup --find --show --direct-io=on '{from}') && mount \"$device\" '{to}' && losetup --detach \"$device\""
            ),
        );
        match made {
            Ok(()) => Ok(Self { path, image: Some(image), kind: LOOP, keep }),
            Err(error) => {
                eprintln!("bench: SKIPPED the loop file system, measured on the disk's own: {error:#}");
                let _ = std::fs::remove_file(&image);
                Ok(Self {
                    path,
                    image: None,
                    kind: "the file system of the working copy (no loop device)",
                    keep: false,
                })
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let path = self.path.display();
        // What cannot be cleared away now is cleared by the next run.
        let _ = match &self.image {
            Some(image) => prepare(Path::new("/"), &format!("umount '{path}' && rm -f '{}'", image.display())),
            None => prepare(Path::new("/"), &format!("rm -rf '{path}'")),
        };
    }
}
