//! One collection from its record to its section.
//!
//! `run.json` is not written: a collection has nothing to take back, and run by a timer it must not
//! overwrite the record of a pipe that is held.

use anyhow::bail;
use record::sections::GcSection;
use record::{Exit, Failure, Pipe, RootDir};
use store::{Inventory, Root, debris, inventory};

use crate::apply::{self, Progress};
use crate::astray;
use crate::in_use::{self, Places};
use crate::plan::{self, Disk, Plan};
use crate::retention::Policy;

/// So many of what went are named without being asked.
const NAMED: usize = 10;

/// Collects what no rule keeps, or only plans that.
pub(crate) fn collect(pipe: &mut Pipe, policy: &Policy) -> anyhow::Result<()> {
    let (path, allow) = (pipe.root_path()?, pipe.options().allow_network_fs);
    let root = match Root::open(&path, allow) {
        // An earlier stage plans to make it.
        Err(e) if pipe.dry_run() && pipe.has_input() && is_no_root(&e) => {
            return tell_plan(pipe, None, &Plan::default());
        }
        opened => opened?,
    };
    pipe.enter(RootDir::open(&path, allow)?);
    pipe.refuse_contradiction()?;
    if pipe.dry_run() {
        let plan = decide(pipe, &root, &inventory::read(&root)?, policy, 0)?;
        return tell_plan(pipe, Some(&root), &plan);
    }
    pipe.take_deploy_lock()?;
    let mut progress = Progress::default();
    let mut plan = move_away(pipe, &root, policy, &mut progress)?;
    // Nobody who switches waits for the deletion.
    pipe.free_deploy_lock();
    let interrupts = pipe.interrupts();
    let (deleted, in_trash) = apply::empty_trash(&root, &|| interrupts.pending().is_some())?;
    if progress.count() as u64 + progress.debris + deleted.entries > 0 {
        pipe.changed();
    }
    for id in &progress.missing {
        let what = debris::told_missing(id);
        pipe.warn("gc.missing", format!("{what}: put it back, or take the pin away with release-pin {id} --remove"));
    }
    progress.add_to(&mut plan);
    let mut section = plan.to_section();
    section.freed_bytes = deleted.freed_bytes;
    section.counts.debris_removed = progress.debris;
    section.left = progress.left.into_iter().chain(in_trash).collect();
    section.counts.left = section.left.len() as u64 + deleted.left.saturating_sub(deleted.named.len() as u64);
    if policy.min_free.is_some() {
        section.free_bytes = Some(disk(&root)?.free_bytes);
    }
    tell(pipe, &section);
    warn_about_space(pipe, &plan);
    pipe.set_section(&section);
    if deleted.stopped {
        // What was not reached is in the trash or where it was, for the next collection.
        pipe.check_signals()?;
    }
    fail_or_warn(pipe, &section, policy)
}

/// Moves what goes to the trash, some at a time: whoever wants the lock gets it in between, and what is done then
/// counts, because each time everything is read and decided anew. The last plan.
fn move_away(pipe: &mut Pipe, root: &Root, policy: &Policy, progress: &mut Progress) -> anyhow::Result<Plan> {
    loop {
        let lock = root.lock(pipe.wait(), "release-gc")?;
        let left_to_go = policy.max_delete.map(|most| most.saturating_sub(progress.count()));
        let policy = Policy { max_delete: left_to_go, ..policy.clone() };
        let mut plan = decide(pipe, root, &inventory::read_locked(&lock)?, &policy, progress.bytes())?;
        if progress.count() == 0 {
            pipe.look_down()?;
            pipe.check_signals()?;
            apply::remove_debris(&lock, pipe.now(), progress)?;
        }
        let has_more = apply::move_away(&lock, &mut plan, progress)?;
        if !has_more || pipe.interrupts().pending().is_some() {
            return Ok(plan);
        }
    }
}

