//! Carries a plan out: batch by batch, each instance between its hooks, each batch behind its gate.
//!
//! After each step the section says where every instance is, and `run.json` with it, so that a killed
//! run can be told and taken back. Whatever happens, no more than one batch is down at a time.

use std::os::fd::AsFd;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use record::Pipe;
use record::sections::{RestartInstance, RestartOutcome, RestartSection};

use crate::account::{self, counts, word};
use crate::gate;
use crate::instance::Instance;
use crate::managers::Act;
use crate::plan::Step;
use crate::request::{Order, Service};
use crate::surroundings::Surroundings;
use crate::verify::{Risen, perform};
use crate::watch::{any_of, wait_unless};

/// A run at work.
pub(crate) struct Run<'a> {
    /// The stage.
    pub(crate) pipe: &'a mut Pipe,
    /// How the service is reached.
    pub(crate) service: &'a Service,
    /// What surrounds each instance.
    pub(crate) order: &'a Order,
    /// What gates and hooks are told.
    pub(crate) surroundings: Surroundings,
    /// The section as it stands.
    pub(crate) section: RestartSection,
}

/// What came of one instance of a batch.
struct Taken {
    risen: Option<Risen>,
    /// Whether the manager was asked at all: a failing `before` hook leaves the instance as it is.
    touched: bool,
    error: Option<anyhow::Error>,
    elapsed: Duration,
}

