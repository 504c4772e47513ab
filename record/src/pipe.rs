//! The life of a stage: from its record to its exit status.
//!
//! Nothing is locked, read or decided before stdin has reached its end; nothing is written to stdout
//! before the effect is done and durable.

mod agrees;
mod effect;
mod place;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::downstream::Downstream;
use crate::output::Priority;
use crate::run_file::Overtakes;
use crate::{DeployLock, Interrupts, Options, Record, RootDir, Stage, Step, Warning};
use crate::{clock, finish, host, incoming, output, undo};

/// A tool's name and version, as its stage carries them.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// `release-switch`.
    pub name: &'static str,
    /// `0.1.0`.
    pub version: &'static str,
}

/// What a tool does with the record that reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Begins a pipe and never reads a record.
    Begins,
    /// Acts on a good record; a failed or held one passes by.
    Acts,
    /// `--undo`: sees good and failed records; a held one passes by.
    Undoes,
}

/// One stage at work.
#[derive(Debug)]
pub struct Pipe {
    pub(crate) tool: Tool,
    pub(crate) role: Role,
    pub(crate) options: Options,
    pub(crate) record: Record,
    pub(crate) has_input: bool,
    pub(crate) stage: Stage,
    pub(crate) interrupts: Interrupts,
    pub(crate) downstream: Downstream,
    /// Whether it was begun by uid 0, which acts as the root's owner later.
    pub(crate) by_uid_0: bool,
    pub(crate) root: Option<RootDir>,
    pub(crate) lock: Option<DeployLock>,
    pub(crate) in_progress: bool,
    /// A full disk that takes no `run.json` is no reason to stop.
    pub(crate) goes_back: bool,
    pub(crate) overtakes: Overtakes,
    began: Instant,
    now: SystemTime,
}

/// Runs one stage: reads its record, lets `work` do what the tool is for, writes the record.
///
/// A failed or held record passes by without `work` (rules 5 to 7 of the pipe); an error of `work`
/// becomes a failed record, printed once on stderr.
pub fn run(tool: Tool, role: Role, options: Options, work: impl FnOnce(&mut Pipe) -> anyhow::Result<()>) -> ExitCode {
    let exit = match incoming::take(tool, role, &options) {
        Ok(incoming::Next::Work(incoming)) => {
            let mut pipe = Pipe::begin(tool, role, options, *incoming);
            let result = work(&mut pipe);
            finish::finish(pipe, result)
        }
        Ok(incoming::Next::PassBy(record)) => finish::pass_by(tool, &record),
        Err(refusal) => finish::refuse(tool, &options, &refusal),
    };
    ExitCode::from(exit)
}

impl Pipe {
    fn begin(tool: Tool, role: Role, options: Options, incoming: incoming::Incoming) -> Self {
        let now = clock::now();
        let mut record = incoming.record;
        record.dry_run |= options.dry_run;
        let stage = Stage {
            tool: tool.name.into(),
            version: tool.version.into(),
            started_at: clock::rfc3339(now),
            undo: role == Role::Undoes && !record.ok,
            ..Stage::default()
        };
        // Undo stages finish despite a first signal.
        incoming.interrupts.heed(usize::from(stage.undo));
        Self {
            tool,
            role,
            options,
            record,
            has_input: incoming.has_input,
            stage,
            interrupts: incoming.interrupts,
            downstream: incoming.downstream,
            by_uid_0: nix::unistd::geteuid().is_root(),
            root: None,
            lock: None,
            in_progress: false,
            goes_back: false,
            overtakes: Overtakes::Nobody,
            began: Instant::now(),
            now,
        }
    }

    /// The shared options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The record as it stands, without this stage.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The same, to fill in `root` and `release`.
    pub fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Whether a record came in; else this tool begins one.
    pub fn has_input(&self) -> bool {
        self.has_input
    }

    /// Whether this is an undo stage behind a failed pipe.
    pub fn undoing(&self) -> bool {
        self.stage.undo
    }

    /// Whether the pipe only plans, by this tool's own option or by an earlier stage's.
    pub fn dry_run(&self) -> bool {
        self.record.dry_run
    }

    /// The clock, read once when the stage began.
    pub fn now(&self) -> SystemTime {
        self.now
    }

    /// How long this stage has been at work.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Names the root this stage acts on: from now on `run.json` and the deploy lock are its.
    pub fn enter(&mut self, root: RootDir) {
        self.record.root = root.path().to_str().map(str::to_owned);
        self.root = Some(root);
    }

    /// Replaces this stage's own section.
    pub fn set_section(&mut self, section: &impl Serialize) {
        self.stage.rest = match serde_json::to_value(section) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
    }

    /// Adds a step to the plan that a dry run prints.
    pub fn plan(&mut self, action: impl Into<String>, target: impl Into<String>, reason: Option<String>) {
        self.stage.plan.push(Step { action: action.into(), target: target.into(), reason, rest: Map::new() });
    }

    /// Notes that this stage changed something (in a dry run: would).
    pub fn changed(&mut self) {
        self.stage.changed = true;
    }

    /// The positions of this tool's earlier stages that it may take back now, latest first.
    pub fn to_take_back(&self) -> Vec<usize> {
        if self.undoing() { undo::to_take_back(&self.record.stages, self.tool.name) } else { Vec::new() }
    }

    /// Notes which stages this undo stage took back.
    pub fn took_back(&mut self, stages: Vec<usize>) {
        self.stage.took_back = stages;
    }

    /// Holds the pipe: later stages do nothing and everything exits with 6.
    pub fn hold(&mut self) {
        self.record.held = true;
    }

    /// Adds a warning to the record and says it on stderr.
    pub fn warn(&mut self, code: &'static str, message: impl Into<String>) {
        let message = message.into();
        output::say(self.tool.name, Priority::Warning, &format!("warning: {message}"));
        self.record.warnings.push(Warning::new(self.tool.name, code, message));
    }

    /// One line on stderr, unless `--quiet`.
    pub fn say(&self, line: impl Display) {
        if !self.options.quiet {
            output::say(self.tool.name, Priority::Info, &line.to_string());
        }
    }

    /// One line on stderr with `--verbose`.
    pub fn explain(&self, line: impl Display) {
        if self.options.verbose {
            output::say(self.tool.name, Priority::Info, &line.to_string());
        }
    }

    pub(crate) fn into_parts(self) -> (Record, Stage, Duration) {
        (self.record, self.stage, self.began.elapsed())
    }
}

/// A record that begins with this tool.
pub(crate) fn fresh_record() -> Record {
    Record {
        schema: crate::SCHEMA.into(),
        ok: true,
        changed: false,
        dry_run: false,
        held: false,
        pipe: format!("{}{}", dir::random_suffix(), dir::random_suffix()),
        deploy: None,
        host: host::host_name(),
        root: None,
        release: None,
        stages: Vec::new(),
        error: None,
        warnings: Vec::new(),
        rest: Map::new(),
    }
}
