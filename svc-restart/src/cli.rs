//! The command line, and the request it becomes. Wrong ones end here, before stdin is read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};
use record::placeholders::PLACEHOLDERS;
use record::{Options, Role, duration};

use crate::account;
use crate::batches::Batches;
use crate::instance::Instance;
use crate::managers::Act;
use crate::managers::exec::Verb;
use crate::request::{Hold, Mode, Order, Request};
use crate::require;
use crate::sequence::Sequence;
use crate::template::Template;
use crate::wanted::{Via, Wanted};

const ABOUT: &str = "\
Restarts the instances of a service in order, in batches, each batch behind a gate

Examples:
  svc-restart -n --via systemd shop@1 shop@2 \\
      --gate 'svc-health -n http://127.0.0.1:800{i}/healthz --wait 30s'
  release-mk --root /srv/shop --from build/ | release-switch |
      svc-restart --via signal web --pidfile /run/web.pid --signals HUP";

const NOTES: &str = "\
In commands and in --pidfile {instance} is the name (shop@1) and {i} its part after the @ (1); there and in names \
{idle}, {live}, {idle.port}, {release} and the like are what the record says. Gates and hooks also get CUTOVER_ROOT, \
CUTOVER_RELEASE, CUTOVER_RELEASE_PATH and CUTOVER_INSTANCE, and --after also CUTOVER_OUTCOME: restarted, reloaded, \
started, stopped, untouched, or failed for what does not serve or was not let pass. A gate runs once for each \
instance if its text has {instance}, {i} or CUTOVER_INSTANCE; any other runs once for each batch, without that variable.

A gate that exits with 3 says that the release is unhealthy; anything else but 0 is a failure that blames no \
release. What is stopped is started. The first failure ends the run; the record says which instances are done, \
failed and untouched.

With --via exec a restart is the command restart=, or else stop= and then start=. Commands run in the directory of \
svc-restart, with /dev/null as stdin and with CUTOVER_ROOT and CUTOVER_INSTANCE, but without CUTOVER_RELEASE and \
CUTOVER_RELEASE_PATH, which a service would carry on beyond its release: what they start follows the link.

--hold leaves a record: go on with --promote FILE, with the same --gate, and the stages that end the pipe behind it; \
go back with svc-restart --abort FILE | release-switch --undo | svc-restart --undo ... as in the pipe.

Exit status: 0 done; 1 failed; 2 usage; 3 the release's own no; 5 an undo failed; 6 held; 65 the record contradicts \
the disk; 66 stdin is empty; 75 locked or superseded; 77 a pid file that others may write; 128+n interrupted. To run \
alone add -n.";

#[derive(Debug, Parser)]
#[command(version, about = ABOUT, long_about = ABOUT, after_help = NOTES)]
#[command(group = ArgGroup::new("mode").args(["undo", "promote", "abort", "status"]))]
struct Arguments {
    /// The instances, in order, as their manager calls them; with --undo only these go back
    #[arg(value_name = "INSTANCE", required_unless_present = "mode", conflicts_with_all = ["promote", "abort", "status"])]
    instances: Vec<String>,

    /// What supervises them
    #[arg(long, value_name = "MANAGER", required_unless_present_any = ["promote", "abort", "status"])]
    via: Option<Via>,

    /// What to do to them [default: restart]
    #[arg(long, value_name = "ACTION")]
    action: Option<Action>,

    /// For exec: the command of an action (restart, reload, start, stop), or of status, which prints the process
    /// number or exits with 0 while the instance runs and with 3 while it does not; repeatable
    #[arg(long = "command", value_name = "ACTION=COMMAND", value_parser = command)]
    commands: Vec<(Verb, Template)>,

    /// For signal and exec: the file in which an instance writes its process number; refused where others than root and the
    /// process's own user may write it
    #[arg(long, value_name = "PATH")]
    pidfile: Option<Template>,

    /// For signal: what is sent and waited for, as HUP or USR2,wait-new,WINCH,TERM; durations wait. A stop is TERM, unless
    /// these signals only end the process
    #[arg(long, value_name = "LIST")]
    signals: Option<Sequence>,

    /// For systemd: the caller's own units
    #[arg(long)]
    user: bool,

    /// For supervisor: its socket [default: /run/supervisor.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// For compose: a file of the project; repeatable
    #[arg(long, value_name = "FILE")]
    compose_file: Vec<PathBuf>,

