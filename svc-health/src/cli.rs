//! The command line, and the request it becomes. The environment and the files of `--header` are read here too.
//!
//! Values are judged here and not by clap, whose errors repeat them: an address may hold a password, a field a token.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use record::{Options, duration};

use crate::asked::{Asked, each};
use crate::expect::{Expectations, field_name};
use crate::pace::Pace;
use crate::probe::tls::Trust;
use crate::probe::{Terms, at_once};
use crate::target::Target;
use crate::verdict::Rules;
use crate::watch::Course;

const ABOUT: &str = "\
Asks whether a service is healthy, and waits until it is

Examples:
  svc-health -n http://127.0.0.1:8001/healthz --wait 30s --stable 5s
  svc-health -n tcp://127.0.0.1:5432 unix:///run/shop.sock 'exec:pg_isready -q'";

const TARGETS: &str = "\
Targets:
  http://HOST[:PORT]/PATH             a GET is answered with 2xx; no redirect is followed
  https://HOST[:PORT]/PATH            the same over TLS (--ca, --insecure)
  http+unix:///SOCKET:/PATH           the same over a unix socket
  tcp://HOST:PORT, unix:///SOCKET     a connection is accepted
  systemd:UNIT, systemd+user:UNIT     the unit is active
  pidfile:PATH                        the process in the file lives
  exec:COMMAND                        sh -c COMMAND exits with 0

Exit status: 0 healthy; 3 not healthy; 1 the question could not be asked; 2 usage; 66 stdin is empty; \
128+n interrupted. To run alone add -n.

{idle}, {idle.port}, {idle.address}, {live} and its kin, {release} and {release.path} in a target, --expect-body or \
--expect-header get their values from the record.";

#[derive(Debug, Parser)]
#[command(version, about = ABOUT, long_about = ABOUT, after_help = TARGETS)]
struct Arguments {
    /// What to ask; all are asked at once and all must be healthy
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,

    /// Wait so long for all to become healthy; without it the first decision stands
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,

    /// From the begin of one attempt to the next; within the first 2s of a wait they come every 5 ms
    #[arg(long, value_name = "DURATION", value_parser = some_time, default_value = "1s")]
    interval: Duration,

    /// Give an attempt up after so long; the next one never begins before that
    #[arg(long, value_name = "DURATION", value_parser = some_time, default_value = "5s")]
    timeout: Duration,

    /// Healthy is what passes for so long without a break
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    stable: Duration,

    /// Healthy is what passes so often in a row
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), default_value_t = 1)]
    passes: u32,

    /// Unhealthy is what fails so often in a row; without --wait, so often in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), default_value_t = 1)]
    fails: u32,

    /// Statuses that pass, as 200-299,401 [default: 200-299]
    #[arg(long, value_name = "LIST")]
    expect_status: Option<String>,

    /// The body contains TEXT, or matches /REGEX/; repeatable
    #[arg(long, value_name = "TEXT")]
    expect_body: Vec<String>,

    /// The answer has this field, with a value that contains TEXT or matches /REGEX/; repeatable
    #[arg(long, value_name = "NAME[: TEXT]")]
    expect_header: Vec<String>,

    /// Whoever answers runs from the record's release; in a gate from CUTOVER_RELEASE_PATH; alone from what --root and
    /// --link name
    #[arg(long)]
    expect_release: bool,

    /// Send this field; @FILE instead of the value reads it from there, so that it is never seen; repeatable
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,

    /// Believe only the certificate authorities in this PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,

    /// Believe any certificate
    #[arg(long)]
    insecure: bool,

    /// Ask at most so many targets at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=900), default_value_t = 256)]
    parallel: u16,

    /// Answer as a monitoring plugin: one line instead of the record, and 0, 1, 2 or 3 as exit status
    #[arg(long)]
    nagios: bool,

    /// Append a line to FILE when a target's state is another one than its last line there says, and print only that
    #[arg(long, value_name = "FILE")]
    on_change: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) asked: Asked,
    pub(crate) course: Course,
    /// Sent with every request. May hold secrets.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) trust: Trust,
    pub(crate) expect_release: bool,
    /// From the environment: what a gate's caller says.
    pub(crate) release_path: Option<PathBuf>,
    pub(crate) nagios: bool,
    pub(crate) on_change: Option<PathBuf>,
    pub(crate) options: Options,
}

