//! The service as the command line describes it, and the manager that it becomes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, bail};
use record::{Exit, Failure, Record};

use crate::instance::Instance;
use crate::managers::ask::Questions;
use crate::managers::compose::Compose;
use crate::managers::exec::{Exec, Verb};
use crate::managers::signal::Signals;
use crate::managers::supervisor::Supervisor;
use crate::managers::systemd::{Scope, Systemd};
use crate::managers::upstart::Upstart;
use crate::managers::{Act, Manager};
use crate::request::Service;
use crate::sequence::Sequence;
use crate::template::Template;

/// A kind of manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Via {
    /// systemd units
    Systemd,
    /// supervisor programs, GROUP:NAME or a whole GROUP
    Supervisor,
    /// Upstart jobs
    Upstart,
    /// services of a compose project
    Compose,
    /// processes with a pid file, which take up a release at a signal
    Signal,
    /// anything with commands
    Exec,
}

impl Via {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Supervisor => "supervisor",
            Self::Upstart => "upstart",
            Self::Compose => "compose",
            Self::Signal => "signal",
            Self::Exec => "exec",
        }
    }

    /// The kind that a record names.
    pub(crate) fn of(word: &str) -> Option<Self> {
        <Self as clap::ValueEnum>::value_variants().iter().copied().find(|via| via.word() == word)
    }
}

/// What the command line says of the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The kind of manager; only a promotion may leave it to the record.
    pub(crate) via: Option<Via>,
    /// What to do to instances that run; `restart` if nothing else is said.
    pub(crate) act: Option<Act>,
    /// `--command`.
    pub(crate) commands: BTreeMap<Verb, Template>,
    /// `--pidfile`.
    pub(crate) pidfile: Option<Template>,
    /// `--signals`.
    pub(crate) signals: Option<Sequence>,
    /// `--as`, in words.
    pub(crate) prefix: Vec<String>,
    /// `--user`.
    pub(crate) user: bool,
    /// `--socket`.
    pub(crate) socket: Option<PathBuf>,
    /// `--compose-file`, repeatable.
    pub(crate) compose_files: Vec<PathBuf>,
    /// `--project`.
    pub(crate) project: Option<String>,
    /// `--instance-key`.
    pub(crate) instance_key: Option<String>,
}

impl Wanted {
    /// What to do to instances that run.
    pub(crate) fn act(&self) -> Act {
        self.act.unwrap_or(Act::Restart)
    }

    /// Checks what the options say together, as far as the kind of manager is known; the error is for
    /// a usage message.
    pub(crate) fn check(&self, names: &[Instance]) -> Result<(), String> {
        let Some(via) = self.via else { return Ok(()) };
        let only = |given: bool, option: &str, kinds: &[Via]| match given && !kinds.contains(&via) {
            true => Err(format!("{option} means nothing with --via {}", via.word())),
            false => Ok(()),
        };
        only(!self.commands.is_empty(), "--command", &[Via::Exec, Via::Signal])?;
        only(self.pidfile.is_some(), "--pidfile", &[Via::Exec, Via::Signal])?;
        only(self.signals.is_some(), "--signals", &[Via::Signal])?;
        only(self.user, "--user", &[Via::Systemd])?;
        only(self.socket.is_some(), "--socket", &[Via::Supervisor])?;
        only(!self.compose_files.is_empty(), "--compose-file", &[Via::Compose])?;
        only(self.project.is_some(), "--project", &[Via::Compose])?;
        only(self.instance_key.is_some(), "--instance-key", &[Via::Upstart])?;
        only(!self.prefix.is_empty(), "--as", &[Via::Systemd, Via::Upstart, Via::Compose, Via::Exec])?;
        if via == Via::Signal && self.pidfile.is_none() {
            return Err("--via signal needs --pidfile PATH".into());
        }
        if via == Via::Signal && self.signals.is_none() && matches!(self.act(), Act::Restart | Act::Reload) {
            return Err("--via signal needs --signals, as HUP or USR2,wait-new,WINCH,TERM".into());
        }
        if via == Via::Exec {
            self.exec(None, Questions::within(Duration::ZERO))
                .check(self.act())
                .map_err(|missing| format!("--via exec needs a command for it: --command with {missing}"))?;
        }
        let shared = self.pidfile.as_ref().is_some_and(|pidfile| !pidfile.has_placeholder());
        if shared && names.len() > 1 {
            return Err("several instances cannot share one pid file: put {i} or {instance} into --pidfile".into());
        }
        let templates = self.commands.values().chain(&self.pidfile);
        for template in templates {
            for name in names {
                template.fill(Some(name))?;
            }
        }
        Ok(())
    }

    /// The same with what the record says put into commands and paths.
    pub(crate) fn with(&self, record: &Record) -> Result<Self> {
        let commands = self.commands.iter().map(|(verb, command)| Ok((*verb, command.with(record)?)));
        Ok(Self {
            commands: commands.collect::<Result<_>>()?,
            pidfile: self.pidfile.as_ref().map(|pidfile| pidfile.with(record)).transpose()?,
            ..self.clone()
        })
    }

    fn exec(&self, root: Option<&Path>, questions: Questions) -> Exec {
        Exec {
            commands: self.commands.clone(),
            pidfile: self.pidfile.clone(),
            prefix: self.prefix.clone(),
            root: root.map(Path::to_path_buf),
            questions,
        }
    }

    /// The service, with its manager, under this root, where there is one. `timeout` is that of an act.
    pub(crate) fn service(&self, root: Option<&Path>, timeout: Duration) -> Result<Service> {
        let questions = Questions::within(timeout);
        let Some(via) = self.via else {
            bail!(Failure::new(Exit::Usage, "usage", "no manager is given").hint("name it with --via"));
        };
        let act = self.act();
        let mut keeps_process = act == Act::Reload;
        let manager: Box<dyn Manager> = match via {
            Via::Systemd => Box::new(Systemd {
                prefix: self.prefix.clone(),
                scope: if self.user { Scope::User } else { Scope::System },
                questions,
                releases: root.map(|root| root.join("releases")),
                kinds: Mutex::default(),
            }),
            Via::Exec => Box::new(self.exec(root, questions)),
            Via::Signal => {
                let sequence = self.signals.clone().unwrap_or_else(Sequence::ending);
                let signals = Signals {
                    pidfile: self.pidfile.clone().unwrap_or_default(),
                    stop: if act == Act::Stop && sequence.only_ends() { sequence.clone() } else { Sequence::ending() },
                    sequence,
                    exec: self.exec(root, questions),
                };
                // Without an end of the old process a pid says nothing about what was done to it.
                keeps_process = !signals.sequence.ends_the_old();
                Box::new(signals)
            }
            Via::Supervisor => Box::new(Supervisor::new(self.socket.clone(), questions)),
            Via::Upstart => {
                Box::new(Upstart { prefix: self.prefix.clone(), key: self.instance_key.clone(), questions })
            }
            Via::Compose => {
                Box::new(Compose::new(self.prefix.clone(), self.compose_files.clone(), self.project.clone(), questions))
            }
        };
        Ok(Service { via: via.word(), manager, act, keeps_process })
    }
}
