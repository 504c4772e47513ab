//! `--adopt`: takes over a root that Capistrano, Deployer or commcare-cloud made. Writes manifests, listings, history
//! and pins; changes nothing in any release and no link.

mod logs;
mod plan;
mod read;
mod walk;

use std::io::BufWriter;
use std::path::Path;

use dir::Name;
use record::sections::{SwitchAdopted, SwitchSection};
use record::{Pipe, RootDir, Source, clock, host};
use store::adopt::Draft;
use store::history::{self, Change, Kind};
use store::link::Target;
use store::{Lock, Manifest, Pin, Root, manifest, pins};

use plan::{Adopted, Adoption, Event, EventKind, Layout, Owner};

/// Takes over what is there; done twice is done once.
pub(crate) fn adopt(pipe: &mut Pipe, reason: Option<&str>) -> anyhow::Result<()> {
    let (path, link, allow) = (pipe.root_path()?, pipe.link()?, pipe.options().allow_network_fs);
    store::link::check_name(&link)?;
    let rootdir = RootDir::open(&path, allow)?;
    let layout = read::layout(&rootdir, &link)?;
    if pipe.dry_run() {
        let adoption = plan::plan(&layout, false, pipe.now());
        for release in &adoption.releases {
            pipe.plan("adopt", release.id.to_string(), release.revision.clone());
            pipe.changed();
        }
        tell(pipe, rootdir.path(), &link, &layout, &adoption);
        return Ok(());
    }
    let (root, _) = Root::create(&path, allow)?;
    pipe.enter(rootdir);
    pipe.take_deploy_lock()?;
    let known = {
        let history = store::History::read(&root)?;
        history.activations(&link).any(|entry| entry.to_seq.is_some())
    };
    let adoption = plan::plan(&layout, known, pipe.now());
    let drafts = hash(pipe, &root, &adoption)?;
    let lock = root.lock_to_adopt(pipe.wait(), "release-switch")?;
    pipe.begin_effect()?;
    let manifests = publish(pipe, &lock, drafts)?;
    for (id, until, why) in &adoption.pins {
        if pins::read(&lock, id)?.is_none() {
            let (until, set_at) = (clock::rfc3339(*until), clock::rfc3339(pipe.now()));
            let pin = Pin { id: id.clone(), until, owner: host::user_name(), reason: why.clone(), set_at };
            pins::set(&lock, &pin)?;
        }
    }
    for event in &adoption.events {
        tell_history(pipe, &lock, &link, event, reason)?;
    }
    // Only now: what the links name is found as the last thing that happened.
    lock.settle()?;
    drop(lock);
    if !manifests.is_empty() || !adoption.events.is_empty() {
        pipe.changed();
    }
    tell(pipe, root.path(), &link, &layout, &adoption);
    if let Some(live) = &layout.live {
        let release = manifest::read(&root, live)?.map(|manifest| manifest.to_release(&root));
        pipe.record_mut().release = release;
    }
    Ok(())
}

/// Lists every release that has no manifest yet; minutes for large ones, so without any short lock.
fn hash<'a>(
    pipe: &mut Pipe,
    root: &Root,
    adoption: &'a Adoption,
) -> anyhow::Result<Vec<(&'a Adopted, Draft, Manifest)>> {
    let mut drafts = Vec::new();
    for release in &adoption.releases {
        let (draft, sum, others) = {
            let _acting = root.rootdir().act_as_owner()?;
            let draft = Draft::begin(root)?;
            let tree = root.releases().open_dir(&release.id)?;
            let mut others = Vec::new();
            let sum = walk::list(&tree, BufWriter::new(draft.file()), &mut others, |_| pipe.check_signals())?;
            (draft, sum, others)
        };
        for other in others {
            pipe.warn("adopt.not_listed", format!("{}/{other} is no file, directory or link: not listed", release.id));
        }
        pipe.explain(format!("{}: {} entries, {} bytes", release.id, sum.files, sum.bytes));
        let manifest = manifest_of(pipe, release, sum);
        drafts.push((release, draft, manifest));
    }
    Ok(drafts)
}

