//! From an opened source to a complete tree in staging, with its listing, durable.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use dir::{Dir, Kind};
use nix::fcntl::OFlag;
use record::clock::milliseconds;
use record::sections::MkSection;
use record::{Exit, Failure, Pipe, clock};
use store::listing::{Sum, What, Writer, hex};
use store::staging::Staging;
use store::{Root, both};

use crate::apply::how_to_resume;
use crate::content::Sha;
use crate::entries::Entries;
use crate::exclude::Exclude;
use crate::fingerprint::{Content, source_digest};
use crate::leaving::Leaving;
use crate::plan::{Plan, refuse_empty};
use crate::progress::{Line, Meter};
use crate::rehash::Rehash;
use crate::request::Request;
use crate::source::Source;
use crate::source::archive::refuse;
use crate::source::fill::Fill;
use crate::source::survey::{Closeness, Survey};
use crate::state::{State, filled_by};
use crate::unchanged::{LINKS, Previous, link_again};
use crate::{artifact, early, identity, share, stamp, steps, watch};

/// The name of the listing within a build.
pub(crate) const LISTING: &str = "listing";

/// What a build has besides its request.
pub(crate) struct Build<'a> {
    /// What is asked for.
    pub(crate) request: &'a Request,
    /// What was decided.
    pub(crate) plan: &'a Plan,
    /// The root it is for.
    pub(crate) root: &'a Root,
    /// Where it happens.
    pub(crate) staging: &'a Staging,
    /// The live release, for `--link-unchanged`.
    pub(crate) previous: Option<Previous>,
}

/// A tree that is complete and durable.
pub(crate) struct Built {
    /// What its listing adds up to.
    pub(crate) sum: Sum,
    /// What it was made from.
    pub(crate) state: State,
    /// What of a directory leads out of it.
    pub(crate) leaving: Leaving,
    /// Whether a repository's own directory is in it.
    pub(crate) has_git: bool,
}

