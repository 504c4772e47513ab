//! What a build will do, decided from what was found and before anything is written. Reads and writes nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use record::{Exit, Failure};
use store::ReleaseId;

use crate::content::Sha;
use crate::progress::size;
use crate::source::archive::Limits;
use crate::source::survey::{Closeness, Survey};

/// What is asked for, checked as far as the command line alone can be.
#[derive(Debug)]
pub(crate) struct Request {
    /// The source as it was given.
    pub(crate) from: PathBuf,
    /// The branch, tag or commit of a git repository.
    pub(crate) reference: Option<String>,
    /// Whether its submodules are fetched and unpacked too.
    pub(crate) submodules: bool,
    /// The id that was asked for.
    pub(crate) name: Option<ReleaseId>,
    /// Patterns of what stays behind.
    pub(crate) exclude: Vec<String>,
    /// Commands that run in the tree, in order.
    pub(crate) steps: Vec<Step>,
    /// Patterns of what alone is kept of what was built.
    pub(crate) artifact: Vec<String>,
    /// The unfinished build to take up again.
    pub(crate) resume: Option<ReleaseId>,
    /// Whether to build only what is not live already.
    pub(crate) if_changed: bool,
    /// Whether to build although the same source made a bad release, or the live one.
    pub(crate) force: bool,
    /// Whether a source that made a bad release is passed over without failing.
    pub(crate) skip_bad: bool,
    /// What is linked to `shared/`.
    pub(crate) share: Vec<Share>,
    /// The mode of directories made in `shared/`.
    pub(crate) share_mode: u32,
    /// Their owner, `USER[:GROUP]`.
    pub(crate) share_owner: Option<String>,
    /// What must be configured.
    pub(crate) require_env: Vec<RequiredVariables>,
    /// The pin the release gets.
    pub(crate) hold: Option<Hold>,
    /// The file that tells id and source.
    pub(crate) stamp: Option<PathBuf>,
    /// Whether files that are as in the live release become links to it.
    pub(crate) link_unchanged: bool,
    /// Bytes that must stay free.
    pub(crate) min_free: u64,
    /// The digest the archive or file must have.
    pub(crate) sha256: Option<Sha>,
    /// How much an archive may unpack to.
    pub(crate) limits: Limits,
}

impl Request {
    /// How closely a directory is looked at before anything is written. Each look at a file is a part of the work of copying
    /// it, so files are looked at only where their sizes matter: for a limit, or where the room of the disk may not do
    /// (`room_is_plenty`). Where most of it will be links to what is live (`links`), even names would be a large part. What
    /// a closer look would have refused is then met by the copy.
    pub(crate) fn closeness(&self, links: bool, room_is_plenty: bool) -> Option<Closeness> {
        match self.limits {
            _ if self.limits.bytes.is_some() => Some(Closeness::Files),
            _ if links => self.limits.files.map(|_| Closeness::Names),
            _ if room_is_plenty => Some(Closeness::Names),
            _ => Some(Closeness::Files),
        }
    }
}

/// One path of the release that links into `shared/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// Within the release, and below `shared/`.
    pub(crate) path: PathBuf,
    /// A directory, made if missing; else a file that must exist.
    pub(crate) directory: bool,
}

/// A command that is part of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What the record calls it.
    pub(crate) name: String,
    /// For `/bin/sh -c`; never recorded.
    pub(crate) command: String,
}

/// Variables that a file must set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequiredVariables {
    /// Relative to the root, or absolute.
    pub(crate) file: PathBuf,
    /// Their names.
    pub(crate) names: Vec<String>,
}

/// The pin of a release that is kept for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    /// From now on.
    pub(crate) period: Duration,
    /// Why.
    pub(crate) reason: String,
}

/// What was found before the build.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// What the source holds; `None` when that shows only while it is read.
    pub(crate) survey: Option<Survey>,
    /// What stands under each path of `shared/` that is to be linked, in the order of the request.
    pub(crate) shared: Vec<SharedState>,
    /// Variables that are missing, as `FILE: NAME`, or files that are.
    pub(crate) missing_variables: Vec<String>,
    /// Room on the disk of the root.
    pub(crate) room: Option<Room>,
    /// Whether there is a live release whose files are linked to while the source is read, as `--link-unchanged` wants it:
    /// not where a step could write into them.
    pub(crate) links: bool,
}

