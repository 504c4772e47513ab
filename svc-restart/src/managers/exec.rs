//! exec: anything that has commands. What a command is for is its action's name; `status` tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use process::command::{Outcome, Spec};
use record::Failure;

use super::ask::{Questions, readable};
use super::{
    Act, Condition, Expect, Identity, Inspection, Manager, PATIENCE, SETTLING, State, mute, refused, timed_out,
};
use crate::instance::Instance;
use crate::pidfile::{self, PidFile};
use crate::template::Template;

/// Commands for each action, and how to tell whether an instance runs.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The commands by action: `restart`, `reload`, `start`, `stop`, `status`.
    pub(crate) commands: BTreeMap<Verb, Template>,
    /// Where the instance writes its number, if it does.
    pub(crate) pidfile: Option<Template>,
    /// What to put before every command: `sudo -n`.
    pub(crate) prefix: Vec<String>,
    /// What CUTOVER_ROOT is for them, where there is a root.
    pub(crate) root: Option<PathBuf>,
    /// How `status` is asked.
    pub(crate) questions: Questions,
}

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// Ends what runs and starts it anew.
    Restart,
    /// Has what runs take up the release.
    Reload,
    /// Starts it.
    Start,
    /// Ends it.
    Stop,
    /// Prints its number, or exits with 0 while it runs and with 3 while it does not.
    Status,
}

impl Verb {
    /// The word for it on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Status => "status",
        }
    }
}

impl From<Act> for Verb {
    fn from(act: Act) -> Self {
        match act {
            Act::Restart => Self::Restart,
            Act::Reload => Self::Reload,
            Act::Start => Self::Start,
            Act::Stop => Self::Stop,
        }
    }
}

impl Exec {
    /// The commands that are missing for an act, in words, if any are.
    pub(crate) fn check(&self, act: Act) -> Result<(), &'static str> {
        let has = |verb| self.commands.contains_key(&verb);
        self.commands_for(act).map(drop).map_err(|_| match act {
            Act::Restart if has(Verb::Start) => "stop= (or restart=)",
            Act::Restart if has(Verb::Stop) => "start= (or restart=)",
            Act::Restart => "restart=, or stop= and start=",
            Act::Start => "start= (or restart=)",
            Act::Reload => "reload=",
            Act::Stop => "stop=",
        })
    }

    /// The commands an act takes: a restart may be a stop and a start, and a start may be a restart.
    fn commands_for(&self, act: Act) -> Result<Vec<Verb>, Failure> {
        let choices: &[&[Verb]] = match act {
            Act::Restart => &[&[Verb::Restart], &[Verb::Stop, Verb::Start]],
            Act::Reload => &[&[Verb::Reload]],
            Act::Start => &[&[Verb::Start], &[Verb::Restart]],
            Act::Stop => &[&[Verb::Stop]],
        };
        let found = choices.iter().find(|verbs| verbs.iter().all(|verb| self.commands.contains_key(verb)));
        found.map(|verbs| verbs.to_vec()).ok_or_else(|| {
            refused(format!("no command is given to {} an instance", act.word()))
                .hint(format!("--command '{}=COMMAND'", act.word()))
        })
    }

    fn spec(&self, verb: Verb, instance: &Instance) -> Result<Spec> {
        let Some(command) = self.commands.get(&verb) else {
            bail!(refused(format!("no command is given for {verb:?}")))
        };
        let command = command.fill(Some(instance)).map_err(anyhow::Error::msg)?;
        let label = format!("the {} command of {instance}", format!("{verb:?}").to_lowercase());
        let mut argv = self.prefix.clone();
        argv.extend(["/bin/sh".into(), "-c".into(), command]);
        // A service started here outlives the pipe and must not keep the deploy's lock.
        // It would carry a release's name on beyond its release, too: what is started follows the link.
        let spec =
            ["CUTOVER_RELEASE", "CUTOVER_RELEASE_PATH"].into_iter().fold(Spec::program(label, argv), Spec::env_remove);
        let spec = self.root.iter().fold(spec, |spec, root| spec.env("CUTOVER_ROOT", root));
        Ok(spec.env("CUTOVER_INSTANCE", instance.as_str()).without_deploy_fd())
    }

    fn run(&self, verb: Verb, instance: &Instance, deadline: Instant) -> Result<()> {
        let limit = deadline.saturating_duration_since(Instant::now());
        let ended = self.spec(verb, instance)?.time_limit(limit).run(None)?;
        let word = format!("{verb:?}").to_lowercase();
        match ended.outcome {
            Outcome::Exited(0) => Ok(()),
            Outcome::TimedOut(_) => {
                bail!(timed_out(format!("the {word} command of {instance} did not end within {}", readable(limit))))
            }
            Outcome::NotFound => {
                bail!(refused(format!("the {word} command of {instance}: {} was not found", self.program())))
            }
            outcome => bail!(refused(format!("the {word} command of {instance} {outcome}"))),
        }
    }

    fn program(&self) -> &str {
        self.prefix.first().map_or("/bin/sh", String::as_str)
    }

    fn asked(&self, instance: &Instance) -> Result<State> {
        let limit = self.questions.limit();
        let ended = self.spec(Verb::Status, instance)?.captured(4096).time_limit(limit).run(None)?;
        let printed = String::from_utf8_lossy(&ended.stdout);
        let pid =
            printed.split_ascii_whitespace().next().and_then(|word| word.parse::<u32>().ok()).filter(|pid| *pid > 1);
        match (ended.outcome, pid) {
            (Outcome::Exited(0), Some(pid)) => Ok(match Identity::of(pid)? {
                Some(identity) => running(Some(identity)),
                None => stopped(),
            }),
            (Outcome::Exited(0), None) => Ok(running(None)),
            (Outcome::Exited(3), _) => Ok(stopped()),
            (Outcome::TimedOut(_), _) => {
                bail!(mute(format!("the status command of {instance} did not end within {}", readable(limit))))
            }
            (outcome, _) => bail!(
                refused(format!("the status command of {instance} {outcome}"))
                    .hint("it prints the process number or exits with 0 while the instance runs, and exits with 3 while it does not")
            ),
        }
    }
}