impl Build<'_> {
    /// Fills the tree, runs the steps, writes the listing and waits until all is on the disk. Stops between two files,
    /// or in a step, when a later stage is gone or a signal came.
    pub(crate) fn run(&self, pipe: &Pipe, source: &Source, section: &mut MkSection) -> Result<Built> {
        let entries = self.entries()?;
        let earlier = if self.request.resume.is_some() { State::read(&self.staging.dir)? } else { None };
        section.resumed = self.request.resume.is_some();
        let mut leaving = Leaving::default();
        let (mut state, listed) = match earlier {
            Some(state) => {
                section.staging = Some(self.staging.dir.path().display().to_string());
                refuse_other_options(&state, source, self.request)?;
                let id = &self.staging.id;
                pipe.say(format_args!("going on with {id} as its source was when it was begun; it is not read again"));
                (state, None)
            }
            None => self.begin(pipe, source, &entries, &mut leaving, section)?,
        };
        section.source_files = Some(state.source_files);
        section.source_bytes = Some(state.source_bytes);
        section.source_digest = source_digest_of(&state, self.request);
        let has_steps = !self.request.steps.is_empty() || section.resumed;
        if state.finished(&self.request.steps) < self.request.steps.len() {
            refuse_linked(self.staging)?;
        }
        if has_steps {
            section.staging = Some(self.staging.dir.path().display().to_string());
            let environment = self.environment(&state);
            let hint = how_to_resume(self.root, &self.staging.id);
            steps::run(&self.request.steps, self.staging, &mut state, &environment, pipe, &mut section.steps, &hint)?;
        }
        if !self.request.artifact.is_empty() {
            artifact::keep_only(&self.staging.tree, &self.request.artifact, &self.added())?;
        }
        let entries = if has_steps || !self.request.artifact.is_empty() { self.rehash(pipe)? } else { entries };
        if let Some(previous) = self.previous.as_ref().filter(|_| !self.request.steps.is_empty()) {
            let mut tick = || watch::look(pipe);
            section.linked_files = Some(link_again(previous, self.staging, &entries, &mut tick)?);
        }
        let syncing = Instant::now();
        let sum = match listed.filter(|_| self.is_as_copied()) {
            Some(sum) => self.staging.dir.sync_file_system().map(|()| sum).context("make the tree durable")?,
            None => self.settle(&entries)?,
        };
        section.sync_ms = Some(milliseconds(syncing.elapsed()));
        if sum.files == 0 {
            return Err(Failure::new(Exit::Failed, "mk.empty", "nothing is left of the release after its steps")
                .hint("the last step must leave what the release is to hold")
                .into());
        }
        watch::look(pipe)?;
        let has_git = self.staging.tree.stat_if_there(".git")?.is_some_and(|git| git.kind() == Kind::Directory);
        Ok(Built { sum, state, leaving, has_git })
    }

    /// Whether nothing was to be done with the tree once its source was in it.
    fn is_as_copied(&self) -> bool {
        let Request { steps, artifact, share, stamp, .. } = self.request;
        steps.is_empty() && artifact.is_empty() && share.is_empty() && stamp.is_none()
    }

    /// From an empty tree to one that holds the source and what is added to it. Also what the listing of the source
    /// adds up to, where it is what identifies the source.
    fn begin(
        &self,
        pipe: &Pipe,
        source: &Source,
        entries: &Entries,
        leaving: &mut Leaving,
        section: &mut MkSection,
    ) -> Result<(State, Option<Sum>)> {
        let began = Instant::now();
        if self.request.resume.is_some() {
            // Killed before its source was whole: nothing tells which files are.
            artifact::clear(&self.staging.tree)?;
        }
        let meter = Meter::default();
        let (sha256, listed) = early::syncing(&self.staging.dir, &meter, self.plan.files, |complete| {
            let filled = self.fill(pipe, source, entries, &meter);
            if filled.as_ref().map_or_else(is_of_the_source, |_| entries.is_empty()) {
                self.survey_late(pipe, source)?;
            }
            let sha256 = filled?;
            self.refuse_other(source, sha256)?;
            complete();
            let is_directory = matches!(source, Source::Directory { .. });
            let mut look = |path: &[u8], what: &What| leaving.look(path, what);
            let listed = is_directory.then(|| self.write_listing(entries, &mut look)).transpose()?;
            Ok((sha256, listed))
        })?;
        let content = match (source, sha256) {
            (Source::File { name, .. }, Some(sha256)) => Some(Content::File(sha256, name.clone())),
            (Source::Git(git), _) => Some(Content::Revision(git.commit(self.root.state(), pipe)?.revision.clone())),
            (_, Some(sha256)) => Some(Content::Archive(sha256)),
            (Source::Archive { .. }, None) => None,
            (_, None) => listed.as_ref().map(|sum| Content::Listing(sum.digest.clone())),
        };
        if self.request.steps.is_empty() {
            section.linked_files = self.previous.as_ref().map(|_| meter.linked_files());
        }
        entries.add(share::link(&self.request.share, &self.staging.tree)?)?;
        if let Some(path) = &self.request.stamp {
            let text = stamp::text(self.staging.id.as_str(), &clock::rfc3339(pipe.now()), &source.to_record());
            entries.add([stamp::write(&self.staging.tree, path, &text)?])?;
        }
        let state = State {
            source: source.to_record(),
            content,
            filled_by: filled_by(&source.to_record(), self.request),
            source_files: meter.files(),
            source_bytes: meter.bytes(),
            done: Vec::new(),
        };
        if !self.request.steps.is_empty() {
            // Who resumes after a power cut relies on what the state says of the tree.
            self.staging.dir.sync_file_system()?;
            state.write(&self.staging.dir)?;
        }
        section.source_ms = Some(milliseconds(began.elapsed()));
        Ok((state, listed))
    }

    fn fill(&self, pipe: &Pipe, source: &Source, entries: &Entries, meter: &Meter) -> Result<Option<Sha>> {
        let mut line = Line::new(pipe.options().quiet);
        let mut tick = || {
            line.show("copying", meter, self.plan.files);
            watch::look(pipe)
        };
        let exclude = exclude(self.request)?;
        let fill = Fill {
            to: &self.staging.tree,
            exclude: &exclude,
            // A step could write into what is shared with the live release: then it is linked when all have ended.
            previous: self.previous.as_ref().filter(|_| self.request.steps.is_empty()),
            limits: self.request.limits,
            entries,
            meter,
            root: self.root,
            hashed: self.request.sha256.is_some() || self.request.if_changed,
            remembers: self.request.link_unchanged,
            pipe,
        };
        fill.run(source, &mut tick)
    }

    /// Says what a closer survey beforehand would have refused, where the copy has failed or found nothing.
    fn survey_late(&self, pipe: &Pipe, source: &Source) -> Result<()> {
        let Source::Directory { dir, .. } = source else { return Ok(()) };
        let mut tick = || watch::look(pipe);
        let survey =
            Survey::of(dir, &exclude(self.request)?, Closeness::Files, Some(self.root.rootdir().dir()), &mut tick)?;
        refuse_empty(self.request, &survey)
    }

    fn refuse_other(&self, source: &Source, sha256: Option<Sha>) -> Result<()> {
        match (self.request.sha256, sha256) {
            (None, _) => Ok(()),
            (Some(expected), Some(found)) if expected == found => Ok(()),
            (Some(_), Some(found)) => {
                let message = format!("{} is refused: its SHA-256 digest is {}", source.title(), hex(&found));
                Err(refuse("archive.sha256", message).hint("it is not the one that --sha256 names").into())
            }
            (Some(_), None) => {
                Err(Failure::new(Exit::Usage, "usage", "--sha256 is for archives and single files").into())
            }
        }
    }

    /// What a step finds in its environment besides ours.
    fn environment(&self, state: &State) -> Vec<(&'static str, String)> {
        let id = &self.staging.id;
        let mut environment = identity::variables();
        environment.extend([
            ("RELEASE_ID", id.to_string()),
            ("RELEASE_ROOT", self.root.path().display().to_string()),
            ("RELEASE_STAGING", self.staging.tree.path().display().to_string()),
            ("RELEASE_PATH", self.root.release_path(id).display().to_string()),
        ]);
        let known = [("RELEASE_REF", &state.source.reference), ("RELEASE_REVISION", &state.source.revision)];
        environment.extend(known.into_iter().filter_map(|(key, value)| value.clone().map(|value| (key, value))));
        environment
    }

    /// What the build itself put into the tree.
    fn added(&self) -> Vec<PathBuf> {
        self.request.share.iter().map(|share| share.path.clone()).chain(self.request.stamp.clone()).collect()
    }

    /// Steps may have changed anything, so everything is read again.
    fn rehash(&self, pipe: &Pipe) -> Result<Entries> {
        let entries = self.entries()?;
        let meter = Meter::default();
        let mut line = Line::new(pipe.options().quiet);
        let exclude = Exclude::new(&[], Vec::new())?;
        let pass = Rehash {
            top: &self.staging.tree,
            exclude: &exclude,
            entries: &entries,
            cache: None,
            meter: &meter,
            user: None,
        };
        pass.run(|| {
            line.show("hashing", &meter, None);
            watch::look(pipe)
        })?;
        Ok(entries)
    }

    fn entries(&self) -> Result<Entries> {
        Ok(Entries::new(self.staging.dir.open_beneath("".as_ref())?))
    }

    /// Writes the listing while the disk already takes the tree: one sync of the file system, on a descriptor that
    /// was opened before the first write, since write errors are told once per open file.
    fn settle(&self, entries: &Entries) -> Result<Sum> {
        let dir: &Dir = &self.staging.dir;
        let (sum, synced) = both(|| self.write_listing(entries, &mut |_, _| ()), || dir.sync_file_system())?;
        synced.context("make the tree durable")?;
        sum
    }

    fn write_listing(&self, entries: &Entries, look: &mut dyn FnMut(&[u8], &What)) -> Result<Sum> {
        let file = self.staging.dir.open_file(LISTING, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC, 0o600)?;
        let mut writer = Writer::new(file);
        let put = |path: &[u8], what: &What| {
            look(path, what);
            Ok(writer.put(path, what)?)
        };
        entries.for_each(put).context("write the listing")?;
        Ok(writer.finish().context("write the listing")?.1)
    }
}

