//! What a build will do, decided from what was found and before anything is written. Reads and writes nothing.

use std::path::PathBuf;

use anyhow::{Result, bail};
use record::{Exit, Failure};

use crate::environment::Lack;
use crate::progress::size;
use crate::request::{Request, Share, Step};
use crate::source::survey::Survey;

/// What was found before the build.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// What the source holds; `None` when that shows only while it is read.
    pub(crate) survey: Option<Survey>,
    /// What stands under each path of `shared/` that is to be linked, in the order of the request.
    pub(crate) shared: Vec<SharedState>,
    /// Variables that are missing, or files that are.
    pub(crate) missing_variables: Vec<Lack>,
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
        format!("{}{bytes}", record::counted(survey.files, "file", "files"))
    });
    if let Some(id) = &request.resume {
        let reason = "its source is read again only if it was not whole yet";
        plan.steps.push(("go on", format!("with the tree of {id}"), Some(reason.into())));
    } else {
        plan.steps.push(("copy", request.from.display().to_string(), amount));
        for share in &request.share {
            plan.steps.push(("link", share.path.display().to_string(), Some("shared".into())));
        }
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
    let id = request.resume.as_ref().or(request.name.as_ref());
    plan.steps.push(("publish", id.map_or_else(|| "a new id".into(), ToString::to_string), None));
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
    let told: Vec<&str> = facts.missing_variables.iter().map(|lack| lack.what.as_str()).collect();
    let mut hints: Vec<&str> = Vec::new();
    for lack in &facts.missing_variables {
        if !hints.contains(&lack.hint.as_str()) {
            hints.push(&lack.hint);
        }
    }
    let message = format!("not configured: {}", told.join(", "));
    bail!(Failure::new(Exit::Failed, "mk.env", message).hint(hints.join("; ")))
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
            .hint("release-gc -n --keep-failed 0, with the same --root, makes room")
            .retryable()
    )
}

#[cfg(test)]
mod tests;