    /// For compose: the project's name
    #[arg(long, value_name = "NAME", value_parser = word)]
    project: Option<String>,

    /// For upstart: the variable that tells a job's instances apart, set to {i}
    #[arg(long, value_name = "NAME", value_parser = word)]
    instance_key: Option<String>,

    /// Put this before the commands of the manager, as 'sudo -n'
    #[arg(long = "as", value_name = "COMMAND", value_parser = prefix)]
    prefix: Option<Prefix>,

    /// How many at a time: 2, 25% or steps as 10%,40%,100%
    #[arg(long, value_name = "N", default_value = "1")]
    batch: Batches,

    /// Take the instances of a batch at the same time
    #[arg(long)]
    parallel: bool,

    /// A command (sh -c) that must succeed after each batch; once per instance if it names one
    #[arg(long, value_name = "COMMAND")]
    gate: Option<Template>,

    /// How long a gate may take
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m", requires = "gate")]
    gate_timeout: Duration,

    /// A command before each instance: out of the balancer; if it fails the instance is not touched
    #[arg(long, value_name = "COMMAND")]
    before: Option<Template>,

    /// A command after each instance, behind the gate: into the balancer; runs when the instance failed too, and finds
    /// that in CUTOVER_OUTCOME
    #[arg(long, value_name = "COMMAND")]
    after: Option<Template>,

    /// Wait so long between batches
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pause: Duration,

    /// A new process must stay up so long, the time of the gate included [default: 300ms; 0s where the manager waits
    /// for readiness]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    stable: Option<Duration>,

    /// How long an action of the manager may take, and a hook; a question to it no longer than that, and 20s at most
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2m")]
    timeout: Duration,

    /// A target of svc-health that must be healthy before anything is touched; repeatable
    #[arg(long, value_name = "TARGET")]
    require: Vec<String>,

    /// A failure is a warning: the run ends there, and the pipe goes on
    #[arg(long)]
    best_effort: bool,

    /// Stop behind the first batch and wait for a promotion
    #[arg(long, conflicts_with_all = ["undo", "abort", "status", "promote"])]
    hold: bool,

    /// Refuse a promotion that comes later than this
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "hold")]
    hold_for: Option<Duration>,

    /// Behind a failed record take back what this pipe's svc-restart changed; pass a good record on
    #[arg(long, conflicts_with = "no_record")]
    undo: bool,

    /// Go on with the held record in FILE
    #[arg(long, value_name = "FILE")]
    promote: Option<PathBuf>,

    /// Turn the held record in FILE into a failed one, for the undo stages behind
    #[arg(long, value_name = "FILE")]
    abort: Option<PathBuf>,

    /// Tell where the last run under --root left each instance
    #[arg(long)]
    status: bool,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// a new process
    Restart,
    /// the manager's own reload
    Reload,
    /// start what is stopped
    Start,
    /// stop what runs
    Stop,
}

#[derive(Clone, Debug)]
struct Prefix(Vec<String>);

/// Reads the command line; a wrong one ends the process with 2 here.
pub(crate) fn request() -> (Request, Options) {
    let arguments: Arguments = record::command_line();
    if let Some(verb) = given_twice(&arguments.commands) {
        record::wrong_command_line::<Arguments>(&format!("--command {}= is given twice", verb.word()));
    }
    let options = arguments.options.clone();
    let request = convert(arguments);
    match check(&request) {
        Ok(()) => (request, options),
        Err(message) => record::wrong_command_line::<Arguments>(&message),
    }
}

fn given_twice(commands: &[(Verb, Template)]) -> Option<Verb> {
    let again = |at: usize| commands[..at].iter().any(|(verb, _)| *verb == commands[at].0);
    (0..commands.len()).find(|at| again(*at)).map(|at| commands[at].0)
}

/// Whether the call reads a record.
pub(crate) fn role(mode: &Mode) -> Role {
    match mode {
        Mode::Act => Role::Acts,
        Mode::Undo => Role::Undoes,
        Mode::Promote(_) | Mode::Abort(_) | Mode::Status => Role::Begins,
    }
}