/// The digest of a source and of the options that are in force now, those of a resumed build too.
pub(crate) fn source_digest_of(state: &State, request: &Request) -> Option<String> {
    state.content.as_ref().map(|content| source_digest(content, request))
}

/// What filled the tree is not looked at again, so a release of other options would not be what was asked for.
fn refuse_other_options(state: &State, source: &Source, request: &Request) -> Result<()> {
    let other = |message: &str| Failure::new(Exit::Failed, "mk.other_options", message);
    if state.filled_by != filled_by(&source.to_record(), request) {
        bail!(
            other("the build was begun with another source or other options").hint(
                "--from, --ref, --submodules, --exclude, --share and --stamp must be as before; steps may be others"
            )
        )
    }
    match (request.sha256, &state.content) {
        (None, _) => Ok(()),
        (Some(expected), Some(Content::Archive(found) | Content::File(found, _))) if *found == expected => Ok(()),
        _ => bail!(other("the build was begun without this --sha256").hint("build anew, under another name")),
    }
}

/// A tree that shares files with the live release is complete: a step could write into both.
fn refuse_linked(staging: &Staging) -> Result<()> {
    if staging.dir.stat_if_there(LINKS)?.is_none() {
        return Ok(());
    }
    let message = "the build is complete and shares files with the live release: no further step can run in it";
    bail!(
        Failure::new(Exit::Failed, "mk.other_options", message)
            .hint("resume it with the steps it was begun with, or build anew under another name")
    )
}

/// Whether a survey may tell more than this error.
fn is_of_the_source(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| matches!(failure.code(), "mk.changed" | "mk.source"))
}

/// What of the source stays behind: what `--exclude` says, and what the build puts something else under.
pub(crate) fn exclude(request: &Request) -> Result<Exclude> {
    let shared = request.share.iter().map(|share| share.path.clone());
    let replaced: Vec<PathBuf> = shared.chain(request.stamp.clone()).collect();
    Exclude::new(&request.exclude, replaced)
}
