//! The way forward: what is asked for, done in order.

use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::Result;
use process::Tree;
use record::sections::{RestartInstance, RestartOutcome, RestartSection};
use record::{Failure, Pipe, RootDir, clock};

use crate::account::{fit, word};
use crate::apply::Run;
use crate::foretell::list;
use crate::hold;
use crate::instance::Instance;
use crate::managers::Inspection;
use crate::plan::{self, Known, Plan};
use crate::request::{Hold, Request, Service};
use crate::require;
use crate::surroundings::Surroundings;

/// Restarts (reloads, starts, stops) the instances.
pub(crate) fn act(pipe: &mut Pipe, request: &Request) -> Result<()> {
    enter(pipe)?;
    if request.names_no_slot(pipe.record()) {
        pipe.say("no slot is live yet, so there is nobody to ask");
        return Ok(());
    }
    let (names, request) = request.with(pipe.record())?;
    let service = request.service(pipe)?;
    let names = service.manager.expand(names)?;
    go(pipe, &request, &service, names)
}

/// The same for these instances, in a pipe whose root is entered.
pub(crate) fn go(pipe: &mut Pipe, request: &Request, service: &Service, names: Vec<Instance>) -> Result<()> {
    let result = try_to(pipe, request, service, names);
    match result {
        Err(error) if request.order.best_effort && may_fail(&error) => {
            pipe.warn(code_of(&error), format!("{error:#}"));
            Ok(())
        }
        other => other,
    }
}

fn try_to(pipe: &mut Pipe, request: &Request, service: &Service, names: Vec<Instance>) -> Result<()> {
    let mut section = section_of(request, service, &names);
    pipe.set_section(&section);
    for target in &request.order.require {
        require::healthy(target, pipe.interrupts().as_fd())?;
    }
    let Inspection { states, warnings, preparation } = service.manager.inspect(&names, Some(service.act))?;
    // What is about to be read anew is judged then.
    if preparation.is_none() || pipe.dry_run() {
        warn_of(pipe, warnings);
    }
    let instances = names.clone();
    let surroundings = Surroundings::of(pipe)?;
    let trees = release_tree(pipe, &surroundings)?;
    let known = names
        .into_iter()
        .zip(states)
        .map(|(instance, state)| {
            let converged = state.process.is_some_and(|process| runs_from(process.pid, &trees));
            Known { instance, state, converged }
        })
        .collect();
    let plan = plan::plan(known, service.act, &request.order.batches);
    note_left_alone(pipe, &mut section, &plan);
    if pipe.dry_run() {
        list(pipe, &plan, &request.order, preparation);
        pipe.set_section(&section);
        return Ok(());
    }
    if plan.batches.is_empty() {
        pipe.set_section(&section);
        pipe.say("nothing to do");
        return Ok(());
    }
    pipe.set_section(&section);
    pipe.begin_effect()?;
    if preparation.is_some() {
        service.manager.prepare(Instant::now() + request.order.timeout)?;
        warn_of(pipe, service.manager.inspect(&instances, Some(service.act))?.warnings);
    }
    let held = matches!(request.order.hold, Hold::After { .. });
    let batches = if held { &plan.batches[..1] } else { &plan.batches[..] };
    let mut run = Run { pipe, service, order: &request.order, surroundings, section };
    let result = run.carry_out(batches);
    let mut section = run.section;
    summarise(pipe, &section);
    result?;
    if held {
        hold::hold(pipe, &mut section, &request.order);
        pipe.set_section(&fit(&section));
    }
    Ok(())
}

fn warn_of(pipe: &mut Pipe, warnings: Vec<(&'static str, String)>) {
    for (code, message) in warnings {
        pipe.warn(code, message);
    }
}

/// Names the root, where there is one: its run.json and its deploy lock are used from now on. In a dry
/// run a root that is still to be made is none.
pub(crate) fn enter(pipe: &mut Pipe) -> Result<()> {
    let Some(path) = pipe.root_path_if_any()? else { return Ok(()) };
    if pipe.dry_run() && !path.join(".cutover").is_dir() {
        return Ok(());
    }
    let root = RootDir::open(&path, pipe.options().allow_network_fs)?;
    pipe.enter(root);
    pipe.refuse_contradiction()
}

/// A section in which nothing has been touched yet.
pub(crate) fn section_of(request: &Request, service: &Service, names: &[Instance]) -> RestartSection {
    let instances: Vec<RestartInstance> =
        names.iter().map(|name| RestartInstance { name: name.to_string(), ..RestartInstance::default() }).collect();
    RestartSection {
        via: service.via.into(),
        action: service.act.word().into(),
        batch: request.order.batches.to_string(),
        counts: crate::account::counts(&instances),
        instances,
        ..RestartSection::default()
    }
}

/// The release's tree, where what runs from it may be left alone: behind a record that changed nothing.
fn release_tree(pipe: &Pipe, surroundings: &Surroundings) -> Result<Vec<Tree>> {
    let convergent = pipe.has_input() && !pipe.record().changed && pipe.record().release.is_some();
    match &surroundings.release_path {
        Some(path) if convergent && path.is_dir() => Ok(vec![Tree::at("release", path)?]),
        _ => Ok(Vec::new()),
    }
}

/// Whether a process runs from the release. One that may not be looked at is restarted.
fn runs_from(pid: u32, trees: &[Tree]) -> bool {
    !trees.is_empty() && process::uses_of(pid, trees).is_ok_and(|uses| !uses.is_empty())
}

/// Notes in the section what the plan leaves as it is.
pub(crate) fn note_left_alone(pipe: &Pipe, section: &mut RestartSection, plan: &Plan) {
    for (instance, reason) in &plan.left_alone {
        if !pipe.dry_run() {
            pipe.explain(format_args!("{instance} is left alone: {reason}"));
        }
        if let Some(entry) = section.instances.iter_mut().find(|entry| entry.name == instance.as_str()) {
            entry.outcome = RestartOutcome::Skipped;
            entry.reason = Some(reason.clone());
        }
    }
    section.counts = crate::account::counts(&section.instances);
}

/// Says in one line what is where, when not everything went as asked.
pub(crate) fn summarise(pipe: &Pipe, section: &RestartSection) {
    if section.counts.failed == 0 && section.counts.untouched == 0 {
        return;
    }
    let mut parts: Vec<String> = Vec::new();
    for instance in &section.instances {
        parts.push(format!("{} {}", instance.name, word(instance.outcome)));
    }
    let more = parts.len().saturating_sub(12);
    parts.truncate(12);
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    pipe.say(parts.join(", "));
}

/// Whether an error is of the kind that `--best-effort` turns into a warning.
fn may_fail(error: &anyhow::Error) -> bool {
    !matches!(code_of(error), "interrupted" | "pipe.broken" | "usage" | "lock.busy")
}

fn code_of(error: &anyhow::Error) -> &'static str {
    error.downcast_ref::<Failure>().map_or("restart.failed", Failure::code)
}

/// A moment so many later than the stage's clock, as the record writes it.
pub(crate) fn later(pipe: &Pipe, by: std::time::Duration) -> String {
    clock::rfc3339(pipe.now() + by)
}
