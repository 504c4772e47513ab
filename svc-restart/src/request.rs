//! What the command line asks for, checked, without any trace of clap.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use record::{Exit, Failure, Pipe, Record, RootDir, placeholders};

use crate::batches::Batches;
use crate::instance::Instance;
use crate::managers::{Act, Manager};
use crate::template::Template;
use crate::wanted::Wanted;

/// One call of the tool.
pub(crate) struct Request {
    /// What to do at all.
    pub(crate) mode: Mode,
    /// The instances in order, as they were given; empty in modes that take them from a record.
    pub(crate) names: Vec<String>,
    /// How the service is reached and what is done to it.
    pub(crate) wanted: Wanted,
    /// The order of things around each instance.
    pub(crate) order: Order,
}

impl Request {
    /// The names of the instances and the request, with what the record says of slots and of the release
    /// put into names and commands. A placeholder without a value is a usage error.
    pub(crate) fn with(&self, record: &Record) -> Result<(Vec<Instance>, Self)> {
        let names = self.names.iter().map(|name| parse(&placeholders::fill(name, record)?)).collect::<Result<_>>()?;
        let with = |template: &Option<Template>| template.as_ref().map(|template| template.with(record)).transpose();
        let order = Order {
            gate: with(&self.order.gate)?,
            before: with(&self.order.before)?,
            after: with(&self.order.after)?,
            require: self
                .order
                .require
                .iter()
                .map(|target| placeholders::fill(target, record))
                .collect::<Result<_>>()?,
            ..self.order.clone()
        };
        Ok((
            names,
            Self { mode: self.mode.clone(), names: self.names.clone(), wanted: self.wanted.with(record)?, order },
        ))
    }

    /// Whether all names are about the live slot of a service that has none yet.
    pub(crate) fn names_no_slot(&self, record: &Record) -> bool {
        !self.names.is_empty() && self.names.iter().all(|name| placeholders::names_no_slot(name, record))
    }

    /// The service with its manager, for the root that the pipe has entered.
    pub(crate) fn service(&self, pipe: &Pipe) -> Result<Service> {
        self.wanted.service(pipe.root().map(RootDir::path), self.order.timeout)
    }
}

fn parse(name: &str) -> Result<Instance> {
    name.parse()
        .map_err(|why: String| Failure::new(Exit::Usage, "usage", format!("{}: {why}", record::visible(name))).into())
}

/// What a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Act on the instances.
    Act,
    /// Take back what this pipe changed.
    Undo,
    /// Go on with the held record in this file.
    Promote(PathBuf),
    /// Turn the held record in this file into a failed one.
    Abort(PathBuf),
    /// Tell what the last run left.
    Status,
}

/// How the service is reached.
pub(crate) struct Service {
    /// The word for the manager: `systemd`.
    pub(crate) via: &'static str,
    /// The manager.
    pub(crate) manager: Box<dyn Manager>,
    /// What is done to instances that run.
    pub(crate) act: Act,
    /// Whether the act leaves the same main process in place.
    pub(crate) keeps_process: bool,
}

/// What is run and waited for around the instances.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// How many at a time.
    pub(crate) batches: Batches,
    /// Whether the instances of a batch are taken at the same time.
    pub(crate) parallel: bool,
    /// The command that must succeed after each batch.
    pub(crate) gate: Option<Template>,
    /// How long a gate may take.
    pub(crate) gate_timeout: Duration,
    /// Out of the balancer.
    pub(crate) before: Option<Template>,
    /// Into the balancer.
    pub(crate) after: Option<Template>,
    /// How long to wait between batches.
    pub(crate) pause: Duration,
    /// For how long a new process is watched; `None`: as the manager needs it.
    pub(crate) stable: Option<Duration>,
    /// How long one act of the manager may take, and each hook.
    pub(crate) timeout: Duration,
    /// Probes that must be healthy before anything is done.
    pub(crate) require: Vec<String>,
    /// Whether a failure is a warning.
    pub(crate) best_effort: bool,
    /// Whether to wait for a promotion after the first batch.
    pub(crate) hold: Hold,
}

/// Whether a run stops after its first batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It goes through.
    No,
    /// It waits, for ever or until a promotion comes too late.
    After {
        /// How long a promotion is accepted.
        at_most: Option<Duration>,
    },
}
