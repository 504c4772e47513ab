//! The switch itself, under the lock. Replaces the link on disk.

use std::time::SystemTime;

use anyhow::Context;
use dir::Name;
use record::{Exit, Failure, Pipe};
use store::history::{self, Change, StageTime};
use store::link::{self, Target};
use store::{Lock, Manifest, ReleaseId};

/// Who changes a link, and why.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// The pipe.
    pub(crate) pipe: String,
    /// The reason that the history keeps.
    pub(crate) reason: Option<String>,
    /// How long the stages before took.
    pub(crate) stages: Vec<StageTime>,
    /// When.
    pub(crate) at: SystemTime,
}

/// What the history keeps of a release beside its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Papers {
    seq: Option<u64>,
    digest: Option<String>,
}

impl Papers {
    /// Those of a release of ours.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self { seq: Some(manifest.seq), digest: Some(manifest.digest.clone()) }
    }
}

impl Author {
    /// This pipe, at the time it began.
    pub(crate) fn of(pipe: &Pipe, reason: Option<String>) -> Self {
        let record = pipe.record();
        Self { pipe: record.pipe.clone(), reason, stages: StageTime::of(record), at: pipe.now() }
    }

    fn change(&self, link: &Name, from: Option<ReleaseId>, to: &Papers, target: &Target) -> Change {
        Change {
            pipe: self.pipe.clone(),
            link: link.clone(),
            from,
            to: target.release.clone(),
            to_seq: to.seq,
            digest: to.digest.clone(),
            target: target.text().display().to_string(),
            reason: self.reason.clone(),
            stages: self.stages.clone(),
            at: self.at,
        }
    }

    /// The change that a verdict on `judged` is, in the history of `link`.
    pub(crate) fn verdict(&self, link: &Name, judged: &Manifest) -> Change {
        self.change(link, None, &Papers::of(judged), &Target::release(judged.id.clone()))
    }
}

/// Replaces `link`, which names `from`, by one to `target`, a release with the papers `to`: the intent, the link, the
/// end of the intent; durable when it returns. An error of status 1 means that the link is as it was.
pub(crate) fn replace(
    lock: &Lock<'_>,
    author: &Author,
    link: &Name,
    from: Option<ReleaseId>,
    to: &Papers,
    target: &Target,
) -> anyhow::Result<()> {
    let mut intent = Some(history::intent(lock, author.change(link, from, to, target))?);
    let note = || {
        let done = intent.take().map_or(Ok(()), |intent| history::done(lock, intent, author.at));
        done.context(
            Failure::new(
                Exit::Unrecorded,
                "switch.durability",
                format!("{link} was replaced, but the history does not say so yet"),
            )
            .hint("the next tool that takes the lock writes it; look at the disk"),
        )
    };
    let replaced = link::replace_noting(lock, link, target, note);
    // An intent that was not ended is one whose link was not replaced. Were the abort not written, the next one to take
    // the lock writes it: the link says what happened.
    if let (Err(error), Some(intent)) = (&replaced, intent)
        && let Err(unwritten) = history::abort(lock, intent, author.at)
    {
        return Err(unwritten).context(format!("{error:#}"));
    }
    replaced
}

/// Whether an error of [`replace`] says that the link was replaced all the same.
pub(crate) fn is_done(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.exit() == Exit::Unrecorded)
}
