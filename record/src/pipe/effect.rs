//! Around the first effect: looking down the pipe, signals, the deploy lock, `run.json`.

use std::os::fd::AsFd;

use anyhow::bail;
use nix::poll::{PollFd, PollFlags, poll};

use super::Pipe;
use crate::run_file::{Overtakes, RunFile};
use crate::{DeployLock, Exit, Failure, Holder, Interrupts, RootDir, Stage, clock, look, output, report};

impl Pipe {
    /// Right before a long preparation that changes nothing visible, a build: looks down the pipe and
    /// at the signals; under release-lock also writes `run.json`. Takes no lock.
    pub fn begin_preparation(&mut self) -> anyhow::Result<()> {
        self.look_down()?;
        self.check_signals()?;
        if self.dry_run() {
            return Ok(());
        }
        self.await_later_stages()?;
        self.inherit_lock()?;
        if self.lock.is_some() { self.progress() } else { Ok(()) }
    }

    /// Right before the first effect: looks down the pipe and at the signals, takes the deploy lock
    /// or finds it inherited, writes `run.json`. In a dry run only looks.
    pub fn begin_effect(&mut self) -> anyhow::Result<()> {
        self.take_deploy_lock()?;
        if dir::planted("record-before-effect") && self.record.release.is_some() {
            output::write(&self.record)?;
        }
        self.progress()
    }

    /// The first half of [`Pipe::begin_effect`], for a stage that must read `run.json` under the deploy
    /// lock before it replaces it. In a dry run only looks down the pipe and at the signals.
    pub fn take_deploy_lock(&mut self) -> anyhow::Result<()> {
        self.look_down()?;
        self.check_signals()?;
        if self.dry_run() {
            return Ok(());
        }
        self.await_later_stages()?;
        if self.root.is_none() {
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

    /// Frees the deploy lock where this stage took it for itself: before long work that nobody need wait for. From
    /// then on `run.json` may be another pipe's, so it is not for a stage that wrote it.
    pub fn free_deploy_lock(&mut self) {
        if !self.in_progress {
            self.lock = None;
        }
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
        let written = root.act_as_owner().and_then(|_acting| RunFile::of(root)?.write(&record, self.overtakes));
        match written {
            Ok(written) => self.in_progress |= written,
            // A full disk is no reason to leave a failed release live: only a kill of this very stage is then not known.
            Err(error) if self.undoing() || self.goes_back => {
                self.explain(format_args!("this is not noted in run.json: {error:#}"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// This stage goes back to a former release: it does so on a disk that takes no `run.json`, too, as an undo does.
    pub fn go_back(&mut self) {
        self.goes_back = true;
    }

    /// Lets this pipe replace the record of another one that is held: a person asked for it.
    pub fn overtake_hold(&mut self) {
        self.overtakes = Overtakes::Everybody;
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

    /// Waits until the later stages have taken their command lines, or one of them is gone: a fast stage would else act
    /// before a typo behind it has come up the pipe.
    pub fn await_later_stages(&mut self) -> anyhow::Result<()> {
        if let (Some(path), Some(root)) = (&self.options.report, &self.root) {
            report::refuse_own(path, root)?;
        }
        while !self.downstream.is_ready(std::io::stdout().as_fd()) {
            let mut watched = [PollFd::new(self.interrupts.as_fd(), PollFlags::POLLIN)];
            // However it ends, the loop looks again.
            let _ = poll(&mut watched, 1_u8);
            self.look_down()?;
            self.check_signals()?;
        }
        self.look_down()?;
        self.check_signals()
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
}

fn interrupted(signal: i32) -> Failure {
    let name = nix::sys::signal::Signal::try_from(signal).map_or("a signal", |signal| signal.as_str());
    Failure::new(Exit::Interrupted(signal), "interrupted", format!("interrupted by {name}")).retryable()
}
