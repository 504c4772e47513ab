//! From the request to the changed pin.

use anyhow::bail;
use record::sections::{PinOutcome, PinSection};
use record::{Exit, Failure, Pipe, RootDir};
use store::{PinState, ReleaseId, Root, manifest, pins};

use crate::cli::What;
use crate::plan::{Asker, Plan};
use crate::{TOOL, apply, plan};

/// Sets, changes or removes one pin.
pub(crate) fn pin(pipe: &mut Pipe, named: Option<&ReleaseId>, what: &What) -> anyhow::Result<()> {
    let id = release(pipe, named)?;
    let path = pipe.root_path()?;
    let allow = pipe.options().allow_network_fs;
    if pipe.dry_run() && pipe.has_input() && !path.exists() {
        // Earlier stages would have made the root.
        return say(pipe, &id, &decide(pipe, None, &id, what)?);
    }
    let root = Root::open(&path, allow)?;
    pipe.enter(RootDir::open(&path, allow)?);
    pipe.refuse_contradiction()?;
    if pipe.dry_run() {
        return say(pipe, &id, &decide(pipe, Some(&root), &id, what)?);
    }
    if pipe.has_input() {
        pipe.begin_effect()?;
    } else {
        // Alone it neither waits for a deploy, whose collection must honour the pin, nor replaces run.json, which
        // belongs to the pipe that may be held there.
        pipe.look_down()?;
        pipe.check_signals()?;
    }
    let lock = root.lock(pipe.wait(), TOOL.name)?;
    let plan = decide(pipe, Some(&root), &id, what)?;
    apply::apply(&lock, &id, &plan)?;
    drop(lock);
    if let Some(manifest) = manifest::read(&root, &id).ok().flatten().filter(|_| !pipe.has_input()) {
        pipe.record_mut().release = Some(manifest.to_release(&root));
    }
    say(pipe, &id, &plan)
}

fn release(pipe: &Pipe, named: Option<&ReleaseId>) -> anyhow::Result<ReleaseId> {
    if let Some(id) = named {
        return Ok(id.clone());
    }
    let Some(release) = &pipe.record().release else {
        let failure = if pipe.has_input() {
            Failure::new(Exit::InvalidInput, "input.release", "the record names no release")
        } else {
            Failure::new(Exit::Usage, "usage", "no release is given")
        };
        bail!(failure.hint("name it: release-pin ID …; release-ls lists releases"));
    };
    ReleaseId::new(release.id.as_str())
        .map_err(|e| Failure::new(Exit::InvalidInput, "input.release", format!("the record's release: {e}")).into())
}

fn decide(pipe: &Pipe, root: Option<&Root>, id: &ReleaseId, what: &What) -> anyhow::Result<Plan> {
    // In a dry run an earlier stage would have made the release.
    let is_expected = pipe.dry_run() && pipe.has_input();
    let former = match root {
        Some(root) => {
            if matches!(what, What::Set { .. }) && !is_expected {
                refuse_missing(root, id)?;
            }
            pins::read(root, id)?
        }
        None => None,
    };
    plan::plan(id, what, former, Asker { user: &record::host::user_name(), now: pipe.now() })
}

fn refuse_missing(root: &Root, id: &ReleaseId) -> anyhow::Result<()> {
    let has_tree = root.releases().stat_if_there(id)?.is_some_and(|stat| stat.kind() == dir::Kind::Directory);
    if has_tree && manifest::read(root, id)?.is_some() {
        return Ok(());
    }
    bail!(
        Failure::new(
            Exit::NoCandidate,
            "pin.no_release",
            format!("there is no release {id} in {}", root.path().display())
        )
        .hint(format!("release-ls --root {} lists releases", root.path().display()))
    )
}

fn say(pipe: &mut Pipe, id: &ReleaseId, plan: &Plan) -> anyhow::Result<()> {
    let now = pipe.now();
    let written = plan.pin.clone().map(PinState::Readable);
    let former = match &plan.former {
        Some(PinState::Readable(pin)) => Some(pin),
        _ => None,
    };
    let until = plan.pin.as_ref().map_or("", |pin| pin.until.as_str());
    let before = former.map_or_else(String::new, |pin| format!(", before until {} by {}", pin.until, pin.owner));
    let (verb, line) = match plan.outcome {
        PinOutcome::Set => ("pin", format!("{id} is kept until {until}")),
        PinOutcome::Extended => ("extend", format!("{id} is kept longer, until {until}{before}")),
        PinOutcome::Shortened => ("shorten", format!("{id} is kept less long, until {until}{before}")),
        PinOutcome::Removed => ("unpin", format!("{id} is no longer pinned{before}")),
        PinOutcome::Unchanged => ("nothing", format!("{id} was not pinned")),
    };
    if plan.outcome != PinOutcome::Unchanged {
        pipe.changed();
        if pipe.dry_run() {
            pipe.plan(verb, id.as_str(), former.map(|pin| format!("was until {}", pin.until)));
        }
    }
    pipe.say(if pipe.dry_run() { format!("would be: {line}") } else { line });
    pipe.set_section(&PinSection {
        outcome: Some(plan.outcome),
        pin: written.as_ref().or(plan.former.as_ref()).map(|state| plan::entry(id, state, now)),
        former_until_at: former.map(|pin| pin.until.clone()),
        former_owner: former.map(|pin| pin.owner.clone()),
        ..PinSection::default()
    });
    Ok(())
}
