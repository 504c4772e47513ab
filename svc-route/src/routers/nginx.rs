//! nginx: one include file with the upstream, checked, reloaded, and seen to serve.
//!
//! A reload is asynchronous: it serves when the master has workers that are younger than it and has told
//! the older ones to shut down; those end when their last connection does.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dir::Wait;
use process::command::{Outcome, Spec};
use process::{Watched, children};
use record::{Exit, Failure};

use super::nginx_file::{Idle, Upstream};
use super::replaced::Replaced;
use super::{Router, drain_until};
use crate::apply::until;
use crate::slots::{Shares, Slot};

/// How much of nginx's complaint is kept, in bytes.
const COMPLAINT: usize = 4096;

/// nginx by its include file.
pub(crate) struct Nginx {
    config: PathBuf,
    upstream: String,
    test: String,
    reload: String,
    pidfile: PathBuf,
    idle: Idle,
    slots: Vec<Slot>,
    file: Option<Replaced>,
    old_workers: Vec<Watched>,
}

impl Nginx {
    pub(crate) fn new(
        config: PathBuf,
        upstream: String,
        test: String,
        reload: String,
        pidfile: PathBuf,
        idle: Idle,
        slots: Vec<Slot>,
    ) -> Self {
        Self { config, upstream, test, reload, pidfile, idle, slots, file: None, old_workers: Vec::new() }
    }

    fn file(&mut self) -> anyhow::Result<&mut Replaced> {
        if self.file.is_none() {
            self.file = Some(Replaced::at(&self.config)?);
        }
        self.file.as_mut().context("hold the configuration file")
    }

    fn parsed(&mut self) -> anyhow::Result<Option<Upstream>> {
        let (name, idle) = (self.upstream.clone(), self.idle);
        let path = self.config.display().to_string();
        self.file()?
            .text()?
            .map(|text| Upstream::parse(&text, &name, idle).with_context(|| format!("read {path}")))
            .transpose()
    }

    /// Refuses a new file that nginx does not read. Whoever mistypes a path makes a new one: nginx would go on as before,
    /// and the slot that has the traffic be stopped. What nginx can never take must be refused by its check.
    fn must_be_read(&mut self) -> anyhow::Result<()> {
        if self.file()?.text()?.is_some() {
            return Ok(());
        }
        self.file()?.replace("this is here for a moment, to see whether it is read\n")?;
        let refused = self.check().is_err();
        self.file()?.put_back()?;
        if refused {
            return Ok(());
        }
        let message = format!("nginx does not read {}, which is not there yet", self.config.display());
        bail!(Failure::new(Exit::Failed, "route.unread", message).hint(
            "name with --config the file that nginx includes; --test must check the configuration that includes it"
        ))
    }

    /// Lets nginx check what is on disk; its own words when it refuses.
    fn check(&self) -> anyhow::Result<()> {
        self.run("nginx's check of the configuration", &self.test, "route.refused")
    }

    fn run(&self, label: &str, command: &str, code: &'static str) -> anyhow::Result<()> {
        // nginx may be started anew by the command, so it must not inherit the deploy lock.
        let ended = Spec::shell(label, command)
            .captured(COMPLAINT)
            .time_limit(Duration::from_secs(60))
            .without_deploy_fd()
            .run(None)?;
        if ended.outcome == Outcome::Exited(0) {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&ended.stderr);
        let complaint = complaint.trim().lines().collect::<Vec<_>>().join("; ");
        bail!(Failure::new(Exit::Failed, code, format!("{label} {}: {complaint}", ended.outcome)))
    }

    /// Loads what is on disk and returns once new workers serve by it.
    fn load(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let master = self.master()?;
        let before = workers(master)?;
        self.run("nginx's reload", &self.reload.clone(), "route.reload")?;
        let is_old = |pid: u32| before.iter().any(|old| old.pid() == pid);
        until(deadline, "nginx did not start workers with the new configuration", || {
            let now = workers(master)?;
            let has_new = now.iter().any(|worker| !is_old(worker.pid()));
            Ok(has_new && now.iter().all(|worker| !is_old(worker.pid()) || is_shutting_down(worker.pid())))
        })?;
        self.old_workers.extend(before);
        Ok(())
    }

    fn master(&self) -> anyhow::Result<u32> {
        let what = || {
            Failure::new(
                Exit::Failed,
                "route.pidfile",
                format!("{} holds no pid of a running nginx", self.pidfile.display()),
            )
            .hint("name nginx's pid file with --pidfile, or start nginx")
        };
        let text = std::fs::read_to_string(&self.pidfile).with_context(what)?;
        let pid: u32 = text.trim().parse().with_context(what)?;
        match process::stat(pid)? {
            Some(stat) if !stat.has_ended() && stat.command.starts_with("nginx") => Ok(pid),
            _ => bail!(what()),
        }
    }
}

impl Router for Nginx {
    fn lock(&mut self, wait: Wait) -> anyhow::Result<()> {
        self.master()?;
        self.file()?.lock(wait)?;
        if self.file()?.former()?.is_none() {
            return Ok(());
        }
        // A run was killed between the replacement and its end: what nginx takes is finished, the rest reverted.
        if self.check().is_ok() {
            self.load(Instant::now() + Duration::from_secs(30))?;
            self.file()?.keep()
        } else {
            self.file()?.put_back()
        }
    }

    fn read(&mut self) -> anyhow::Result<Shares> {
        let slots = self.slots.clone();
        match self.parsed()? {
            Some(upstream) => upstream.shares(&slots),
            None => Ok(Shares(vec![None; slots.len()])),
        }
    }

    fn set(&mut self, shares: &Shares, deadline: Instant) -> anyhow::Result<()> {
        self.must_be_read()?;
        let text = self.parsed()?.unwrap_or_default().text(&self.upstream, &self.slots, shares, self.idle);
        self.file()?.replace(&text)?;
        match self.check().and_then(|()| self.load(deadline)) {
            Ok(()) => {
                self.file()?.let_go();
                Ok(())
            }
            Err(refusal) => {
                self.file()?.put_back()?;
                // What may have been loaded half way must not stay loaded.
                if self.check().is_ok() {
                    let _ = self.run("nginx's reload", &self.reload.clone(), "route.reload");
                }
                Err(refusal.context("the former configuration is back"))
            }
        }
    }

    fn drain(&mut self, _slot: &Slot, deadline: Instant, interrupts: BorrowedFd<'_>) -> anyhow::Result<bool> {
        let workers = &self.old_workers;
        drain_until(deadline, interrupts, || {
            for worker in workers {
                if !worker.has_ended()? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
}

/// The workers of a master, held so that their end is seen.
fn workers(master: u32) -> anyhow::Result<Vec<Watched>> {
    let held = children(master)?.into_iter().filter(|child| is_worker(child.pid)).map(|child| Watched::of(child.pid));
    held.filter_map(Result::transpose).collect()
}

/// nginx titles its processes: `nginx: worker process`, `nginx: worker process is shutting down`.
fn is_worker(pid: u32) -> bool {
    title(pid).starts_with("nginx: worker process")
}

fn is_shutting_down(pid: u32) -> bool {
    let title = title(pid);
    title.is_empty() || title.contains("is shutting down")
}

fn title(pid: u32) -> String {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
