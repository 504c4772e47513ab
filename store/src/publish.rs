//! From a build to a release.
//!
//! Order: content (synced by the caller), listing, manifest, then the rename that makes the release visible, then its
//! parents. A crash before the rename leaves papers without a tree, which is no release; after it the release is whole.

use std::os::fd::AsFd;

use anyhow::Context;
use record::{Exit, Failure};

use crate::staging::{Staging, TREE};
use crate::{Lock, Manifest, debris, manifest, trash};

impl Staging {
    /// Publishes the build as a release, durable when it returns. The caller has synced its content with
    /// [`dir::Dir::sync_file_system`] on a descriptor opened before the first write, and written the per-file listing
    /// to the file `listing_name` of [`Staging::dir`]. Refused as [`Staging::refuse_taken`] says. When the last rename fails, listing and manifest are taken back.
    /// What is left of the build is moved to trash; its name there is returned, for [`trash::delete_small`] without
    /// the lock.
    pub fn publish(self, lock: &Lock<'_>, manifest: &Manifest, listing_name: &str) -> anyhow::Result<String> {
        self.refuse_taken(lock)?;
        let listing = self.dir.open_file(listing_name, nix::fcntl::OFlag::O_RDONLY, 0)?;
        nix::sys::stat::fchmod(listing.as_fd(), nix::sys::stat::Mode::from_bits_truncate(0o644))
            .context("change mode of the listing")?;
        // The listing may have been written after the caller's sync.
        listing.sync_all().context("sync the listing")?;
        // A tree whose own directory may not be written could not be renamed to another parent, now or by gc.
        let mode = self.tree.own_stat()?.mode();
        if mode & 0o200 == 0 {
            self.tree.set_mode(mode | 0o200)?;
        }
        // The lock is held since the id was nobody else's: what there is of it by now is of this build.
        self.name_it(lock, manifest, listing_name).inspect_err(|_| {
            // What the disk does not let go either is the next collection's; the error that matters is the first one.
            let _ = debris::remove_papers(lock, &self.id);
        })?;
        // Without these the release is durable or not, but never half: the rename is one transaction.
        lock.releases().sync().and_then(|()| self.dir.sync()).context(
            Failure::new(
                Exit::Unrecorded,
                "mk.durability",
                format!("{} was published, but the disk did not confirm it", self.id),
            )
            .hint("look at the disk before you rely on this release"),
        )?;
        // The release is there; where this fails, what is left of its build is the next collection's.
        let _ = trash::move_staging(lock, &self.name);
        Ok(self.name)
    }

    fn name_it(&self, lock: &Lock<'_>, manifest: &Manifest, listing_name: &str) -> anyhow::Result<()> {
        let trees = lock.part("tree")?;
        self.dir.rename_new(listing_name, &trees, &self.id)?;
        trees.sync()?;
        if dir::planted("manifest-after-rename") {
            self.dir.rename_new(TREE, lock.releases(), &self.id)?;
            return manifest::write(lock, manifest);
        }
        manifest::write(lock, manifest)?;
        if dir::planted("in-place-build") {
            return Ok(());
        }
        self.dir.rename_new(TREE, lock.releases(), &self.id).with_context(|| format!("publish {}", self.id))
    }
}
