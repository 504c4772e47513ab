//! The command line of svc-route; clap is not seen below.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};
use record::{Options, Role, command_line, duration, wrong_command_line};

use crate::slots::Slot;

/// Moves traffic between the slots of a service, and back
#[derive(Debug, Parser)]
#[command(
    version,
    before_help = "\
Examples:
  svc-route -n --via nginx --config /etc/nginx/shop.upstream --upstream shop \\
      --slot blue=127.0.0.1:8001 --slot green=127.0.0.1:8002 --show
  svc-route -n --via haproxy --socket /run/haproxy/admin.sock --backend shop \\
      --slot blue=127.0.0.1:8001 --slot green=127.0.0.1:8002 --to idle",
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}",
    group = ArgGroup::new("action").required(true).args(["to", "pick", "show", "undo"])
)]
pub(crate) struct Cli {
    /// The proxy
    #[arg(long, value_enum)]
    via: Via,

    /// A slot and where it listens; repeat it
    #[arg(long = "slot", value_name = "NAME=ADDRESS", required = true)]
    slots: Vec<Slot>,

    /// Give this slot the traffic, all of it or WEIGHT percent; `idle` is the one without
    #[arg(long, value_name = "SLOT[=WEIGHT]|idle")]
    to: Option<String>,

    /// Put the live and the idle slot into the record, for {live} and {idle} in later stages
    #[arg(long)]
    pick: bool,

    /// Show which slot has how much traffic
    #[arg(long)]
    show: bool,

    /// Behind a failed pipe, give every slot the traffic it had before
    #[arg(long)]
    undo: bool,

    /// Move the traffic step by step, with the gate after each
    #[arg(long, value_name = "PERCENT,…", requires = "to", value_delimiter = ',', value_parser = percent)]
    steps: Vec<u8>,

    /// The command that must succeed after each move (sh -c); exit 3 is the release's own no
    #[arg(long, value_name = "COMMAND")]
    gate: Option<String>,

    /// How long the gate may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    gate_timeout: Duration,

    /// How long to wait between steps, before the gate is asked
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pause: Duration,

    /// How long the slot that lost its traffic may take to finish what it began
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    drain: Duration,

    /// How long the proxy may take to serve the change
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    timeout: Duration,

    /// nginx, traefik: the file that holds this upstream or service, and nothing else
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// nginx: the name of the upstream; traefik: of the service
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,

    /// nginx: the command that checks the configuration [default: nginx -t -q]
    #[arg(long, value_name = "COMMAND")]
    test: Option<String>,

    /// nginx: the command that loads it [default: nginx -s reload]
    #[arg(long, value_name = "COMMAND")]
    reload: Option<String>,

    /// nginx: the pid file of its master process [default: /run/nginx.pid]
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,

    /// nginx: let a slot without traffic stand by, for when no other answers
    #[arg(long)]
    standby: bool,

    /// haproxy: the socket of its runtime API, level admin
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// haproxy: the backend, whose servers are named like the slots
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,

    /// haproxy: write the servers' state here after each change, for load-server-state-from-file
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,

    /// caddy, traefik: the address of the admin API: HOST:PORT or unix:/PATH
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<crate::slots::Address>,

    /// caddy: the @id of the reverse_proxy handler
    #[arg(long, value_name = "ID")]
    handler: Option<String>,

    #[command(flatten)]
    options: Options,
}

/// The proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// A file with the upstream, checked and reloaded
    Nginx,
    /// The runtime API
    Haproxy,
    /// The admin API
    Caddy,
    /// A file of the file provider
    Traefik,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) proxy: Proxy,
    pub(crate) slots: Vec<Slot>,
    pub(crate) action: Action,
    pub(crate) gate: Option<String>,
    pub(crate) gate_timeout: Duration,
    pub(crate) pause: Duration,
    pub(crate) drain: Duration,
    pub(crate) timeout: Duration,
    pub(crate) options: Options,
}

/// Which change, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Pick,
    Show,
    Undo,
    Move { to: Target, steps: Vec<u8> },
}

/// Where the traffic goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Idle,
    Slot(String, u8),
}

/// The proxy with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx { config: PathBuf, upstream: String, test: String, reload: String, pidfile: PathBuf, standby: bool },
    Haproxy { socket: PathBuf, backend: String, state_file: Option<PathBuf> },
    Caddy { admin: crate::slots::Address, handler: String },
    Traefik { config: PathBuf, service: String, admin: crate::slots::Address },
}

impl Proxy {
    /// As the record says it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Nginx { .. } => "nginx",
            Self::Haproxy { .. } => "haproxy",
            Self::Caddy { .. } => "caddy",
            Self::Traefik { .. } => "traefik",
        }
    }
}

impl Request {
    /// How this stage stands in the pipe.
    pub(crate) fn role(&self) -> Role {
        if self.action == Action::Undo { Role::Undoes } else { Role::Acts }
    }
}