/// Reads the command line; a wrong one ends the process with 2.
pub(crate) fn request() -> Request {
    let arguments: Arguments = record::command_line();
    match Request::of(arguments) {
        Ok(request) => request,
        Err(reason) => record::wrong_command_line::<Arguments>(&format!("{reason:#}")),
    }
}

impl Request {
    fn of(arguments: Arguments) -> anyhow::Result<Self> {
        let wait = arguments.wait.filter(|wait| !wait.is_zero());
        if wait.is_some_and(|wait| arguments.stable > wait) {
            bail!("--stable is longer than --wait: nothing can become healthy");
        }
        let asked = Asked {
            targets: arguments.targets,
            statuses: arguments.expect_status,
            fields: arguments.expect_header,
            bodies: arguments.expect_body,
        };
        let targets = asked.judge()?;
        if arguments.expect_release && targets.iter().any(|target| matches!(target, Target::Exec(_))) {
            bail!("--expect-release asks who answers; nobody knows that of an exec: target");
        }
        let given = [
            ("--expect-status", asked.statuses.is_some(), false),
            ("--expect-body", !asked.bodies.is_empty(), false),
            ("--expect-header", !asked.fields.is_empty(), false),
            ("--header", !arguments.header.is_empty(), false),
            ("--ca", arguments.ca.is_some(), true),
            ("--insecure", arguments.insecure, true),
        ];
        refuse_idle(given, &targets)?;
        let sent: Vec<Sent> = each("--header", &arguments.header)?;
        let Arguments { interval, timeout, stable, passes, fails, .. } = arguments;
        Ok(Request {
            asked,
            course: Course {
                rules: Rules { passes, fails, stable, wait },
                pace: Pace { interval, timeout, waiting: wait.is_some(), stable },
                parallel: arguments.parallel.into(),
            },
            fields: sent.into_iter().map(|Sent { name, value }| (name, value)).collect(),
            trust: match arguments.ca {
                Some(path) => Trust::File(path),
                None if arguments.insecure => Trust::Everyone,
                None => Trust::System,
            },
            expect_release: arguments.expect_release,
            release_path: std::env::var_os("CUTOVER_RELEASE_PATH").filter(|path| !path.is_empty()).map(PathBuf::from),
            nagios: arguments.nagios,
            on_change: arguments.on_change,
            options: arguments.options,
        })
    }
}

impl Request {
    /// How these targets are watched: as was asked for, as far as the machine allows.
    pub(crate) fn course(&self, targets: &[Target]) -> Course {
        Course { parallel: at_once(targets, self.course.parallel), ..self.course.clone() }
    }

    /// What holds for all targets, once the record has said what is expected and of which release.
    pub(crate) fn terms(&self, expect: Expectations, release: Option<PathBuf>) -> Terms {
        let (fields, trust, timeout) = (self.fields.clone(), self.trust.clone(), self.course.pace.timeout);
        Terms { expect, fields, trust, timeout, release }
    }
}

/// Refuses options that no target heeds: for HTTP or, where the third is set, for TLS only.
fn refuse_idle(given: [(&str, bool, bool); 6], targets: &[Target]) -> anyhow::Result<()> {
    let heeds =
        |needs_tls: bool| targets.iter().any(|target| matches!(target, Target::Http(url) if url.secure || !needs_tls));
    for (option, _, needs_tls) in given.into_iter().filter(|(_, is_given, _)| *is_given) {
        if !heeds(needs_tls) {
            let kinds = if needs_tls { "https://" } else { "http://, https:// or http+unix://" };
            bail!("{option} means nothing here: no target begins with {kinds}");
        }
    }
    Ok(())
}

/// A field to send.
struct Sent {
    name: String,
    value: String,
}

impl FromStr for Sent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("NAME: VALUE is needed")?;
        let name = field_name(name)?;
        let value = match value.trim().strip_prefix('@') {
            None => value.trim().to_owned(),
            Some(path) => secret_in(path).map_err(|error| format!("read {path}: {error}"))?,
        };
        let is_framing = ["content-length", "transfer-encoding"].iter().any(|own| name.eq_ignore_ascii_case(own));
        if is_framing {
            return Err(format!("{name} belongs to a body, and none is sent"));
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("the value of {name} holds control characters"));
        }
        Ok(Sent { name, value })
    }
}

fn secret_in(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(64 * 1024).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("must be more than nothing".into()) } else { Ok(time) })
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
