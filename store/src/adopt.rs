//! Papers for a tree that another tool made: with them it is a release of ours, and nothing in it changes.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::Context;
use nix::fcntl::OFlag;

use crate::{Lock, Manifest, Root, manifest};

/// A per-file listing that is being written and has no release yet. One that is dropped unpublished is debris, which
/// the next collection removes.
#[derive(Debug)]
pub struct Draft {
    name: String,
    file: File,
}

impl Draft {
    /// Begins one. Takes no lock: hashing a tree may take minutes.
    pub fn begin(root: &Root) -> anyhow::Result<Self> {
        let name = format!(".listing.{}", dir::random_suffix());
        let file = root.part("tree")?.open_file(&name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?;
        Ok(Self { name, file })
    }

    /// The file to write the listing into.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the tree `releases/<id>`, which is there already, its listing and its manifest; durable when it returns.
    pub fn publish(self, lock: &Lock<'_>, manifest: &Manifest) -> anyhow::Result<()> {
        nix::sys::stat::fchmod(self.file.as_fd(), nix::sys::stat::Mode::from_bits_truncate(0o644))
            .context("change mode of the listing")?;
        self.file.sync_all().context("sync the listing")?;
        let trees = lock.part("tree")?;
        // A listing without a manifest is what a killed adoption left; the tree may have changed since.
        trees.rename(&self.name, &trees, &manifest.id)?;
        trees.sync()?;
        manifest::write(lock, manifest)
    }
}