fn manifest_of(pipe: &Pipe, release: &Adopted, sum: store::listing::Sum) -> Manifest {
    let source = Source {
        kind: "adopted".into(),
        reference: release.reference.clone(),
        revision: release.revision.clone(),
        ..Source::default()
    };
    Manifest {
        id: release.id.clone(),
        // Given under the lock.
        seq: 0,
        digest: sum.digest,
        files: sum.files,
        bytes: sum.bytes,
        created_at: clock::rfc3339(release.created_at),
        source: Some(source),
        source_digest: None,
        shared: Vec::new(),
        pipe: Some(pipe.record().pipe.clone()),
        by: release.by.clone(),
        host: None,
        tool_version: Some(crate::TOOL.version.to_owned()),
    }
}

/// Writes listings and manifests, in the order of the releases.
fn publish(pipe: &Pipe, lock: &Lock<'_>, drafts: Vec<(&Adopted, Draft, Manifest)>) -> anyhow::Result<Vec<Manifest>> {
    let mut written = Vec::new();
    let mut seq = store::next_seq(lock)?;
    for (release, draft, unnumbered) in drafts {
        if manifest::read(lock, &release.id)?.is_some() {
            continue;
        }
        let manifest = Manifest { seq, ..unnumbered };
        draft.publish(lock, &manifest)?;
        pipe.say(format!("{} is a release now", manifest.id));
        written.push(manifest);
        seq += 1;
    }
    Ok(written)
}

fn tell_history(pipe: &Pipe, lock: &Lock<'_>, link: &Name, event: &Event, reason: Option<&str>) -> anyhow::Result<()> {
    let Some(manifest) = manifest::read(lock, &event.id)? else { return Ok(()) };
    let kind = match event.kind {
        EventKind::Live => Kind::Found,
        EventKind::Good => Kind::Good,
        EventKind::Bad => Kind::Bad,
    };
    let from = lock.history().current(link).cloned().filter(|_| event.kind == EventKind::Live);
    let told = Change {
        pipe: pipe.record().pipe.clone(),
        link: link.clone(),
        from,
        to: event.id.clone(),
        to_seq: Some(manifest.seq),
        digest: Some(manifest.digest),
        target: Target::release(event.id.clone()).text().display().to_string(),
        reason: Some(reason.unwrap_or("adopted").to_owned()),
        stages: Vec::new(),
        // A line of the future would look like a clock that went wrong.
        at: event.at.map_or_else(|| pipe.now(), |at| at.min(pipe.now())),
    };
    history::past(lock, told, kind, event.by.clone())
}

fn tell(pipe: &mut Pipe, root: &Path, link: &Name, layout: &Layout, adoption: &Adoption) {
    for doubt in &adoption.warnings {
        pipe.warn("adopt.pin", doubt.clone());
    }
    let activations = adoption.events.iter().filter(|event| event.kind == EventKind::Live).count();
    let adopted = SwitchAdopted {
        layout: Owner::name(layout.owner).to_owned(),
        releases: adoption.releases.iter().map(|release| release.id.to_string()).collect(),
        activations: activations as u64,
        pins: adoption.pins.len() as u64,
        strangers: layout.strangers.clone(),
    };
    pipe.say(format!(
        "{} layout: {}, {}, {} taken over",
        adopted.layout,
        record::counted(adopted.releases.len() as u64, "release", "releases"),
        record::counted(adopted.activations, "activation", "activations"),
        record::counted(adopted.pins, "pin", "pins")
    ));
    let live = layout.live.as_ref().map(ToString::to_string);
    let section = SwitchSection {
        link: Some(root.join(link).display().to_string()),
        to: live,
        adopted: Some(adopted),
        ..SwitchSection::default()
    };
    pipe.set_section(&section);
}
