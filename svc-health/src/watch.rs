//! Asks all targets until everything is decided, the wait is over, or somebody calls it off.
//!
//! Each target has at most one attempt under way. While targets are waited for together, one that is healthy already is
//! still looked after: all of them must be healthy at the same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::epoll::EventFlags;

use crate::engine::{Engine, Finished};
use crate::pace::Pace;
use crate::probe::Probe;
use crate::reasons::Reasons;
use crate::verdict::{Answer, Rules, State, Verdict};

/// An attempt that the end of the wait cuts shorter than this says nothing.
const TELLING: Duration = Duration::from_millis(100);

/// What became of one target.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// Where it stands, and after how many attempts.
    pub(crate) verdict: Verdict,
    /// Why attempts failed.
    pub(crate) reasons: Reasons,
    /// How long it took until that was known.
    pub(crate) elapsed: Duration,
}

/// How to watch.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// When a target is healthy.
    pub(crate) rules: Rules,
    /// How often it is asked.
    pub(crate) pace: Pace,
    /// How many are asked at once.
    pub(crate) parallel: usize,
}

/// Whoever may call the watch off.
pub(crate) struct Bystander<'b> {
    /// Readable, or in error, when `check` has something to say.
    pub(crate) calls: Vec<(BorrowedFd<'b>, EventFlags)>,
    /// An error ends the watch.
    pub(crate) check: &'b dyn Fn() -> anyhow::Result<()>,
    /// Told when a target's state or reason changes.
    pub(crate) hears: &'b dyn Fn(usize, State, &Answer),
}

/// Watches until the end; the findings are in the order of the probes.
pub(crate) fn watch(
    probes: &[Box<dyn Probe>],
    course: &Course,
    bystander: &Bystander<'_>,
) -> anyhow::Result<Vec<Finding>> {
    let most = course.parallel.min(probes.len());
    let mut engine = Engine::new(most).context("set up epoll")?;
    for (fd, events) in &bystander.calls {
        engine.mind(fd, *events).context("set up epoll")?;
    }
    let mut watch = Watch::new(probes.len(), course, bystander);
    (bystander.check)()?;
    while watch.is_open() {
        let until = watch.start_due(&mut engine, probes);
        if !watch.is_open() {
            break;
        }
        let (finished, called) = engine.wait(until).context("wait for answers")?;
        if called {
            (bystander.check)()?;
        }
        for finished in finished {
            watch.settle(finished);
        }
        if watch.is_over() {
            for cut in engine.give_up() {
                watch.settle(cut);
            }
            break;
        }
    }
    Ok(watch.end())
}

struct Watch<'c> {
    course: &'c Course,
    bystander: &'c Bystander<'c>,
    begin: Instant,
    findings: Vec<Finding>,
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    /// How many targets are not decided.
    open: usize,
}

impl<'c> Watch<'c> {
    fn new(targets: usize, course: &'c Course, bystander: &'c Bystander<'c>) -> Self {
        let finding = Finding { verdict: Verdict::new(), reasons: Reasons::default(), elapsed: Duration::ZERO };
        Watch {
            course,
            bystander,
            begin: Instant::now(),
            findings: vec![finding; targets],
            due: (0..targets).map(|who| Reverse((Duration::ZERO, who))).collect(),
            open: targets,
        }
    }

    fn is_open(&self) -> bool {
        self.open > 0
    }

    fn is_over(&self) -> bool {
        self.course.rules.wait.is_some_and(|wait| self.begin.elapsed() >= wait)
    }

    /// Begins every attempt that is due, as far as there is room; when to come back at the latest.
    fn start_due<'p>(&mut self, engine: &mut Engine<'p>, probes: &'p [Box<dyn Probe>]) -> Option<Instant> {
        let wait = self.course.rules.wait;
        while engine.has_room() && self.is_open() {
            let now = self.begin.elapsed();
            let left = wait.map_or(Duration::MAX, |wait| wait.saturating_sub(now));
            match self.due.peek() {
                Some(&Reverse((due, who))) if due <= now && !left.is_zero() => {
                    self.due.pop();
                    let limit = self.course.pace.timeout.min(left);
                    let finished = engine.start(who, limit, |io| probes[who].attempt(io));
                    if let Some(finished) = finished {
                        self.settle(finished);
                    }
                }
                _ => break,
            }
        }
        let next = self.due.peek().filter(|_| engine.has_room()).map(|Reverse((due, _))| *due);
        next.into_iter().chain(wait).min().map(|at| self.begin + at)
    }

    /// Takes in the end of an attempt, and plans the next one if there is to be one.
    fn settle(&mut self, Finished { who, answer, began, overdue }: Finished) {
        let rules = &self.course.rules;
        let finding = &mut self.findings[who];
        let (began, ended) = (began.saturating_duration_since(self.begin), self.begin.elapsed());
        let is_cut = overdue && rules.wait.is_some_and(|wait| ended >= wait);
        let is_healthy = finding.verdict.state() == State::Healthy;
        if is_cut && finding.verdict.attempts() > 0 && (is_healthy || ended.saturating_sub(began) < TELLING) {
            return;
        }
        let (was_decided, before) = (finding.verdict.is_decided(rules), finding.verdict.state());
        finding.verdict.hear(rules, &answer, ended);
        let is_news = match &answer {
            Answer::Pass => {
                finding.reasons.pass();
                false
            }
            Answer::NotYet(reason) | Answer::Fail(reason) | Answer::CannotTell(reason) => {
                finding.reasons.add(reason, ended)
            }
        };
        let state = finding.verdict.state();
        if is_news || state != before {
            (self.bystander.hears)(who, state, &answer);
        }
        let is_decided = finding.verdict.is_decided(rules);
        match (was_decided, is_decided) {
            (false, true) => {
                finding.elapsed = ended;
                self.open -= 1;
            }
            (true, false) => self.open += 1,
            _ => {}
        }
        if rules.wait.is_some() || !is_decided {
            let next = self.course.pace.next(finding.verdict.is_settling(), is_decided, began, ended);
            self.due.push(Reverse((next, who)));
        }
    }

    fn end(mut self) -> Vec<Finding> {
        let elapsed = self.begin.elapsed();
        for finding in &mut self.findings {
            if !finding.verdict.is_decided(&self.course.rules) {
                finding.elapsed = elapsed;
            }
        }
        self.findings
    }
}
