//! The life of a stage: from its record to its exit status.
//!
//! Nothing is locked, read or decided before stdin has reached its end; nothing is written to stdout
//! before the effect is done and durable.

use std::fmt::Display;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use dir::{Name, Wait};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::run_file::RunFile;
use crate::{DeployLock, Exit, Failure, Holder, Interrupts, Options, Record, RootDir, Stage, Step, Warning};
use crate::{clock, finish, host, incoming, look, output, placeholders, undo};

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
    pub(crate) root: Option<RootDir>,
    pub(crate) lock: Option<DeployLock>,
    pub(crate) in_progress: bool,
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
            root: None,
            lock: None,
            in_progress: false,
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

    /// The root: the option, else the record's, else CUTOVER_ROOT; a usage error where none is given.
    pub fn root_path(&self) -> anyhow::Result<PathBuf> {
        match self.root_path_if_any()? {
            Some(path) => Ok(path),
            None => bail!(
                Failure::new(Exit::Usage, "usage", "no root is given")
                    .hint("name it with --root DIR or CUTOVER_ROOT, or pipe a record in")
            ),
        }
    }

    /// The same, `None` where none is given. An option that names another directory than the record
    /// is refused with 65.
    pub fn root_path_if_any(&self) -> anyhow::Result<Option<PathBuf>> {
        let recorded = self.record.root.as_ref().map(PathBuf::from);
        let Some(given) = self.options.root.clone() else {
            let from_environment =
                || std::env::var_os("CUTOVER_ROOT").filter(|value| !value.is_empty()).map(PathBuf::from);
            return Ok(recorded.or_else(from_environment));
        };
        if let Some(recorded) = recorded
            && recorded != given
            && identity(&recorded) != identity(&given)
        {
            bail!(
                Failure::new(
                    Exit::InvalidInput,
                    "input.root",
                    format!("--root says {}, the record says {}", given.display(), recorded.display())
                )
                .hint("leave --root away in later stages: the record carries it")
            );
        }
        Ok(Some(given))
    }

    /// The link: the option, else the record's last switch, else CUTOVER_LINK, else `current`.
    pub fn link(&self) -> anyhow::Result<Name> {
        if let Some(link) = &self.options.link {
            return Ok(Name::new(placeholders::fill(link.as_str(), &self.record)?)?);
        }
        let switched = self.record.stages.iter().rev().find(|stage| stage.tool == "release-switch" && !stage.undo);
        let recorded = switched.and_then(|stage| stage.rest.get("link")).and_then(Value::as_str);
        if let Some(name) = recorded.and_then(|path| path.rsplit('/').next()) {
            return Name::new(name)
                .map_err(|e| Failure::new(Exit::InvalidInput, "input.link", format!("the record's link: {e}")).into());
        }
        match std::env::var_os("CUTOVER_LINK").filter(|value| !value.is_empty()) {
            Some(name) => Name::new(name.to_string_lossy())
                .map_err(|e| Failure::new(Exit::Usage, "usage", format!("CUTOVER_LINK: {e}")).into()),
            None => Ok(Name::new("current")?),
        }
    }

    /// How long to wait for a lock: `--lock-wait`, in an undo stage at least two minutes.
    pub fn wait(&self) -> Wait {
        let asked = self.options.lock_wait;
        Wait(if self.undoing() { asked.max(Duration::from_secs(120)) } else { asked })
    }

    /// Names the root this stage acts on: from now on `run.json` and the deploy lock are its.
    pub fn enter(&mut self, root: RootDir) {
        self.record.root = root.path().to_str().map(str::to_owned);
        self.root = Some(root);
    }

    /// Right before a long preparation that changes nothing visible, a build: looks down the pipe and
    /// at the signals; under release-lock also writes `run.json`. Takes no lock.
    pub fn begin_preparation(&mut self) -> anyhow::Result<()> {
        self.look_down()?;
        self.check_signals()?;
        if self.dry_run() {
            return Ok(());
        }
        self.inherit_lock()?;
        if self.lock.is_some() { self.progress() } else { Ok(()) }
    }

    /// Right before the first effect: looks down the pipe and at the signals, takes the deploy lock
    /// or finds it inherited, writes `run.json`. In a dry run only looks.
    pub fn begin_effect(&mut self) -> anyhow::Result<()> {
        self.take_deploy_lock()?;
        self.progress()
    }

    /// The first half of [`Pipe::begin_effect`], for a stage that must read `run.json` under the deploy
    /// lock before it replaces it. In a dry run only looks down the pipe and at the signals.
    pub fn take_deploy_lock(&mut self) -> anyhow::Result<()> {
        self.look_down()?;
        self.check_signals()?;
        if self.dry_run() || self.root.is_none() {
            return Ok(());
        }
        self.inherit_lock()?;
        if self.lock.is_none()
            && let Some(root) = &self.root
        {
            self.lock = Some(self.wait_for_deploy_lock(root, &Holder::this(self.tool.name))?);
            // The wait may have been long.
            self.look_down()?;
            self.check_signals()?;
        }
        Ok(())
    }

    /// Takes the deploy lock of `root` for `holder`. While somebody else holds it, says so once, and stops at a signal
    /// or when a later stage of the pipe goes away.
    pub fn wait_for_deploy_lock(&self, root: &RootDir, holder: &Holder) -> anyhow::Result<DeployLock> {
        let mut told = false;
        DeployLock::take(root, self.wait(), holder, |by| {
            if !told && let Some(by) = by {
                self.say(format!("waiting for the deploy lock, held by {by}"));
                told = true;
            }
            self.look_down()?;
            self.check_signals()
        })
    }

    /// Writes `run.json` again, with this stage's section as it is now.
    pub fn progress(&mut self) -> anyhow::Result<()> {
        if self.dry_run() {
            return Ok(());
        }
        let Some(root) = &self.root else { return Ok(()) };
        let mut record = self.record.clone();
        record.stages.push(Stage {
            running: true,
            elapsed_ms: clock::milliseconds(self.began.elapsed()),
            ..self.stage.clone()
        });
        record.changed |= self.stage.changed;
        let _acting = root.act_as_owner()?;
        RunFile::of(root)?.write(&record)?;
        self.in_progress = true;
        Ok(())
    }

    fn inherit_lock(&mut self) -> anyhow::Result<()> {
        if self.lock.is_none()
            && let Some(root) = &self.root
        {
            self.lock = DeployLock::inherited(root)?;
            if let Some(deploy) = self.lock.as_ref().and_then(DeployLock::deploy) {
                self.record.deploy = Some(deploy.to_owned());
            }
        }
        Ok(())
    }

    /// The root this stage acts on, once it has entered one.
    pub fn root(&self) -> Option<&RootDir> {
        self.root.as_ref()
    }

    /// Whether this process runs under release-lock for the root it entered.
    pub fn is_under_deploy(&self) -> bool {
        self.root.as_ref().is_some_and(|root| matches!(DeployLock::inherited(root), Ok(Some(_))))
    }

    /// An error `pipe.broken` when a later stage of the pipe is gone.
    pub fn look_down(&self) -> anyhow::Result<()> {
        look::look_down(std::io::stdout().as_fd())
    }

    /// An error `interrupted` when INT, TERM or HUP came.
    pub fn check_signals(&self) -> anyhow::Result<()> {
        match self.interrupts.pending() {
            None => Ok(()),
            Some(signal) => bail!(interrupted(signal)),
        }
    }

    /// The signals, to poll beside other descriptors.
    pub fn interrupts(&self) -> &Interrupts {
        &self.interrupts
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
        output::say(self.tool.name, &format!("warning: {message}"));
        self.record.warnings.push(Warning {
            tool: self.tool.name.into(),
            code: code.into(),
            message,
            rest: Map::new(),
        });
    }

    /// One line on stderr, unless `--quiet`.
    pub fn say(&self, line: impl Display) {
        if !self.options.quiet {
            output::say(self.tool.name, &line.to_string());
        }
    }

    /// One line on stderr with `--verbose`.
    pub fn explain(&self, line: impl Display) {
        if self.options.verbose {
            output::say(self.tool.name, &line.to_string());
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

fn interrupted(signal: i32) -> Failure {
    let name = nix::sys::signal::Signal::try_from(signal).map_or("a signal", |signal| signal.as_str());
    Failure::new(Exit::Interrupted(signal), "interrupted", format!("interrupted by {name}")).retryable()
}

fn identity(path: &std::path::Path) -> Option<(u64, u64)> {
    nix::sys::stat::stat(path).ok().map(|stat| dir::Stat(stat).identity())
}