/// What stands in `shared/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedState {
    /// Nothing.
    Missing,
    /// A regular file, or something else that can be read like one.
    File,
    /// A directory.
    Directory,
    /// A file that the root's owner may not read, so that no digest of it could be kept.
    Unreadable,
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes that may be used.
    pub(crate) bytes: u64,
    /// Files that may be made; `None` where the file system has no such limit.
    pub(crate) inodes: Option<u64>,
}

/// What will be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Each step for people: action, target, reason.
    pub(crate) steps: Vec<(&'static str, String, Option<String>)>,
    /// Directories of `shared/` to make.
    pub(crate) make_shared: Vec<PathBuf>,
    /// Files the source has, for the progress line.
    pub(crate) files: Option<u64>,
}

/// Checks everything that can be checked beforehand and says what will be done.
pub(crate) fn plan(request: &Request, facts: &Facts) -> Result<Plan> {
    refuse_equal_steps(request)?;
    refuse_missing_variables(facts)?;
    let make_shared = shared(request, facts)?;
    if let Some(survey) = &facts.survey {
        refuse_empty(request, survey)?;
        refuse_large(request, survey)?;
    }
    if let Some(room) = facts.room {
        refuse_full(request, facts, room)?;
    }
    let mut plan =
        Plan { files: facts.survey.as_ref().map(|survey| survey.files + survey.symlinks), ..Plan::default() };
    for path in &make_shared {
        plan.steps.push(("make", format!("shared/{}", path.display()), None));
    }
    let amount = facts.survey.as_ref().map(|survey| {
        let bytes = survey.sizes.map_or_else(String::new, |sizes| format!(", {}", size(sizes.bytes)));
        format!("{} files{bytes}", survey.files)
    });
    plan.steps.push(("copy", request.from.display().to_string(), amount));
    for share in &request.share {
        plan.steps.push(("link", share.path.display().to_string(), Some("shared".into())));
    }
    for step in &request.steps {
        plan.steps.push(("run", format!("step {}", step.name), None));
    }
    for pattern in &request.artifact {
        plan.steps.push(("keep", pattern.clone(), Some("artifact".into())));
    }
    if let Some(stamp) = &request.stamp {
        plan.steps.push(("stamp", stamp.display().to_string(), None));
    }
    plan.steps.push(("publish", request.name.as_ref().map_or_else(|| "a new id".into(), ToString::to_string), None));
    if let Some(hold) = &request.hold {
        plan.steps.push(("pin", format!("for {} days", hold.period.as_secs() / 86_400), Some(hold.reason.clone())));
    }
    plan.make_shared = make_shared;
    Ok(plan)
}

/// Their logs would have one name.
fn refuse_equal_steps(request: &Request) -> Result<()> {
    let is_before = |(at, step): &(usize, &Step)| request.steps[..*at].iter().any(|other| other.name == step.name);
    match request.steps.iter().enumerate().find(is_before) {
        Some((_, step)) => {
            bail!(Failure::new(Exit::Usage, "usage", format!("there are two steps of the name {}", step.name)))
        }
        None => Ok(()),
    }
}

fn refuse_missing_variables(facts: &Facts) -> Result<()> {
    if facts.missing_variables.is_empty() {
        return Ok(());
    }
    bail!(
        Failure::new(Exit::Failed, "mk.env", format!("not configured: {}", facts.missing_variables.join(", ")))
            .hint("set each to a value that is not empty, then run again")
    )
}

