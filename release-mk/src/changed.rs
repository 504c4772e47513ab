//! `--if-changed`: whether there is anything to build, asked before anything is copied.

use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use nix::sys::stat::fstat;
use record::sections::MkSection;
use record::{Exit, Failure, Pipe};
use store::{Inventory, Manifest, Root, Verdict};

use crate::build;
use crate::content::{Copier, Job};
use crate::entries::Entries;
use crate::fingerprint::{Content, source_digest};
use crate::look::Site;
use crate::metadata;
use crate::progress::Meter;
use crate::rehash::Rehash;
use crate::request::Request;
use crate::source::Source;
use crate::stat_cache::Cache;
use crate::watch;

/// What the root says of a source.
#[derive(Debug, PartialEq)]
enum Known<'a> {
    /// Nothing that speaks against building it.
    New,
    /// It is live.
    Live(&'a Manifest),
    /// The newest release made of it is bad.
    Bad(&'a Manifest),
}

/// Whether the pipe is answered without a build: the record then names the live release. A source that made a bad
/// release is an error, unless `--skip-bad` passes it over. Writes a cache of digests.
pub(crate) fn is_settled(pipe: &mut Pipe, request: &Request, source: &Source, site: &Site) -> Result<bool> {
    if matches!(source, Source::Archive { path: None, .. }) && !request.force {
        bail!(
            Failure::new(Exit::Usage, "usage", "--if-changed cannot ask a stream")
                .hint("a stream is known only when it has been read: put it into a file first")
        );
    }
    let Some(rootdir) = site.root.as_ref().filter(|root| root.dir().open_dir(".cutover").is_ok()) else {
        return Ok(false);
    };
    // A fetch writes, which a dry run must not: it then plans as if the revision were new.
    if request.force || (pipe.dry_run() && matches!(source, Source::Git(_))) {
        return Ok(false);
    }
    if matches!(source, Source::Git(_)) {
        // Git is a child, which takes over a real identity only.
        rootdir.become_owner()?;
    }
    let _acting = rootdir.act_as_owner()?;
    let root = Root::open(&site.path, pipe.options().allow_network_fs)?;
    let digest = source_digest(&content(pipe, request, source, &root)?, request);
    let inventory = store::inventory::read(&root)?;
    let link = pipe.link()?;
    let live = inventory.current(&link);
    let known = judge(&inventory, live, &digest);
    let why = match known {
        Known::New => return Ok(false),
        Known::Live(_) => "the live release was made of the same".to_owned(),
        Known::Bad(bad) if request.skip_bad => format!("{} was made of the same and is bad", bad.id),
        Known::Bad(bad) => bail!(
            Failure::new(Exit::Failed, "mk.bad", format!("the source made {}, which is bad", bad.id))
                .hint("change the source, or build it again with --force")
        ),
    };
    let release = live.map(|live| live.to_release(&root));
    if !pipe.dry_run() {
        pipe.record_mut().release = release;
    } else if let Some(live) = live {
        pipe.record_mut().release = Some(record::Release { id: live.id.to_string(), ..record::Release::default() });
    }
    pipe.record_mut().root = site.path.to_str().map(str::to_owned);
    pipe.explain(format_args!("nothing to build: {why}"));
    pipe.set_section(&MkSection { source_digest: Some(digest), unchanged: Some(why), ..MkSection::default() });
    Ok(true)
}

/// The newest release of the same source decides; that an older one was bad is history.
fn judge<'a>(inventory: &'a Inventory, live: Option<&'a Manifest>, digest: &str) -> Known<'a> {
    let same = |manifest: &&Manifest| manifest.source_digest.as_deref() == Some(digest);
    match inventory.releases.iter().rev().find(same) {
        Some(newest) if inventory.history.verdict(newest.seq) == Verdict::Bad => Known::Bad(newest),
        _ => live.filter(same).map_or(Known::New, Known::Live),
    }
}

fn content(pipe: &Pipe, request: &Request, source: &Source, root: &Root) -> Result<Content> {
    match source {
        Source::Directory { path, dir } => {
            let now = pipe.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let cache = Cache::read(root.state(), path, i64::try_from(now).unwrap_or(i64::MAX));
            let (exclude, meter) = (build::exclude(request)?, Meter::default());
            let entries = Entries::new(root.state().open_beneath("".as_ref())?);
            let pass = Rehash {
                top: dir,
                exclude: &exclude,
                entries: &entries,
                cache: Some(&cache),
                meter: &meter,
                user: Some(metadata::user()),
            };
            pass.run(|| watch::look(pipe))?;
            if !pipe.dry_run() {
                cache.write(root.state(), path)?;
            }
            Content::of_entries(&entries)
        }
        Source::File { name, file, .. } => Ok(Content::File(digest(file, pipe)?, name.clone())),
        Source::Archive { file, .. } => Ok(Content::Archive(digest(file, pipe)?)),
        Source::Git(git) => Ok(Content::Revision(git.commit(root.state(), pipe)?.revision.clone())),
    }
}

fn digest(file: &std::fs::File, pipe: &Pipe) -> Result<crate::content::Sha> {
    let size = u64::try_from(fstat(file).context("look at the source")?.st_size).unwrap_or(0);
    let job = Job { from: file, to: None, size, sparse: false, reflink: &AtomicBool::new(false), meter: None };
    let hashed = Copier::default().copy(&job, &|| watch::look(pipe).is_err());
    // Why it was stopped, if it was.
    watch::look(pipe)?;
    hashed.map_err(|fault| anyhow::anyhow!("read the source: {fault:?}"))
}
