//! Upstart, by the lines that `initctl` prints: `app start/running, process 812`, `app stop/waiting`.
//!
//! `initctl restart` keeps the job as it was configured when it started, and refuses one that is stopped;
//! so a restart is a stop and a start.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use record::{Exit, Failure};

use super::ask::{Questions, complaint, order};
use super::{Act, Condition, Down, Expect, Fault, Identity, Inspection, Manager, SETTLING, State, refused, unknown};
use crate::instance::Instance;

/// Upstart's init.
#[derive(Debug)]
pub(crate) struct Upstart {
    /// What to put before commands that change something.
    pub(crate) prefix: Vec<String>,
    /// The variable that tells the instances of a job apart (`N` in `N=7`); without it a name is a job's.
    pub(crate) key: Option<String>,
    /// How it is asked.
    pub(crate) questions: Questions,
}

impl Upstart {
    /// The job and, for one of several instances, its assignment: `app`, or `app N=7`.
    fn job(&self, instance: &Instance) -> Vec<String> {
        match (&self.key, instance.as_str().split_once('@'), instance.index()) {
            (Some(key), Some((job, _)), Some(index)) => vec![job.to_owned(), format!("{key}={index}")],
            _ => vec![instance.to_string()],
        }
    }

    fn initctl(&self, verb: &str, instance: &Instance) -> Vec<String> {
        let mut argv = vec!["initctl".to_owned(), verb.to_owned()];
        argv.extend(self.job(instance));
        argv
    }

    fn order(&self, verb: &str, instance: &Instance, deadline: Instant) -> Result<()> {
        let mut argv = self.prefix.clone();
        argv.extend(self.initctl(verb, instance));
        let ended = order(&format!("initctl {verb} {instance}"), &argv, deadline)?;
        if ended.outcome.is_success() || (verb == "stop" && is_unknown_instance(&ended.stderr)) {
            return Ok(());
        }
        let said = complaint(&ended);
        if verb == "start" && said.contains("failed to start") {
            // What Upstart says when the job's process ended before it counted as running.
            let message = format!("{instance} did not stay up: it failed to start");
            bail!(Failure::new(Exit::Unhealthy, "restart.down", message).blame_release());
        }
        bail!(refused(format!("initctl {verb} {instance}: {said}")))
    }
}

impl Manager for Upstart {
    fn inspect(&self, instances: &[Instance], _act: Option<Act>) -> Result<Inspection> {
        let states = instances.iter().map(|instance| self.state(instance)).collect::<Result<Vec<_>>>()?;
        Ok(Inspection { states, ..Inspection::default() })
    }

    fn state(&self, instance: &Instance) -> Result<State> {
        let ended = self.questions.ask("initctl status", &self.initctl("status", instance))?;
        if !ended.outcome.is_success() {
            if is_unknown_instance(&ended.stderr) {
                return Ok(State { condition: Condition::Stopped, ..State::default() });
            }
            let said = complaint(&ended);
            if said.contains("Unknown job") {
                bail!(unknown(format!("Upstart knows no job {}", self.job(instance).join(" "))).hint("initctl list"));
            }
            bail!(refused(format!("initctl status {instance}: {said}")));
        }
        let text = String::from_utf8_lossy(&ended.stdout);
        let (condition, pid) = understand(&text);
        let process = match pid {
            Some(pid) => Identity::of(pid)?,
            None => None,
        };
        Ok(State { condition, process, ..State::default() })
    }

    fn act(&self, act: Act, instance: &Instance, before: &State, deadline: Instant) -> Result<Expect> {
        match act {
            Act::Restart | Act::Start => {
                if act == Act::Restart && !before.is_down() {
                    self.order("stop", instance, deadline)?;
                }
                self.order("start", instance, deadline)?;
                Ok(Expect::NewProcess)
            }
            Act::Reload => self.order("reload", instance, deadline).map(|()| Expect::Up),
            Act::Stop => self.order("stop", instance, deadline).map(|()| Expect::Down),
        }
    }

    fn settling(&self, _instance: &Instance) -> Duration {
        SETTLING
    }
}

/// What initctl says of an instance that is not there: it is stopped. The name after the colon is empty
/// for a job without instances.
fn is_unknown_instance(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("Unknown instance")
}

/// Reads `NAME GOAL/STATE, process PID`, where the instance stands in parentheses behind the name.
fn understand(answer: &str) -> (Condition, Option<u32>) {
    let line = answer.lines().next().unwrap_or("");
    let (facts, pid) = match line.split_once(", process ") {
        Some((facts, pid)) => (facts, pid.trim().parse().ok()),
        None => (line, None),
    };
    let condition = match facts.rsplit(' ').next().unwrap_or("").split_once('/') {
        Some(("start", "running")) => Condition::Running,
        Some(("start", _)) => Condition::Starting,
        Some(("stop", "waiting")) => Condition::Stopped,
        Some(("stop", _)) => Condition::Stopping,
        _ => {
            Condition::Failed(Down { reason: "initctl says something else than a state".into(), fault: Fault::Nobody })
        }
    };
    (condition, pid)
}

/// Whatever initctl prints is a state or is called none.
pub(crate) fn fuzz(bytes: &[u8]) {
    let answer = String::from_utf8_lossy(bytes);
    let (condition, _) = understand(&answer);
    assert!(condition != Condition::Running || answer.contains("start/running"));
    is_unknown_instance(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_initctl_prints() {
        for (line, condition, pid) in [
            ("app start/running, process 28326\n", Condition::Running, Some(28326)),
            ("inst (7) start/running, process 41\n", Condition::Running, Some(41)),
            ("app start/running\n", Condition::Running, None),
            ("app start/spawned, process 12\n", Condition::Starting, Some(12)),
            ("app stop/waiting\n", Condition::Stopped, None),
            ("app stop/killed, process 9\n", Condition::Stopping, Some(9)),
        ] {
            assert_eq!(understand(line), (condition, pid), "{line}");
        }
        assert!(matches!(understand("").0, Condition::Failed(_)));
        assert!(is_unknown_instance(b"initctl: Unknown instance: \n"));
        assert!(!is_unknown_instance(b"initctl: Unknown job: nope\n"));
    }

    #[test]
    fn a_name_becomes_a_job_and_its_variable() {
        let questions = Questions::within(SETTLING);
        let keyed = Upstart { prefix: Vec::new(), key: Some("N".into()), questions };
        assert_eq!(keyed.job(&"inst@7".parse().unwrap()), ["inst", "N=7"]);
        assert_eq!(keyed.job(&"app".parse().unwrap()), ["app"]);
        let plain = Upstart { prefix: Vec::new(), key: None, questions };
        assert_eq!(plain.job(&"app".parse().unwrap()), ["app"]);
    }
}