fn running(process: Option<Identity>) -> State {
    State { condition: Condition::Running, process, ..State::default() }
}

fn stopped() -> State {
    State { condition: Condition::Stopped, ..State::default() }
}

impl Manager for Exec {
    fn inspect(&self, instances: &[Instance], act: Option<Act>) -> Result<Inspection> {
        if let Some(act) = act {
            self.commands_for(act)?;
        }
        if let Some(pidfile) = &self.pidfile {
            pidfile::are_distinct(pidfile, instances)?;
        }
        let states = instances.iter().map(|instance| self.state(instance)).collect::<Result<Vec<_>>>()?;
        Ok(Inspection { states, ..Inspection::default() })
    }

    fn state(&self, instance: &Instance) -> Result<State> {
        if self.commands.contains_key(&Verb::Status) {
            let state = self.asked(instance)?;
            if state.process.is_some() || state.is_down() {
                return Ok(state);
            }
        }
        let Some(template) = &self.pidfile else {
            // Exit 0 without a number: it runs, and that is all there is to know.
            let asked = self.commands.contains_key(&Verb::Status);
            return Ok(if asked { running(None) } else { State::default() });
        };
        let path = template.fill(Some(instance)).map_err(anyhow::Error::msg)?;
        Ok(match pidfile::read(Path::new(&path))? {
            PidFile::Running(identity) => running(Some(identity)),
            PidFile::Nobody => stopped(),
        })
    }

    fn unseen(&self, instance: &Instance) -> Result<Option<Failure>> {
        let Some(template) = &self.pidfile else { return Ok(None) };
        // Its own answer, which no pid file is needed for.
        if self.commands.contains_key(&Verb::Status) && self.asked(instance)?.is_down() {
            return Ok(None);
        }
        let path = template.fill(Some(instance)).map_err(anyhow::Error::msg)?;
        Ok(pidfile::missing(Path::new(&path), instance))
    }

    fn act(&self, act: Act, instance: &Instance, before: &State, deadline: Instant) -> Result<Expect> {
        for verb in self.commands_for(act)? {
            // What is down needs no stop before its start.
            if verb == Verb::Stop && act == Act::Restart && before.is_down() {
                continue;
            }
            self.run(verb, instance, deadline)?;
        }
        Ok(match act {
            Act::Restart | Act::Start => Expect::NewProcess,
            Act::Reload => Expect::Up,
            Act::Stop => Expect::Down,
        })
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn settling(&self, _instance: &Instance) -> Duration {
        let knows = self.pidfile.is_some() || self.commands.contains_key(&Verb::Status);
        if knows { SETTLING } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_for_an_act_is_named() {
        use Verb::{Restart, Start, Stop};
        for (given, act, missing) in [
            (&[][..], Act::Restart, Err("restart=, or stop= and start=")),
            (&[Start], Act::Restart, Err("stop= (or restart=)")),
            (&[Stop], Act::Restart, Err("start= (or restart=)")),
            (&[Stop, Start], Act::Restart, Ok(())),
            (&[Restart], Act::Restart, Ok(())),
            (&[Restart], Act::Start, Ok(())),
            (&[Restart], Act::Stop, Err("stop=")),
        ] {
            let commands = given.iter().map(|verb| (*verb, "true".parse().unwrap())).collect();
            let questions = Questions::within(SETTLING);
            let exec = Exec { commands, pidfile: None, prefix: Vec::new(), root: None, questions };
            assert_eq!(exec.check(act), missing, "{given:?} for {act:?}");
        }
    }
}