/// Reads the command line; a wrong one ends the process with 2.
pub(crate) fn request() -> Request {
    let cli: Cli = command_line();
    convert(cli).unwrap_or_else(|message| wrong_command_line::<Cli>(&message))
}

fn convert(cli: Cli) -> Result<Request, String> {
    let names: Vec<&str> = cli.slots.iter().map(|slot| slot.name.as_str()).collect();
    if let Some(twice) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
        return Err(format!("the slot {twice} is named twice"));
    }
    let action = match &cli.to {
        Some(to) if to.contains('=') && !cli.steps.is_empty() => {
            return Err("--steps says the weights; name only the slot with --to".into());
        }
        Some(to) => Action::Move { to: target(to)?, steps: rising(cli.steps.clone())? },
        None if cli.pick => Action::Pick,
        None if cli.show => Action::Show,
        None => Action::Undo,
    };
    Ok(Request {
        proxy: proxy(&cli)?,
        slots: cli.slots,
        action,
        gate: cli.gate,
        gate_timeout: cli.gate_timeout,
        pause: cli.pause,
        drain: cli.drain,
        timeout: cli.timeout,
        options: cli.options,
    })
}

fn proxy(cli: &Cli) -> Result<Proxy, String> {
    fn need<T: Clone>(value: &Option<T>, option: &str, via: &str) -> Result<T, String> {
        value.clone().ok_or_else(|| format!("--via {via} needs {option}"))
    }
    let plain = |name: String| {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && !name.is_empty();
        if is_plain {
            Ok(name)
        } else {
            Err(format!("'{}' is no name: letters, digits, '.', '_' and '-'", name.escape_debug()))
        }
    };
    refuse_foreign(cli)?;
    Ok(match cli.via {
        Via::Nginx => Proxy::Nginx {
            config: need(&cli.config, "--config FILE", "nginx")?,
            upstream: plain(need(&cli.upstream, "--upstream NAME", "nginx")?)?,
            test: cli.test.clone().unwrap_or_else(|| "nginx -t -q".into()),
            reload: cli.reload.clone().unwrap_or_else(|| "nginx -s reload".into()),
            pidfile: cli.pidfile.clone().unwrap_or_else(|| "/run/nginx.pid".into()),
            standby: cli.standby,
        },
        Via::Haproxy => Proxy::Haproxy {
            socket: need(&cli.socket, "--socket PATH", "haproxy")?,
            backend: plain(need(&cli.backend, "--backend NAME", "haproxy")?)?,
            state_file: cli.state_file.clone(),
        },
        Via::Caddy => Proxy::Caddy {
            admin: need(&cli.admin, "--admin ADDRESS", "caddy")?,
            handler: plain(need(&cli.handler, "--handler ID", "caddy")?)?,
        },
        Via::Traefik => Proxy::Traefik {
            config: need(&cli.config, "--config FILE", "traefik")?,
            service: plain(need(&cli.upstream, "--upstream NAME", "traefik")?)?,
            // Only its API tells when a change serves.
            admin: need(&cli.admin, "--admin ADDRESS", "traefik")?,
        },
    })
}

/// An option that this proxy has no use for is a mistake, not a wish.
fn refuse_foreign(cli: &Cli) -> Result<(), String> {
    let given = [
        ("--config", cli.config.is_some(), [Via::Nginx, Via::Traefik].as_slice()),
        ("--upstream", cli.upstream.is_some(), &[Via::Nginx, Via::Traefik]),
        ("--test", cli.test.is_some(), &[Via::Nginx]),
        ("--reload", cli.reload.is_some(), &[Via::Nginx]),
        ("--pidfile", cli.pidfile.is_some(), &[Via::Nginx]),
        ("--standby", cli.standby, &[Via::Nginx]),
        ("--socket", cli.socket.is_some(), &[Via::Haproxy]),
        ("--backend", cli.backend.is_some(), &[Via::Haproxy]),
        ("--state-file", cli.state_file.is_some(), &[Via::Haproxy]),
        ("--admin", cli.admin.is_some(), &[Via::Caddy, Via::Traefik]),
        ("--handler", cli.handler.is_some(), &[Via::Caddy]),
    ];
    match given.into_iter().find(|(_, is_given, vias)| *is_given && !vias.contains(&cli.via)) {
        Some((option, ..)) => Err(format!("{option} does not go with this --via")),
        None => Ok(()),
    }
}

fn target(text: &str) -> Result<Target, String> {
    if text == "idle" {
        return Ok(Target::Idle);
    }
    match text.split_once('=') {
        None => Ok(Target::Slot(text.into(), 100)),
        Some((name, weight)) => Ok(Target::Slot(name.into(), percent(weight)?)),
    }
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    number
        .parse()
        .ok()
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| format!("'{}' is no share from 1 to 100", text.escape_debug()))
}

fn rising(steps: Vec<u8>) -> Result<Vec<u8>, String> {
    if steps.windows(2).all(|pair| pair[0] < pair[1]) {
        Ok(steps)
    } else {
        Err("--steps must rise, like 10%,50%,100%".into())
    }
}
