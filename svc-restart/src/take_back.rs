//! `--undo`: what this pipe's svc-restart changed goes back, as far as it is this stage's turn.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Result, bail};
use record::sections::{RestartInstance, RestartSection, SwitchSection};
use record::{Exit, Failure, Pipe, Record, RunFile, Stage};

use crate::act::{enter, note_left_alone, section_of, summarise};
use crate::apply::Run;
use crate::foretell::list;
use crate::instance::Instance;
use crate::request::{Request, Service};
use crate::surroundings::Surroundings;
use crate::undo::{self, Change, Circumstance};

/// A stage's section and its position in the record.
type Placed = (usize, RestartSection);

const OWN: &str = "svc-restart";
const SWITCH: &str = "release-switch";

/// Takes back what this pipe changed; an ok record passes on untouched.
pub(crate) fn take_back(pipe: &mut Pipe, request: &Request) -> Result<()> {
    if !pipe.has_input() {
        bail!(
            Failure::new(Exit::Usage, "usage", "--undo takes a pipe back, so it needs the record of one on stdin")
                .hint("release-switch --rollback | svc-restart … goes back to the release before")
        );
    }
    if !pipe.undoing() {
        return Ok(());
    }
    let positions = pipe.to_take_back();
    if positions.is_empty() {
        return Ok(());
    }
    enter(pipe)?;
    if request.names_no_slot(pipe.record()) {
        return Ok(());
    }
    let (names, request) = request.with(pipe.record())?;
    let service = request.service(pipe)?;
    let names = if names.is_empty() { names } else { service.manager.expand(names)? };
    let (stages, undone) = sections(pipe, &positions)?;
    let circumstance = circumstance(pipe)?;
    let changes = undo::changes(&stages, &undone, service.via, &names);
    if changes.is_empty() {
        finish_stages(pipe, &stages, &undone, &[]);
        return Ok(());
    }
    go(pipe, &request, &service, changes, circumstance, (&stages, &undone))
}

fn go(
    pipe: &mut Pipe,
    request: &Request,
    service: &Service,
    changes: Vec<Change>,
    circumstance: Circumstance,
    (stages, undone): (&[Placed], &[RestartSection]),
) -> Result<()> {
    let instances: Vec<Instance> = changes.iter().map(|change| change.instance.clone()).collect();
    let mut section = section_of(request, service, &instances);
    for (entry, change) in section.instances.iter_mut().zip(&changes) {
        entry.of_stages.clone_from(&change.stages);
    }
    pipe.set_section(&section);
    let inspection = service.manager.inspect(&instances, None)?;
    let now: HashMap<_, _> = instances.iter().cloned().zip(inspection.states).collect();
    let plan = undo::plan(changes, &now, circumstance, service.keeps_process, &request.order.batches);
    note_left_alone(pipe, &mut section, &plan);
    if pipe.dry_run() {
        list(pipe, &plan, &request.order, inspection.preparation);
        pipe.set_section(&section);
        return Ok(());
    }
    if plan.batches.is_empty() {
        pipe.set_section(&section);
        finish_stages(pipe, stages, undone, &section.instances);
        return Ok(());
    }
    pipe.begin_effect()?;
    if inspection.preparation.is_some() {
        service.manager.prepare(Instant::now() + request.order.timeout)?;
    }
    let surroundings = Surroundings::of(pipe)?;
    let mut run = Run { pipe, service, order: &request.order, surroundings, section };
    let result = run.carry_out(&plan.batches);
    let section = run.section;
    summarise(pipe, &section);
    if result.is_ok() {
        finish_stages(pipe, stages, undone, &section.instances);
    }
    match result {
        Err(error) if request.order.best_effort => {
            pipe.warn("restart.failed", format!("{error:#}"));
            Ok(())
        }
        other => other,
    }
}

/// The sections of the stages to take back, latest first, and those of the undo stages so far: of this record and, where
/// the same record was taken back before, of that time.
fn sections(pipe: &Pipe, positions: &[usize]) -> Result<(Vec<Placed>, Vec<RestartSection>)> {
    let record = pipe.record();
    let run = match pipe.root() {
        Some(root) => RunFile::of(root)?.read()?.filter(|run| run.pipe == record.pipe),
        None => None,
    };
    let mut stages = Vec::new();
    for at in positions {
        if let Some(stage) = record.stages.get(*at) {
            let section: RestartSection = stage.section()?;
            for entry in &section.instances {
                Instance::recorded(&entry.name)?;
            }
            stages.push((*at, section));
        }
    }
    let earlier = run.iter().flat_map(|run| &run.stages);
    let undone = record.stages.iter().chain(earlier).filter(|stage| stage.tool == OWN && stage.undo);
    Ok((stages, undone.map(record::Stage::section).collect::<Result<_>>()?))
}

/// Notes the stages of which every changed instance has gone back by now.
fn finish_stages(pipe: &mut Pipe, stages: &[Placed], undone: &[RestartSection], now: &[RestartInstance]) {
    let went_back = |at: usize, name: &str| {
        undone
            .iter()
            .flat_map(|section| &section.instances)
            .chain(now)
            .any(|entry| entry.name == name && entry.of_stages.contains(&at) && undo::is_back(entry))
    };
    let finished = stages
        .iter()
        .filter(|(at, section)| {
            section.instances.iter().filter(|entry| entry.outcome.is_touched()).all(|entry| went_back(*at, &entry.name))
        })
        .map(|(at, _)| *at)
        .collect();
    pipe.took_back(finished);
}

/// Whether the link is this pipe's to take back. An earlier undo stage of release-switch has asked the link itself;
/// without one the last pipe to act under the root must be this one.
fn circumstance(pipe: &mut Pipe) -> Result<Circumstance> {
    let known = of_switches(pipe.record());
    if let Some(circumstance) = known {
        return Ok(circumstance);
    }
    let by = match pipe.root() {
        Some(root) => RunFile::of(root)?.later_than(&pipe.record().pipe)?,
        None => None,
    };
    if let Some(by) = by {
        let message = format!("the pipe {} has acted since: only what is down is started", record::visible(&by));
        pipe.warn("superseded", message);
        return Ok(Circumstance::Superseded);
    }
    Ok(of_acts(pipe.record()))
}

fn of_switches(record: &Record) -> Option<Circumstance> {
    let mut undos = record.stages.iter().filter(|stage| stage.tool == SWITCH && stage.undo).peekable();
    undos.peek()?;
    Some(if undos.any(|stage| section_of_switch(stage).superseded) {
        Circumstance::Superseded
    } else {
        of_acts(record)
    })
}

fn of_acts(record: &Record) -> Circumstance {
    let acts = record.stages.iter().filter(|stage| stage.tool == SWITCH && !stage.undo);
    match acts.rev().find(|stage| stage.changed).map(section_of_switch) {
        Some(section) if section.from.is_none() && section.to.is_some() => Circumstance::FirstDeploy,
        _ => Circumstance::Usual,
    }
}

fn section_of_switch(stage: &Stage) -> SwitchSection {
    stage.section().unwrap_or_default()
}