fn convert(arguments: Arguments) -> Request {
    let mode = match (arguments.undo, arguments.promote, arguments.abort, arguments.status) {
        (true, ..) => Mode::Undo,
        (_, Some(file), ..) => Mode::Promote(file),
        (_, _, Some(file), _) => Mode::Abort(file),
        (.., true) => Mode::Status,
        _ => Mode::Act,
    };
    Request {
        mode,
        names: arguments.instances,
        wanted: Wanted {
            via: arguments.via,
            act: arguments.action.map(|action| match action {
                Action::Restart => Act::Restart,
                Action::Reload => Act::Reload,
                Action::Start => Act::Start,
                Action::Stop => Act::Stop,
            }),
            commands: arguments.commands.into_iter().collect::<BTreeMap<_, _>>(),
            pidfile: arguments.pidfile,
            signals: arguments.signals,
            prefix: arguments.prefix.map(|prefix| prefix.0).unwrap_or_default(),
            user: arguments.user,
            socket: arguments.socket,
            compose_files: arguments.compose_file,
            project: arguments.project,
            instance_key: arguments.instance_key,
        },
        order: Order {
            batches: arguments.batch,
            parallel: arguments.parallel,
            gate: arguments.gate,
            gate_timeout: arguments.gate_timeout,
            before: arguments.before,
            after: arguments.after,
            pause: arguments.pause,
            stable: arguments.stable,
            timeout: arguments.timeout,
            require: arguments.require,
            best_effort: arguments.best_effort,
            hold: if arguments.hold { Hold::After { at_most: arguments.hold_for } } else { Hold::No },
        },
    }
}

/// What the options say together: no name twice, a value for every placeholder.
fn check(request: &Request) -> Result<(), String> {
    for (at, name) in request.names.iter().enumerate() {
        if request.names[..at].contains(name) {
            return Err(format!("{name} is named twice"));
        }
    }
    let names = &request.names.iter().map(|name| shape(name)).collect::<Result<Vec<_>, _>>()?;
    if account::is_too_much(names) {
        return Err("these are more instances than one record can tell of: split them into several calls".into());
    }
    request.wanted.check(names)?;
    for (option, template) in
        [("--gate", &request.order.gate), ("--before", &request.order.before), ("--after", &request.order.after)]
    {
        let Some(template) = template else { continue };
        for name in names {
            template.fill(Some(name)).map_err(|why| format!("{option}: {why}"))?;
        }
    }
    for text in &request.order.require {
        let target: Template = text.parse().map_err(|why| format!("--require {why}"))?;
        require::check(text).map_err(|why| format!("--require {why}"))?;
        target.fill(None).map_err(|why| format!("--require is asked once, before anything is touched: {why}"))?;
    }
    Ok(())
}

/// The name with something legal in place of what only the record can say.
fn shape(name: &str) -> Result<Instance, String> {
    let text = PLACEHOLDERS.iter().fold(name.to_owned(), |text, placeholder| text.replace(placeholder, "x"));
    text.parse().map_err(|why: String| format!("{}: {why}", record::visible(name)))
}

fn command(text: &str) -> Result<(Verb, Template), String> {
    let (verb, command) = text.split_once('=').ok_or("write it like restart='COMMAND'")?;
    let verb = match verb {
        "restart" => Verb::Restart,
        "reload" => Verb::Reload,
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "status" => Verb::Status,
        _ => return Err(format!("{verb:?} is none of restart, reload, start, stop and status")),
    };
    Ok((verb, command.parse().map_err(|why| format!("the command {why}"))?))
}

fn prefix(text: &str) -> Result<Prefix, String> {
    let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    if words.is_empty() {
        return Err("is empty".into());
    }
    if text.contains(['\'', '"', '\\', '$', '`', ';', '|', '&', '<', '>']) {
        return Err("is split at blanks and not read by a shell, so it has no quotes and no operators".into());
    }
    Ok(Prefix(words))
}

fn word(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    match text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(legal) {
        true => Ok(text.to_owned()),
        false => Err("has letters, digits, _ . and - only".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_would_be_ignored_are_refused() {
        let parse = |more: &[&str]| {
            let words = ["svc-restart", "-n", "--via", "exec", "a", "--command", "restart=a"];
            Arguments::try_parse_from(words.iter().chain(more))
        };
        assert!(parse(&["--gate-timeout", "5s"]).is_err());
        assert!(parse(&["--gate-timeout", "5s", "--gate", "true"]).is_ok());
        assert_eq!(given_twice(&parse(&["--command", "restart=b"]).unwrap().commands), Some(Verb::Restart));
        assert_eq!(given_twice(&parse(&["--command", "start=b"]).unwrap().commands), None);
    }
}
