//! A switch from its record to its section: reads, decides, applies.

use std::cell::RefCell;
use std::path::Path;

use anyhow::bail;
use dir::Name;
use record::sections::SwitchSection;
use record::{Exit, Failure, Pipe, RootDir, RunFile};
use store::{History, Manifest, ReleaseId, Root, history, link};

use crate::apply::{self, Author, Papers};
use crate::cli::{Switch, Target};
use crate::plan::{self, Plan, Situation, Wish};
use crate::{read, undo};

/// Replaces the link as it is asked for, or only plans that.
pub(crate) fn switch(pipe: &mut Pipe, asked: &Switch, reason: Option<&str>) -> anyhow::Result<()> {
    refuse_without_target(pipe, asked)?;
    let (path, link) = (pipe.root_path()?, pipe.link()?);
    link::check_name(&link)?;
    let allow = pipe.options().allow_network_fs;
    let root = match Root::open(&path, allow) {
        Err(e) if pipe.dry_run() && pipe.has_input() && undo::is_no_root(&e) => {
            return first_of_all(pipe, &path, &link);
        }
        opened => opened?,
    };
    pipe.enter(RootDir::open(&path, allow)?);
    if pipe.dry_run() {
        let history = History::read(&root)?.settled(&root)?;
        let plan = decide(pipe, &root, &history, &link, asked)?;
        tell(pipe, &root, &link, &plan, reason);
        let from = plan.from.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        if plan.changed {
            pipe.plan(
                "switch",
                root.path().join(&link).display().to_string(),
                Some(format!("from {from} to {}", plan.to.release)),
            );
            pipe.changed();
        }
        foretell(pipe, &link, &plan);
        warn(pipe, &root, &plan, asked);
        return fill(pipe, &root, &plan, asked);
    }
    if matches!(asked.target, Target::Previous) {
        pipe.go_back();
    }
    pipe.take_deploy_lock()?;
    let overtakes = refuse_while_held(pipe, asked)?;
    let plan = {
        let lock = root.lock(pipe.wait(), "release-switch")?;
        let plan = decide(pipe, &root, &lock.history(), &link, asked)?;
        tell(pipe, &root, &link, &plan, reason);
        fill(pipe, &root, &plan, asked)?;
        if plan.changed {
            let to = present(&root, &plan.to.release)?;
            pipe.begin_effect()?;
            let author = Author::of(pipe, reason.map(str::to_owned));
            if let Some(condemned) = &plan.condemned
                // A release whose manifest cannot be read is left all the same.
                && let Ok(Some(manifest)) = read::whole(&root, condemned)
            {
                // Before the link: killed in between, a second rollback must not come back to this one.
                history::bad(&lock, author.verdict(&link, &manifest))?;
            }
            let replaced = apply::replace(&lock, &author, &link, plan.from.clone(), &Papers::of(&to), &plan.to);
            if replaced.as_ref().err().is_none_or(apply::is_done) {
                pipe.changed();
            }
            replaced?;
        } else if overtakes {
            // Nothing to switch, and all the same nobody is to promote what was held.
            pipe.progress()?;
        }
        plan
    };
    report(pipe, &link, &plan);
    warn(pipe, &root, &plan, asked);
    Ok(())
}

/// A dry run's plan where release-mk has yet to make the root.
fn first_of_all(pipe: &mut Pipe, root: &Path, link: &Name) -> anyhow::Result<()> {
    let to = pipe.record().release.as_ref().map(|release| release.id.clone());
    let path = root.join(link).display().to_string();
    pipe.set_section(&SwitchSection { link: Some(path.clone()), to: to.clone(), ..SwitchSection::default() });
    pipe.say(format!("would switch {link} to {}", to.as_deref().unwrap_or("the release that is made")));
    pipe.plan("switch", path, to.map(|to| format!("from nothing to {to}")));
    pipe.changed();
    Ok(())
}

fn refuse_without_target(pipe: &Pipe, asked: &Switch) -> anyhow::Result<()> {
    if matches!(asked.target, Target::Record) && !pipe.has_input() {
        bail!(
            Failure::new(
                Exit::Usage,
                "usage",
                "nothing says which release: pipe release-mk's record in, name one with --to ID, or go back with --rollback"
            )
            .hint("release-mk --root /srv/shop --from build/ | release-switch     (release-switch --help has more)")
        );
    }
    Ok(())
}

/// 75 while another pipe waits for its promotion, unless it is overtaken on purpose; whether it is. Under the deploy lock.
fn refuse_while_held(pipe: &mut Pipe, asked: &Switch) -> anyhow::Result<bool> {
    let path = pipe.root_path()?;
    let root = RootDir::open(&path, pipe.options().allow_network_fs)?;
    let Some(run) = RunFile::of(&root)?.read()?.filter(|run| run.held && run.pipe != pipe.record().pipe) else {
        return Ok(false);
    };
    let since = run.stages.last().map_or("an unknown time", |stage| stage.started_at.as_str());
    let of = run.release.as_ref().map_or_else(String::new, |release| format!(" of {}", release.id));
    let message = format!("the deploy{of} on {} is held since {since} and waits for its promotion", run.host);
    if asked.supersede {
        pipe.overtake_hold();
        pipe.warn("superseded", format!("{message}; it is overtaken now and can no longer be promoted"));
        return Ok(true);
    }
    bail!(
        Failure::new(Exit::Busy, "held", message)
            .hint(
                "promote it with svc-restart --promote FILE, end it with --abort FILE, or overtake it with --supersede"
            )
            .retryable()
    )
}