fn shared(request: &Request, facts: &Facts) -> Result<Vec<PathBuf>> {
    let mut make = Vec::new();
    let mut problems = Vec::new();
    for (at, share) in request.share.iter().enumerate() {
        let path = share.path.display();
        let nested = |other: &Share| other.path != share.path && share.path.starts_with(&other.path);
        if request.share[..at].iter().any(|other| other.path == share.path) {
            problems.push(format!("{path} is given twice"));
        } else if let Some(other) = request.share.iter().find(|other| nested(other)) {
            problems.push(format!("{path} lies below {}, which is shared as a whole", other.path.display()));
        }
        if let Some(stamp) = &request.stamp
            && (stamp.starts_with(&share.path) || share.path.starts_with(stamp))
        {
            problems.push(format!("{path} is where the stamp {} is to be", stamp.display()));
        }
        match (facts.shared.get(at), share.directory) {
            (None | Some(SharedState::Missing), true) => make.push(share.path.clone()),
            (None | Some(SharedState::Missing), false) => problems.push(format!("shared/{path} is missing")),
            (Some(SharedState::Unreadable), _) => {
                problems
                    .push(format!("shared/{path} may not be read by the root's owner, so no digest of it can be kept"));
            }
            (Some(SharedState::File), true) => problems.push(format!("shared/{path} is a file, not a directory")),
            (Some(SharedState::Directory), false) => {
                problems.push(format!("shared/{path} is a directory, not a file: write --share {path}/"));
            }
            (Some(SharedState::File), false) | (Some(SharedState::Directory), true) => {}
        }
    }
    if problems.is_empty() {
        return Ok(make);
    }
    bail!(
        Failure::new(Exit::Failed, "mk.share", problems.join("; "))
            .hint("put the files in place first; with a trailing slash a missing directory is made")
    )
}

/// A source of which nothing would come to the release.
pub(crate) fn refuse_empty(request: &Request, survey: &Survey) -> Result<()> {
    if survey.files + survey.symlinks + survey.directories > 0 {
        return Ok(());
    }
    bail!(
        Failure::new(Exit::Failed, "mk.empty", format!("the source {} is empty", request.from.display()))
            .hint("a release without a file is nothing to switch to; check --from and --exclude")
    )
}

fn refuse_large(request: &Request, survey: &Survey) -> Result<()> {
    let entries = survey.files + survey.symlinks + survey.directories;
    let bytes = survey.sizes.map_or(0, |sizes| sizes.bytes);
    let problem = if let Some(most) = request.limits.bytes.filter(|most| bytes > *most) {
        format!("it has {} in its files, more than {}", size(bytes), size(most))
    } else if let Some(most) = request.limits.files.filter(|most| entries > *most) {
        format!("it has {entries} entries, more than {most}")
    } else {
        return Ok(());
    };
    bail!(
        Failure::new(Exit::Failed, "mk.limit", format!("the source {} is refused: {problem}", request.from.display()))
            .hint("raise --max-bytes or --max-files if it is meant to be so large")
    )
}

/// How much an archive holds shows only while it is read; how much of a tree will be links, or is there already since a
/// build is resumed, not before either. Then what is to stay free must at least be so now.
fn refuse_full(request: &Request, facts: &Facts, room: Room) -> Result<()> {
    let survey = facts.survey.as_ref().filter(|_| !facts.links && request.resume.is_none());
    let disk_bytes = survey.and_then(|survey| survey.sizes).map_or(0, |sizes| sizes.disk_bytes);
    let inodes = survey.map_or(0, |survey| survey.files + survey.symlinks + survey.directories);
    let needed = disk_bytes.saturating_add(request.min_free);
    let problem = if room.bytes < needed {
        let and =
            if request.min_free > 0 { format!(" and {} to stay free", size(request.min_free)) } else { String::new() };
        format!("{} is needed{and}, the disk has {}", size(disk_bytes), size(room.bytes))
    } else if room.inodes.is_some_and(|free| free < inodes) {
        format!("{inodes} files are to be made, the disk has inodes for {}", room.inodes.unwrap_or(0))
    } else {
        return Ok(());
    };
    bail!(
        Failure::new(Exit::Failed, "mk.space", format!("no room for the release: {problem}"))
            .hint("release-gc -n --root ROOT makes room")
            .retryable()
    )
}

#[cfg(test)]
pub(crate) mod tests;