impl Run<'_> {
    /// Takes the batches in order. Stops at the first failure, of an instance or of a gate. What had its `before` hook
    /// gets its `after` hook, failed or not: nothing stays out of the balancer without a word.
    pub(crate) fn carry_out(&mut self, batches: &[Vec<Step>]) -> Result<()> {
        for (at, batch) in batches.iter().enumerate() {
            if at > 0 && !self.order.pause.is_zero() {
                // An interrupt is heeded right below.
                wait_unless(Instant::now() + self.order.pause, self.pipe.interrupts().as_fd());
            }
            self.take(at + 1, batch)?;
        }
        Ok(())
    }

    fn take(&mut self, number: usize, batch: &[Step]) -> Result<()> {
        let mut risen = Vec::new();
        let mut begun: Vec<&Step> = Vec::new();
        let mut failure = None;
        for group in batch.chunks(if self.order.parallel { batch.len() } else { 1 }) {
            if let Err(interrupted) = self.pipe.check_signals() {
                failure = Some(interrupted);
                break;
            }
            begun.extend(group);
            failure = self.take_group(group, &mut risen).unwrap_or_else(Some);
            if failure.is_some() {
                break;
            }
        }
        if failure.is_none() {
            failure = self.pass_gates(number, batch, &risen).err();
        }
        if failure.is_none() {
            failure = self.watch(&risen).err();
        }
        let after = self.run_after(number, &begun);
        self.put();
        match failure {
            Some(failure) => {
                if let Err(error) = after {
                    self.pipe.warn("restart.after", format!("{error:#}"));
                }
                Err(failure)
            }
            None => after,
        }
    }

    /// Takes the instances of one group, at the same time if there are several.
    fn take_group(&mut self, group: &[Step], risen: &mut Vec<Risen>) -> Result<Option<anyhow::Error>> {
        for step in group {
            let entry = self.entry(&step.instance);
            entry.outcome = RestartOutcome::InHand;
            entry.was_stopped = step.before.is_down();
            entry.pid_before = step.before.process.map(|process| process.pid);
            entry.start_ticks_before = step.before.process.map(|process| process.start_ticks);
            entry.of_stages.clone_from(&step.of_stages);
            entry.reason.clone_from(&step.reason);
        }
        if !dir::planted("step-not-told")
            && let Err(error) = self.show()
        {
            // What could not be written down is not begun.
            group.iter().for_each(|step| self.entry(&step.instance).outcome = RestartOutcome::Untouched);
            return Err(error);
        }
        let (service, order, surroundings) = (self.service, self.order, &self.surroundings);
        let take = |step: &Step| take_one(service, order, surroundings, step);
        let taken: Vec<Taken> = match group {
            [step] => vec![take(step)],
            several => std::thread::scope(|scope| {
                let begin = |step| std::thread::Builder::new().spawn_scoped(scope, move || take(step));
                let running: Vec<_> = several.iter().map(|step| (step, begin(step))).collect();
                // Where no more threads are to be had, one instance comes after the other: that is no reason to stop here.
                let end = |(step, thread): (_, std::io::Result<ScopedJoinHandle<'_, Taken>>)| match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|_| lost()),
                    Err(_) => take(step),
                };
                running.into_iter().map(end).collect()
            }),
        };
        let mut first = None;
        for (step, taken) in group.iter().zip(taken) {
            self.note(step, &taken);
            risen.extend(taken.risen);
            if first.is_none() {
                first = taken.error;
            } else if let Some(error) = taken.error {
                self.pipe.warn("restart.failed", format!("{error:#}"));
            }
        }
        self.show()?;
        Ok(first)
    }

    fn note(&mut self, step: &Step, taken: &Taken) {
        if taken.touched {
            self.pipe.changed();
        }
        let kept = self.service.keeps_process;
        let outcome = match (&taken.error, step.act) {
            (Some(_), _) if !taken.touched => RestartOutcome::Untouched,
            (Some(_), _) => RestartOutcome::Failed,
            (None, Act::Restart) if kept => RestartOutcome::Reloaded,
            (None, Act::Restart) => RestartOutcome::Restarted,
            (None, Act::Reload) => RestartOutcome::Reloaded,
            (None, Act::Start) => RestartOutcome::Started,
            (None, Act::Stop) => RestartOutcome::Stopped,
        };
        let entry = self.entry(&step.instance);
        entry.outcome = outcome;
        entry.elapsed_ms = Some(u64::try_from(taken.elapsed.as_millis()).unwrap_or(u64::MAX));
        entry.pid_after = taken.risen.as_ref().and_then(Risen::pid);
        if let Some(error) = &taken.error {
            entry.reason = Some(format!("{error:#}"));
        }
        let pids = match (entry.pid_before, entry.pid_after) {
            (Some(before), Some(after)) => format!(" (pid {before} → {after})"),
            (None, Some(after)) => format!(" (pid {after})"),
            (Some(before), None) => format!(" (was pid {before})"),
            (None, None) => String::new(),
        };
        if taken.error.is_none() {
            let line = format!("{} {}{pids} in {} ms", step.instance, word(outcome), taken.elapsed.as_millis());
            self.pipe.say(line);
        }
    }

    /// Asks the gates of a batch. Where everything in it is down now, there is nothing to ask about an
    /// instance; a gate that names none is asked all the same.
    fn pass_gates(&mut self, number: usize, batch: &[Step], risen: &[Risen]) -> Result<()> {
        let Some(gate) = &self.order.gate else { return Ok(()) };
        if self.pipe.undoing() && risen.is_empty() {
            return Ok(());
        }
        let about: Vec<Option<&Instance>> = if gate.names_an_instance() {
            batch.iter().filter(|step| step.act != Act::Stop).map(|step| Some(&step.instance)).collect()
        } else {
            vec![None]
        };
        for instance in about {
            self.pipe.check_signals()?;
            let limit = self.order.gate_timeout;
            // A gate that waits for a process that is gone need not wait for its own deadline.
            let ends = risen.iter().filter_map(Risen::end);
            let alarm = any_of(&ends.chain([self.pipe.interrupts().as_fd()]).collect::<Vec<_>>())?;
            let asked = gate::ask(gate, instance, number, limit, &self.surroundings, alarm.as_fd())?;
            // One that we have ended has nothing to say but that; the reason comes below.
            if !asked.was_ended {
                show_printed(self.pipe, &asked.printed);
            }
            self.section.gates.push(asked.answer);
            // The reason is the signal, not what became of the gate.
            self.pipe.check_signals()?;
            if risen.iter().any(Risen::has_ended) {
                return self.watch(risen);
            }
            if let Some(refusal) = asked.refusal {
                for instance in
                    instance.map_or_else(|| batch.iter().map(|step| &step.instance).collect(), |one| vec![one])
                {
                    let entry = self.entry(instance);
                    entry.outcome = RestartOutcome::Failed;
                    entry.reason = Some(format!("{refusal:#}"));
                }
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Watches the new processes for as long as each needs it, those that have ended first.
    fn watch(&mut self, risen: &[Risen]) -> Result<()> {
        let (ended, others): (Vec<_>, Vec<_>) = risen.iter().partition(|risen| risen.has_ended());
        for risen in ended.into_iter().chain(others) {
            if let Err(error) = risen.stays_up(&*self.service.manager) {
                let entry = self.entry(risen.instance());
                entry.outcome = RestartOutcome::Failed;
                entry.reason = Some(format!("{error:#}"));
                return Err(error);
            }
        }
        Ok(())
    }

    /// What the `after` hook is told of an instance: its outcome, where `failed` means that it does not serve
    /// or that nobody let it pass, so that the hook decides whether it goes back into the balancer.
    fn told(&mut self, number: usize, step: &Step) -> &'static str {
        let outcome = self.entry(&step.instance).outcome;
        match outcome {
            RestartOutcome::Failed | RestartOutcome::InHand => {
                // An order that was refused leaves the old process at work, and an undo will find nothing to do.
                let now = self.service.manager.state(&step.instance).unwrap_or_default();
                let is_old = now.process.is_some() && now.process == step.before.process;
                word(if is_old && !self.service.keeps_process {
                    RestartOutcome::Untouched
                } else {
                    RestartOutcome::Failed
                })
            }
            RestartOutcome::Untouched | RestartOutcome::Skipped => word(outcome),
            _ if !self.was_let_pass(number, step) => word(RestartOutcome::Failed),
            _ => word(outcome),
        }
    }

    fn was_let_pass(&self, number: usize, step: &Step) -> bool {
        let is_about = |name: &Option<String>| name.as_deref().is_none_or(|name| name == step.instance.as_str());
        let mut answers = self.section.gates.iter().filter(|answer| answer.batch == number as u64);
        self.order.gate.is_none()
            || step.act == Act::Stop
            || answers.any(|answer| answer.ok && is_about(&answer.instance))
    }

    fn run_after(&mut self, number: usize, begun: &[&Step]) -> Result<()> {
        let Some(hook) = &self.order.after else { return Ok(()) };
        let mut first = Ok(());
        for step in begun {
            let told = self.told(number, step);
            if let Err(error) = gate::after(hook, &step.instance, told, self.order.timeout, &self.surroundings) {
                match first {
                    Ok(()) => first = Err(error),
                    Err(_) => self.pipe.warn("restart.after", format!("{error:#}")),
                }
            }
        }
        first
    }

    /// The entry of an instance, made where there is none yet.
    fn entry(&mut self, instance: &Instance) -> &mut RestartInstance {
        let instances = &mut self.section.instances;
        let at = match instances.iter().position(|entry| entry.name == instance.as_str()) {
            Some(at) => at,
            None => {
                instances.push(RestartInstance { name: instance.to_string(), ..RestartInstance::default() });
                instances.len() - 1
            }
        };
        &mut instances[at]
    }

    /// Puts the section as it stands into the stage.
    fn put(&mut self) {
        self.section.counts = counts(&self.section.instances);
        self.pipe.set_section(&account::fit(&self.section));
    }

    /// The same, and into `run.json`.
    pub(crate) fn show(&mut self) -> Result<()> {
        self.put();
        self.pipe.progress()
    }
}

fn take_one(service: &Service, order: &Order, surroundings: &Surroundings, step: &Step) -> Taken {
    let began = Instant::now();
    let mut taken = Taken { risen: None, touched: false, error: None, elapsed: Duration::ZERO };
    let result = order
        .before
        .as_ref()
        .map_or(Ok(()), |hook| gate::before(hook, &step.instance, order.timeout, surroundings))
        .and_then(|()| {
            taken.touched = true;
            perform(&*service.manager, step, order.stable, order.timeout)
        });
    match result {
        Ok(risen) => taken.risen = risen,
        Err(error) => taken.error = Some(error),
    }
    taken.elapsed = began.elapsed();
    taken
}

fn lost() -> Taken {
    let error = Some(anyhow::anyhow!("the work on an instance ended without an answer"));
    Taken { risen: None, touched: true, error, elapsed: Duration::ZERO }
}

/// Hands what a gate printed to people.
fn show_printed(pipe: &Pipe, printed: &[u8]) {
    for line in String::from_utf8_lossy(printed).lines().filter(|line| !line.trim().is_empty()) {
        pipe.say(line);
    }
}
