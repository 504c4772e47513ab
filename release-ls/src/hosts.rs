//! What became of many hosts, from the records that their pipes have written. Reads one file; the rest is pure.
//!
//! The records of one host stand in the order in which they were written: a deploy, and then what took it back.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use record::sections::{LsHost, LsHostOutcome, RestartSection, SwitchSection};
use record::{ErrorInfo, Exit, Record};
use serde_json::Value;

/// Longer lines are read no further: they are refused as too large.
const LONGEST: u64 = (1 << 20) + 1;

/// Reads the records of a file, `-` being stdin; the first line that is none ends it with 65.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let name = if path == Path::new("-") { "stdin".into() } else { path.display().to_string() };
    let what = || format!("read the records in {name}");
    let input: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(path).with_context(what)?),
    };
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut records = Vec::new();
    let mut line = Vec::new();
    while input.by_ref().take(LONGEST).read_until(b'\n', &mut line).with_context(what)? > 0 {
        records.push(record::parse_in(&line, &format!("line {} of {name}", records.len() + 1))?);
        line.clear();
    }
    Ok(records)
}

/// One entry per host, in the order in which they first appear.
pub(crate) fn fold(records: &[Record]) -> Vec<LsHost> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut hosts: Vec<(&str, Vec<&Record>)> = Vec::new();
    for record in records {
        let name = record.rest.get("known_as").and_then(Value::as_str).unwrap_or(&record.host);
        let place = *places.entry(name).or_insert(hosts.len());
        if place == hosts.len() {
            hosts.push((name, Vec::new()));
        }
        hosts[place].1.push(record);
    }
    hosts.into_iter().map(|(name, records)| host(name, &records)).collect()
}

fn host(name: &str, records: &[&Record]) -> LsHost {
    let switches = || {
        let stages = records.iter().flat_map(|record| &record.stages);
        let done = stages.filter(|stage| stage.tool == "release-switch" && stage.ok);
        done.filter_map(|stage| stage.section::<SwitchSection>().ok()).filter(|section| section.to.is_some())
    };
    let from = switches().next().and_then(|section| section.from);
    let now = switches().next_back().and_then(|section| section.to);
    let stages = || records.iter().flat_map(|record| &record.stages);
    let restarts = stages().filter(|stage| stage.tool == "svc-restart");
    let touched = |section: RestartSection| section.counts.done.saturating_add(section.counts.failed);
    let instances = restarts.filter_map(|stage| stage.section().ok().map(touched));
    let error = records.iter().find_map(|record| record.error.as_ref());
    LsHost {
        host: name.to_owned(),
        outcome: records.last().map_or_else(LsHostOutcome::default, |last| {
            outcome(last, records.len() > 1 && from.is_some() && from == now)
        }),
        root: records.iter().find_map(|record| record.root.clone()),
        release: records.iter().find_map(|record| record.release.as_ref()).map(|release| release.id.clone()),
        instances: instances.fold(0, u64::saturating_add),
        started_at: stages().next().map(|stage| stage.started_at.clone()),
        elapsed_ms: stages().fold(0, |sum, stage| sum.saturating_add(stage.elapsed_ms)),
        pipes: records.iter().map(|record| record.pipe.clone()).collect(),
        reason: error.map(reason).or_else(|| switches().filter_map(|section| section.reason).next_back()),
        from,
        now,
    }
}

fn reason(error: &ErrorInfo) -> String {
    match &error.cause {
        Some(cause) => format!("{}; before that: {}", error.message, reason(cause)),
        None => error.message.clone(),
    }
}

/// What became of a host whose last record this is; `is_back` where its link names again what it did before.
fn outcome(last: &Record, is_back: bool) -> LsHostOutcome {
    use LsHostOutcome::{Deployed, Failed, Held, InDoubt, NotReached, TakenBack, Unchanged, Unreachable, WouldChange};
    let went_back = |stage: &record::Stage| stage.changed && (stage.undo || stage.rest.contains_key("marked_bad"));
    match last.error.as_ref().map(|error| error.code.as_str()) {
        Some("fleet.unreachable") => return Unreachable,
        Some("fleet.not_reached") => return NotReached,
        _ => {}
    }
    let in_doubt = [Exit::UndoFailed.code(), Exit::Unrecorded.code()];
    if last.error.as_ref().is_some_and(|error| in_doubt.contains(&error.exit)) {
        return InDoubt;
    }
    let went_back = last.stages.iter().any(went_back);
    match (last.ok, last.dry_run, last.changed) {
        (true, _, _) if last.held => Held,
        (true, true, true) => WouldChange,
        (true, _, false) => Unchanged,
        (true, false, true) if is_back || went_back => TakenBack,
        (true, false, true) => Deployed,
        (false, false, true) if went_back => TakenBack,
        (false, _, _) => Failed,
    }
}

/// How an outcome is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// As it was meant.
    Well,
    /// Neither.
    Plain,
    /// Somebody has to look.
    Wrong,
}

/// How an outcome is to be taken.
pub(crate) fn weight(outcome: LsHostOutcome) -> Weight {
    match outcome {
        LsHostOutcome::InDoubt | LsHostOutcome::Unreachable | LsHostOutcome::Failed => Weight::Wrong,
        LsHostOutcome::Deployed => Weight::Well,
        _ => Weight::Plain,
    }
}

/// An outcome as people read it.
pub(crate) fn words(outcome: LsHostOutcome) -> &'static str {
    match outcome {
        LsHostOutcome::InDoubt => "in doubt",
        LsHostOutcome::Unreachable => "unreachable",
        LsHostOutcome::Failed => "failed",
        LsHostOutcome::TakenBack => "taken back",
        LsHostOutcome::Held => "held",
        LsHostOutcome::NotReached => "not reached",
        LsHostOutcome::WouldChange => "would change",
        LsHostOutcome::Deployed => "deployed",
        LsHostOutcome::Unchanged => "unchanged",
    }
}

#[cfg(test)]
mod tests;