/// Decides with what is there now; `moved_bytes` in the trash are as good as free.
fn decide(pipe: &Pipe, root: &Root, inventory: &Inventory, policy: &Policy, moved_bytes: u64) -> anyhow::Result<Plan> {
    let unclear = match plan::unclear(inventory, pipe.now()) {
        None => astray::first(root, inventory)?,
        unclear => unclear,
    };
    if let Some(why) = unclear {
        bail!(
            Failure::new(Exit::Failed, "gc.unclear", format!("nothing is collected, as something is unclear: {why}"))
                .hint(format!("release-ls --root {} shows what is there; put that right first", root.path().display()))
        );
    }
    let builds: Vec<String> = inventory.staging.iter().map(|build| build.name.clone()).collect();
    let ids = inventory.releases.iter().map(|manifest| &manifest.id);
    let in_use = in_use::scan(&Places::of(root, ids, &builds))?;
    let disk = disk(root)?;
    let disk = Disk { free_bytes: disk.free_bytes.saturating_add(moved_bytes), ..disk };
    Ok(plan::plan(inventory, policy, &in_use, disk, pipe.now()))
}

fn is_no_root(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| matches!(failure.code(), "root.missing" | "root.empty"))
}

fn disk(root: &Root) -> anyhow::Result<Disk> {
    let found = rustix::fs::fstatvfs(root.dir())?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Disk { free_bytes: bytes(found.f_bavail), size_bytes: bytes(found.f_blocks) })
}

fn tell_plan(pipe: &mut Pipe, root: Option<&Root>, plan: &Plan) -> anyhow::Result<()> {
    let section = plan.to_section();
    for removed in &section.removed {
        pipe.say(format!("would remove {}: {}", removed.id, removed.reason));
        pipe.plan("remove", removed.id.clone(), Some(removed.reason.clone()));
    }
    for build in section.builds.iter().filter(|build| build.removed) {
        pipe.say(format!("would remove the build {}: {}", build.name, build.reason));
        pipe.plan("remove_build", build.name.clone(), Some(build.reason.clone()));
    }
    for name in root.map(store::trash::list).transpose()?.into_iter().flatten() {
        pipe.plan("delete", format!(".cutover/trash/{name}"), Some("left by an earlier collection".into()));
    }
    explain(pipe, &section);
    if section.counts.removed + section.counts.builds_removed > 0 {
        pipe.changed();
    }
    pipe.say(format!("would keep {}, remove {}", section.counts.kept, section.counts.removed));
    warn_about_space(pipe, plan);
    pipe.set_section(&section);
    Ok(())
}

fn tell(pipe: &Pipe, section: &GcSection) {
    explain(pipe, section);
    let counts = &section.counts;
    for removed in section.removed.iter().take(NAMED) {
        pipe.say(format!("removed {}: {}", removed.id, removed.reason));
    }
    for removed in section.removed.iter().skip(NAMED) {
        pipe.explain(format!("removed {}: {}", removed.id, removed.reason));
    }
    if counts.removed > NAMED as u64 {
        pipe.say(format!("and {} more, which -v names", counts.removed - NAMED as u64));
    }
    pipe.say(format!("kept {}, removed {}, freed {}", counts.kept, counts.removed, size(section.freed_bytes)));
}

/// What is left fails a collection that stands alone or is strict; behind a deploy it is a warning.
fn fail_or_warn(pipe: &mut Pipe, section: &GcSection, policy: &Policy) -> anyhow::Result<()> {
    let Some(first) = section.left.first() else { return Ok(()) };
    let count = record::counted(section.counts.left, "entry", "entries");
    let message = format!("{count} could not be removed, the first is {}: {}", first.path, first.reason);
    if pipe.has_input() && !policy.strict {
        pipe.warn("gc.left", message);
        return Ok(());
    }
    bail!(Failure::new(Exit::Failed, "gc.left", message).hint("the next collection tries again").retryable())
}

fn warn_about_space(pipe: &mut Pipe, plan: &Plan) {
    if plan.missing_bytes > 0 {
        let missing = size(plan.missing_bytes);
        pipe.warn("gc.min_free", format!("{missing} short of --min-free, and every release that stays is protected"));
    }
}

fn explain(pipe: &Pipe, section: &GcSection) {
    for kept in &section.kept {
        let reasons: Vec<&str> = kept.reasons.iter().map(|reason| reason.detail.as_str()).collect();
        pipe.explain(format!("{} stays: {}", kept.id, reasons.join("; ")));
    }
    for build in section.builds.iter().filter(|build| !build.removed) {
        pipe.explain(format!("the build {} stays: {}", build.name, build.reason));
    }
    for stranger in &section.strangers {
        pipe.explain(format!("releases/{} is left alone: {}", stranger.name, stranger.reason));
    }
    if section.unseen_processes > 0 {
        pipe.explain(format!("{} processes may not be looked at", section.unseen_processes));
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes >> 20) % 1024 * 10 / 1024),
    }
}
