//! From an opened source to a complete tree in staging, with its listing, durable.

use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use dir::Dir;
use nix::fcntl::OFlag;
use record::clock::milliseconds;
use record::sections::MkSection;
use record::{Pipe, clock};
use store::listing::{Sum, Writer};
use store::staging::Staging;

use crate::entries::Entries;
use crate::exclude::Exclude;
use crate::plan::{Plan, Request};
use crate::progress::{Line, Meter};
use crate::source::Source;
use crate::source::directory::Copy;
use crate::unchanged::Previous;
use crate::{pool, share, source, stamp};

/// The name of the listing within a build.
pub(crate) const LISTING: &str = "listing";

/// What a build has besides its request.
pub(crate) struct Build<'a> {
    /// What is asked for.
    pub(crate) request: &'a Request,
    /// What was decided.
    pub(crate) plan: &'a Plan,
    /// Where it happens.
    pub(crate) staging: &'a Staging,
    /// The live release, for `--link-unchanged`.
    pub(crate) previous: Option<Previous>,
}

impl Build<'_> {
    /// Fills the tree, writes the listing and waits until both are on the disk. Stops between two files when a later
    /// stage is gone or a signal came.
    pub(crate) fn run(&self, pipe: &Pipe, source: &Source, section: &mut MkSection) -> Result<Sum> {
        let began = Instant::now();
        let entries = Entries::new(self.staging.dir.open_beneath("".as_ref())?);
        let meter = Meter::default();
        self.fill(pipe, source, &entries, &meter)?;
        section.source_files = Some(meter.files());
        section.source_bytes = Some(meter.bytes());
        section.linked_files = self.previous.as_ref().map(|_| meter.linked_files());
        section.source_ms = Some(milliseconds(began.elapsed()));
        self.add(pipe, source, &entries)?;
        let syncing = Instant::now();
        let sum = self.settle(&entries)?;
        section.sync_ms = Some(milliseconds(syncing.elapsed()));
        pipe.look_down()?;
        pipe.check_signals()?;
        Ok(sum)
    }

    fn fill(&self, pipe: &Pipe, source: &Source, entries: &Entries, meter: &Meter) -> Result<()> {
        let mut line = Line::new(pipe.options().quiet);
        let mut tick = || {
            line.show("copying", meter, self.plan.files);
            pipe.look_down()?;
            pipe.check_signals()
        };
        let to = &self.staging.tree;
        match source {
            Source::Directory { dir, .. } => {
                let exclude = exclude(self.request)?;
                let previous = self.previous.as_ref();
                Copy { from: dir, to, exclude: &exclude, entries, previous, meter }.run(tick)
            }
            Source::File { name, file, .. } => pool::run(
                vec![()],
                || (),
                |pool, (), ()| source::file::copy(file, name, to, entries, meter, &|| pool.is_stopped()),
                &mut tick,
            ),
        }
    }

    /// Adds what does not come from the source.
    fn add(&self, pipe: &Pipe, source: &Source, entries: &Entries) -> Result<()> {
        entries.add(share::link(&self.request.share, &self.staging.tree)?)?;
        if let Some(path) = &self.request.stamp {
            let text = stamp::text(self.staging.id.as_str(), &clock::rfc3339(pipe.now()), &source.to_record());
            entries.add(vec![stamp::write(&self.staging.tree, path, &text)?])?;
        }
        Ok(())
    }

    /// Writes the listing while the disk already takes the tree: one sync of the file system, on a descriptor that
    /// was opened before the first write, since write errors are told once per open file.
    fn settle(&self, entries: &Entries) -> Result<Sum> {
        let dir: &Dir = &self.staging.dir;
        let sum = std::thread::scope(|scope| {
            let syncing = scope.spawn(|| dir.sync_file_system());
            let sum = self.write_listing(entries);
            let synced = syncing.join().map_err(|_| anyhow::anyhow!("the thread that syncs is gone"))?;
            synced.context("make the tree durable")?;
            sum
        })?;
        Ok(sum)
    }

    fn write_listing(&self, entries: &Entries) -> Result<Sum> {
        let file = self.staging.dir.open_file(LISTING, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC, 0o600)?;
        let mut writer = Writer::new(BufWriter::with_capacity(256 * 1024, file)).context("write the listing")?;
        entries.for_each(|entry| Ok(writer.entry(entry)?)).context("write the listing")?;
        Ok(writer.finish().context("write the listing")?.1)
    }
}

/// What of the source stays behind: what `--exclude` says, and what the build puts something else under.
pub(crate) fn exclude(request: &Request) -> Result<Exclude> {
    let shared = request.share.iter().map(|share| share.path.clone());
    let replaced: Vec<PathBuf> = shared.chain(request.stamp.clone()).collect();
    Exclude::new(&request.exclude, replaced)
}
