//! A pipe that waits for a person after its first batch, and what the person decides.

use std::path::Path;

use anyhow::{Context, Result, bail};
use record::sections::{RestartHold, RestartOutcome, RestartSection};
use record::{Exit, Failure, Pipe, Record, RunFile, clock};

use crate::act;
use crate::instance::Instance;
use crate::managers::Act;
use crate::request::{Hold, Mode, Order, Request};
use crate::wanted::Via;

const OWN: &str = "svc-restart";

/// Holds the pipe: later stages do nothing, and everything exits with 6.
pub(crate) fn hold(pipe: &mut Pipe, section: &mut RestartSection, order: &Order) {
    let until_at = match order.hold {
        Hold::After { at_most: Some(at_most) } => Some(act::later(pipe, pipe.elapsed() + at_most)),
        _ => None,
    };
    let until = until_at.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
    section.hold = Some(RestartHold { held_at: act::later(pipe, pipe.elapsed()), until_at });
    pipe.hold();
    pipe.say(format_args!(
        "held{until}: {} done, {} untouched; go on with --promote FILE, go back with --abort FILE, where FILE has this record",
        section.counts.done, section.counts.untouched
    ));
}

/// Goes on with a held record, from the first batch that was not taken.
pub(crate) fn promote(pipe: &mut Pipe, request: &Request, file: &Path) -> Result<()> {
    let (section, held) = take_over(pipe, file)?;
    let hold = section.hold.clone().unwrap_or_default();
    if let Some(until) = &hold.until_at
        && clock::parse_rfc3339(until).is_some_and(|until| pipe.now() > until)
    {
        bail!(Failure::new(Exit::Busy, "held.expired", format!("the hold ended at {until}")).hint(format!(
            "take it back: svc-restart --abort {} | release-switch --undo | svc-restart --undo …",
            file.display()
        )));
    }
    if request.order.gate.is_none() && !section.gates.is_empty() {
        bail!(
            Failure::new(Exit::Usage, "usage", "the first batch had a gate, and none is given for the others")
                .hint("give --gate again: commands are not kept in records")
        );
    }
    adopt(pipe, held);
    pipe.refuse_contradiction()?;
    let (_, request) = request.with(pipe.record())?;
    let mut wanted = request.wanted.clone();
    wanted.via = wanted.via.or_else(|| Via::of(&section.via));
    wanted.act = wanted.act.or_else(|| act_of(&section.action));
    let names = left(&section)?;
    if wanted.via.map(Via::word) != Some(section.via.as_str()) {
        bail!(Failure::new(Exit::InvalidInput, "input.via", format!("the held run is one of {}", section.via)));
    }
    wanted.check(&names).map_err(|why| Failure::new(Exit::Usage, "usage", why))?;
    let request = Request { mode: Mode::Act, names: Vec::new(), wanted, order: request.order };
    let service = request.service(pipe)?;
    // From here on it is held no more, even if there is nothing left to do.
    pipe.begin_effect()?;
    if names.is_empty() {
        pipe.set_section(&act::section_of(&request, &service, &names));
        pipe.say("promoted: every instance was done before the hold");
        return Ok(());
    }
    act::go(pipe, &request, &service, names)
}

/// Turns a held record into a failed one; touches nothing.
pub(crate) fn abort(pipe: &mut Pipe, file: &Path) -> Result<()> {
    let (_, held) = take_over(pipe, file)?;
    adopt(pipe, held);
    pipe.begin_effect()?;
    bail!(
        Failure::new(Exit::Failed, "held.aborted", "the held run was given up")
            .hint("the undo stages behind take it back: … --abort FILE | release-switch --undo | svc-restart --undo …")
    )
}

/// Reads the held record, if its pipe still is the last one under its root.
fn take_over(pipe: &mut Pipe, file: &Path) -> Result<(RestartSection, Record)> {
    let held = read(file)?;
    let section = held
        .stages
        .iter()
        .rev()
        .find(|stage| stage.tool == OWN && !stage.undo)
        .map(record::Stage::section::<RestartSection>)
        .transpose()?
        .filter(|section| section.hold.is_some());
    let (true, true, Some(section)) = (held.ok, held.held, section) else {
        bail!(Failure::new(Exit::InvalidInput, "input.held", format!("{} holds no held record", file.display())));
    };
    // Until it is clear that this pipe is still the last one, its record is not made ours: the undo
    // stages behind a refusal must find nothing to take back.
    pipe.record_mut().root.clone_from(&held.root);
    act::enter(pipe)?;
    pipe.take_deploy_lock()?;
    let run = match pipe.root() {
        Some(root) => RunFile::of(root)?.read()?,
        None => None,
    };
    if pipe.root().is_some() && !run.as_ref().is_some_and(|run| run.pipe == held.pipe && run.held) {
        let by = match run {
            Some(run) if run.pipe != held.pipe => match &run.release {
                Some(release) => format!("was overtaken by the deploy of {}", record::visible(&release.id)),
                None => format!("was overtaken by the pipe {}", record::visible(&run.pipe)),
            },
            _ => "is over: it was promoted or given up".to_owned(),
        };
        bail!(
            Failure::new(Exit::Busy, "superseded", format!("the held run {by}"))
                .hint("svc-restart --status tells where each instance is; release-ls what is live")
        );
    }
    Ok((section, held))
}

/// Makes the held record this stage's own.
fn adopt(pipe: &mut Pipe, held: Record) {
    let (dry_run, root) = (pipe.dry_run(), pipe.record().root.clone());
    *pipe.record_mut() = Record { held: false, dry_run, root, ..held };
}

fn read(file: &Path) -> Result<Record> {
    let place = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| format!("read the held record {place}"))?;
    record::parse_in(&bytes, &place).map_err(|refusal| match refusal.downcast::<Failure>() {
        Ok(refusal) => refusal.hint("what the last pipe said is in .cutover/run.json of its root, too").into(),
        Err(other) => other,
    })
}

/// The instances whose turn has not come, in order.
fn left(section: &RestartSection) -> Result<Vec<Instance>> {
    let untouched = section.instances.iter().filter(|entry| entry.outcome == RestartOutcome::Untouched);
    untouched.map(|entry| Instance::recorded(&entry.name)).collect()
}

fn act_of(word: &str) -> Option<Act> {
    [Act::Restart, Act::Reload, Act::Start, Act::Stop].into_iter().find(|act| act.word() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_record_is_named_with_where_one_may_be() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = dir::Dir::open(temporary.path()).unwrap();
        for (name, content, said) in [
            ("empty", "", "PATH is empty: no record was written to it"),
            ("cut", "{", "the record in PATH does not end with a line feed: it was cut off"),
        ] {
            folder.create_file(name, content.as_bytes(), 0o600).unwrap();
            let file = temporary.path().join(name);
            let refusal = read(&file).unwrap_err().downcast::<Failure>().unwrap();
            assert_eq!(refusal.to_string(), said.replace("PATH", &file.display().to_string()));
        }
    }
}