fn decide(pipe: &Pipe, root: &Root, history: &History, link: &Name, asked: &Switch) -> anyhow::Result<Plan> {
    let wish = read::wish(pipe, root, asked, history)?;
    let now = link::read(root, link)?.link(root, link)?;
    let unknown = RefCell::new(None);
    let present = |id: &ReleaseId, seq: u64| match read::whole(root, id) {
        Ok(manifest) => manifest.is_some_and(|manifest| manifest.seq == seq),
        Err(error) => {
            if read::may_be_whole(&error) {
                unknown.borrow_mut().get_or_insert(error);
            }
            false
        }
    };
    let situation = Situation { root: root.path(), link, now: now.as_ref(), history, present: &present };
    let plan = plan::plan(&situation, &wish, asked.expect.as_ref());
    // Nor must a line that does not read: the release it is about may be the one to go back to.
    if let (Wish::Previous, Some(problem), Ok(plan)) = (&wish, history.problems.first(), &plan) {
        let (root, to) = (root.path().display(), &plan.to.release);
        bail!(
            Failure::new(Exit::Failed, "switch.unknown", format!("what was live before cannot be told: {problem}"))
                .hint(format!(
                    "what reads of it leads to {to}: release-switch --root {root} --to {to}, if that is right"
                ))
        );
    }
    // A disk that did not answer must not send a rollback further back than asked.
    match unknown.take() {
        Some(error) => Err(error.context(
            Failure::new(Exit::Failed, "switch.unknown", "whether the release to go back to is there cannot be told")
                .hint("try again, or name a release with --to ID"),
        )),
        None => plan.map_err(|refusal| match history.last_live(link) {
            Some(was) if now.is_none() && refusal.code() == "switch.no_candidate" => refusal
                .hint(format!("release-switch --root {} --to {was} puts the link back", root.path().display()))
                .into(),
            _ => refusal.into(),
        }),
    }
}

fn present(root: &Root, id: &ReleaseId) -> anyhow::Result<Manifest> {
    read::whole(root, id)?.ok_or_else(|| {
        Failure::new(Exit::NoCandidate, "switch.no_release", format!("the release {id} went away in this moment"))
            .into()
    })
}

/// The section, as it stands in run.json too.
fn tell(pipe: &mut Pipe, root: &Root, link: &Name, plan: &Plan, reason: Option<&str>) {
    pipe.set_section(&SwitchSection {
        link: Some(root.path().join(link).display().to_string()),
        from: plan.from.as_ref().map(ToString::to_string),
        to: Some(plan.to.release.to_string()),
        target: plan.to.inside.as_ref().map(|_| plan.to.text().display().to_string()),
        reason: reason.map(str::to_owned),
        marked_bad: plan.condemned.as_ref().map(ToString::to_string),
        ..SwitchSection::default()
    });
}

/// A tool that begins a pipe says which release it is about.
fn fill(pipe: &mut Pipe, root: &Root, plan: &Plan, asked: &Switch) -> anyhow::Result<()> {
    if matches!(asked.target, Target::Record) {
        return Ok(());
    }
    if pipe.dry_run() {
        pipe.record_mut().release = Some(record::Release { id: plan.to.release.to_string(), ..Default::default() });
        return Ok(());
    }
    let release = present(root, &plan.to.release)?.to_release(root);
    pipe.record_mut().release = Some(release);
    Ok(())
}

/// What a dry run says to people.
fn foretell(pipe: &mut Pipe, link: &Name, plan: &Plan) {
    let to = &plan.to.release;
    match (&plan.from, plan.changed) {
        (_, false) => pipe.say(format!("{link} names {to} already")),
        (None, true) => pipe.say(format!("would switch {link} to {to}")),
        (Some(from), true) => pipe.say(format!("would switch {link} from {from} to {to}")),
    }
    if let Some(condemned) = &plan.condemned {
        pipe.say(format!("would mark {condemned} as bad"));
    }
}

/// What people read.
fn report(pipe: &mut Pipe, link: &Name, plan: &Plan) {
    let to = &plan.to.release;
    match (&plan.from, plan.changed) {
        (_, false) => pipe.say(format!("{link} names {to} already")),
        (None, true) => pipe.say(format!("{link} -> {to}")),
        (Some(from), true) => pipe.say(format!("{link}: {from} -> {to}")),
    }
    if let Some(condemned) = &plan.condemned {
        pipe.say(format!("{condemned} is marked bad"));
    }
}

/// What people should know of an older release.
fn warn(pipe: &mut Pipe, root: &Root, plan: &Plan, asked: &Switch) {
    let to = &plan.to.release;
    if plan.to_bad {
        pipe.warn("switch.bad", format!("{to} is marked bad in the history"));
    }
    if plan.left_by_hand {
        let message = format!("{to} had been left by hand, and is not marked bad: --to ID goes elsewhere");
        pipe.warn("switch.left_by_hand", message);
    }
    if let [first, others @ ..] = &*plan.passed_over {
        let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
        let message =
            format!("{first}{more} would have come before {to}, but is not there any more, or has no manifest");
        pipe.warn("switch.passed_over", message);
    }
    if !matches!(asked.target, Target::Record) {
        read::warn_of_configuration(pipe, root, to);
    }
}
