//! Gates and hooks: the commands around an instance, and what their end means.
//!
//! A gate that exits with 3 has asked and heard no: the release's own answer. Whatever else goes wrong
//! with it (it is missing, is killed, takes too long) blames nobody's release.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Result, bail};
use process::command::{Ended, Outcome, Spec};
use record::sections::GateAnswer;
use record::{Exit, Failure};
use serde_json::Value;

use crate::instance::Instance;
use crate::surroundings::Surroundings;
use crate::template::Template;

/// The most a gate may print to be taken for a record, and the most of it that is embedded.
const PRINTED: usize = 1 << 20;
const EMBEDDED: usize = 8 << 10;

/// What came of a gate.
pub(crate) struct Asked {
    /// For the record.
    pub(crate) answer: GateAnswer,
    /// What it printed, when that was no record: for people.
    pub(crate) printed: Vec<u8>,
    /// Whether it was ended early, as what it asked about or the run was over.
    pub(crate) was_ended: bool,
    /// Why it does not let pass, if so.
    pub(crate) refusal: Option<anyhow::Error>,
}

/// Runs a gate, in a process group of its own that ends with it and with us. An interrupt ends it early.
pub(crate) fn ask(
    gate: &Template,
    instance: Option<&Instance>,
    batch: usize,
    limit: Duration,
    surroundings: &Surroundings,
    interrupts: BorrowedFd<'_>,
) -> Result<Asked> {
    let about = instance.map_or_else(|| format!("batch {batch}"), ToString::to_string);
    let command = gate.fill(instance).map_err(anyhow::Error::msg)?;
    let spec = Spec::shell(format!("the gate of {about}"), command).captured(PRINTED).time_limit(limit).guarded();
    let ended = surroundings.put(spec, instance).run(Some(interrupts))?;
    let record = record_in(&ended);
    let said = record.as_ref().and_then(|record| {
        let error = record.get("error")?;
        Some((error.get("message")?.as_str()?.to_owned(), error.get("code")?.as_str()?.to_owned()))
    });
    let refusal = match ended.outcome {
        Outcome::Exited(0) => None,
        Outcome::Exited(3) => {
            let message = match &said {
                Some((message, _)) => format!("the gate of {about} says no: {message}"),
                None => format!("the gate of {about} says no"),
            };
            Some(Failure::new(Exit::Unhealthy, "restart.gate", message).blame_release().into())
        }
        outcome => {
            let mut failure =
                Failure::new(Exit::Failed, "restart.gate_failed", format!("the gate of {about} {outcome}"))
                    .hint("a gate exits with 0 to let pass and with 3 to say no");
            if let Some((message, code)) = said {
                failure = failure.detail(format!("{code}: {message}"));
            }
            Some(failure.into())
        }
    };
    let mut printed = ended.stderr.clone();
    if record.is_none() {
        printed.extend_from_slice(&ended.stdout);
    }
    let exit = match ended.outcome {
        Outcome::Exited(code) => Some(code),
        _ => None,
    };
    let answer = GateAnswer {
        batch: batch as u64,
        instance: instance.map(ToString::to_string),
        ok: refusal.is_none(),
        exit,
        elapsed_ms: u64::try_from(ended.elapsed.as_millis()).unwrap_or(u64::MAX),
        record: record.and_then(fit),
    };
    Ok(Asked { answer, printed, was_ended: ended.outcome == Outcome::Interrupted, refusal })
}

fn record_in(ended: &Ended) -> Option<Value> {
    record::parse(&ended.stdout).ok()?;
    serde_json::from_slice(&ended.stdout).ok()
}

/// The record as it is embedded: without its stages where they are too long for a stage's entry.
fn fit(mut record: Value) -> Option<Value> {
    let size = |value: &Value| serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len());
    if size(&record) > EMBEDDED {
        record.as_object_mut()?.remove("stages");
        record.as_object_mut()?.insert("elided".into(), Value::Bool(true));
    }
    (size(&record) <= EMBEDDED).then_some(record)
}

/// Runs the hook before an instance; what it prints goes to stderr. Not interrupted: it is part of the step
/// in hand.
pub(crate) fn before(hook: &Template, instance: &Instance, limit: Duration, surroundings: &Surroundings) -> Result<()> {
    let spec = hook_spec("before", hook, instance, limit, surroundings)?;
    run_hook("before", "restart.before", instance, &spec)
}

/// Runs the hook after an instance, and tells it in CUTOVER_OUTCOME what became of the instance.
pub(crate) fn after(
    hook: &Template,
    instance: &Instance,
    outcome: &str,
    limit: Duration,
    surroundings: &Surroundings,
) -> Result<()> {
    let spec = hook_spec("after", hook, instance, limit, surroundings)?.env("CUTOVER_OUTCOME", outcome);
    run_hook("after", "restart.after", instance, &spec)
}

fn hook_spec(
    what: &str,
    hook: &Template,
    instance: &Instance,
    limit: Duration,
    surroundings: &Surroundings,
) -> Result<Spec> {
    let command = hook.fill(Some(instance)).map_err(anyhow::Error::msg)?;
    let spec = Spec::shell(format!("the {what} hook of {instance}"), command).time_limit(limit);
    Ok(surroundings.put(spec, Some(instance)))
}

fn run_hook(what: &str, code: &'static str, instance: &Instance, spec: &Spec) -> Result<()> {
    let ended = spec.run(None)?;
    if !ended.outcome.is_success() {
        bail!(Failure::new(Exit::Failed, code, format!("the {what} hook of {instance} {}", ended.outcome)));
    }
    Ok(())
}
