//! systemd: system units and, with `--user`, those of the user's own manager.
//!
//! `systemctl show` is asked rather than `status`: its answer is made for programs. A unit that does
//! not exist is shown all the same, as `LoadState=not-found`, with exit status 0.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::ask::{Questions, complaint, order};
use super::{Act, Condition, Down, Expect, Fault, Identity, Inspection, Manager, SETTLING, State, refused, unknown};
use crate::instance::Instance;

/// systemd, of the system or of the user.
#[derive(Debug)]
pub(crate) struct Systemd {
    /// What to put before commands that change something: `sudo -n`.
    pub(crate) prefix: Vec<String>,
    /// Which manager.
    pub(crate) scope: Scope,
    /// How it is asked.
    pub(crate) questions: Questions,
    /// The directory of releases, to tell a unit that names a release rather than the link.
    pub(crate) releases: Option<PathBuf>,
    /// The `Type=` of the units, as `inspect` found them.
    pub(crate) kinds: Mutex<HashMap<Instance, String>>,
}

/// Which of systemd's managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// PID 1.
    System,
    /// The caller's own.
    User,
}

const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Type,MainPID,Result,NRestarts,InvocationID,NeedDaemonReload,\
                          CanReload,ExecMainCode,ExecMainStatus,ExecStart,WorkingDirectory,RootDirectory";

type Properties = HashMap<String, String>;

impl Systemd {
    fn systemctl(&self) -> Vec<String> {
        let mut argv = vec!["systemctl".to_owned()];
        if self.scope == Scope::User {
            argv.push("--user".into());
        }
        argv
    }

    fn show(&self, instances: &[Instance]) -> Result<Vec<Properties>> {
        let mut argv = self.systemctl();
        argv.extend(["show".into(), "--property".into(), PROPERTIES.into()]);
        argv.extend(instances.iter().map(ToString::to_string));
        let ended = self.questions.ask("systemctl show", &argv)?;
        if !ended.outcome.is_success() {
            bail!(refused(format!("systemd does not answer: {}", complaint(&ended))));
        }
        let answers = parse(&String::from_utf8_lossy(&ended.stdout));
        if answers.len() != instances.len() {
            bail!(refused(format!("systemd told of {} units of {}", answers.len(), instances.len())));
        }
        Ok(answers)
    }

    fn order(&self, words: &[&str], deadline: Instant) -> Result<process::command::Ended> {
        let mut argv = self.prefix.clone();
        argv.extend(self.systemctl());
        argv.extend(words.iter().map(ToString::to_string));
        // A sudoers rule names the whole command line, so nothing is added to it behind a prefix.
        if self.prefix.is_empty() {
            argv.push("--no-ask-password".into());
        }
        order(&format!("systemctl {}", words.join(" ")), &argv, deadline)
    }

    fn kind(&self, instance: &Instance) -> String {
        let kinds = self.kinds.lock();
        kinds.ok().and_then(|kinds| kinds.get(instance).cloned()).unwrap_or_default()
    }

    /// Whether the unit is one that runs to its end, which the order has waited for.
    fn ends_well(&self, instance: &Instance) -> Result<bool> {
        if self.kind(instance) != "oneshot" {
            return Ok(false);
        }
        let answers = self.show(std::slice::from_ref(instance))?;
        let is =
            |key: &str, value: &str| answers.first().and_then(|unit| unit.get(key)).is_some_and(|found| found == value);
        Ok(is("ActiveState", "inactive") && is("Result", "success"))
    }

    /// Whether a start was refused only because there were many before it.
    fn is_held_back(&self, instance: &Instance) -> bool {
        let answers = self.show(std::slice::from_ref(instance)).unwrap_or_default();
        let is =
            |properties: &Properties, key: &str, value: &str| properties.get(key).is_some_and(|found| found == value);
        answers.first().is_some_and(|unit| is(unit, "Result", "start-limit-hit") && is(unit, "NRestarts", "0"))
    }

    fn warnings(&self, instance: &Instance, properties: &Properties) -> Option<(&'static str, String)> {
        let releases = format!("{}/", self.releases.as_ref()?.to_str()?);
        let named = ["ExecStart", "WorkingDirectory", "RootDirectory"]
            .into_iter()
            .find(|property| properties.get(*property).is_some_and(|value| value.contains(&releases)))?;
        let message = format!(
            "{instance}: {named} names a directory under {releases} instead of the link: a restart runs the same release again"
        );
        Some(("restart.pinned_unit", message))
    }
}

impl Manager for Systemd {
    fn inspect(&self, instances: &[Instance], act: Option<Act>) -> Result<Inspection> {
        let mut inspection = Inspection::default();
        for (instance, properties) in instances.iter().zip(self.show(instances)?) {
            let text = |key: &str| properties.get(key).map_or("", String::as_str);
            match text("LoadState") {
                "loaded" => {}
                "not-found" => {
                    bail!(unknown(format!("systemd knows no unit {instance}")).hint("systemctl list-units --all"))
                }
                "masked" => bail!(unknown(format!("the unit {instance} is masked"))),
                other => bail!(
                    unknown(format!("the unit {instance} cannot be loaded ({other})"))
                        .hint(format!("systemctl status {instance}"))
                ),
            }
            let state = state_of(&properties)?;
            if act == Some(Act::Reload) && text("CanReload") == "no" && !state.is_down() {
                bail!(
                    refused(format!("the unit {instance} cannot be reloaded: it has no ExecReload="))
                        .hint("use --action restart")
                );
            }
            if text("NeedDaemonReload") == "yes" {
                inspection.preparation = Some("daemon-reload");
            }
            if let Ok(mut kinds) = self.kinds.lock() {
                kinds.insert(instance.clone(), text("Type").to_owned());
            }
            inspection.warnings.extend(self.warnings(instance, &properties));
            inspection.states.push(state);
        }
        Ok(inspection)
    }

    fn prepare(&self, deadline: Instant) -> Result<()> {
        let ended = self.order(&["daemon-reload"], deadline)?;
        if !ended.outcome.is_success() {
            bail!(refused(format!("a unit changed on disk and systemctl daemon-reload failed: {}", complaint(&ended))));
        }
        Ok(())
    }

    fn state(&self, instance: &Instance) -> Result<State> {
        let answers = self.show(std::slice::from_ref(instance))?;
        answers.first().map_or_else(|| Ok(State::default()), state_of)
    }

    fn act(&self, act: Act, instance: &Instance, before: &State, deadline: Instant) -> Result<Expect> {
        let starts = matches!(act, Act::Start | Act::Restart);
        if starts && (matches!(before.condition, Condition::Failed(_)) || before.restarts > 0) {
            // A unit that failed often in a short time is not started again until its counter is
            // cleared. Refused or not: the order itself says what comes of it.
            let _ = self.order(&["reset-failed", instance.as_str()], deadline);
        }
        let mut ended = self.order(&[act.word(), instance.as_str()], deadline)?;
        if starts && !ended.outcome.is_success() && self.is_held_back(instance) {
            // Deploys in quick succession look to systemd like a service that keeps falling over; by
            // now the old process is stopped, so this must not be the end of it.
            let _ = self.order(&["reset-failed", instance.as_str()], deadline);
            ended = self.order(&["start", instance.as_str()], deadline)?;
        }
        if !ended.outcome.is_success() {
            bail!(
                refused(format!("systemctl {} {instance}: {}", act.word(), complaint(&ended)))
                    .hint(format!("systemctl status {instance}; journalctl -u {instance}"))
            );
        }
        Ok(match act {
            // A oneshot unit is active only while it runs, unless it says RemainAfterExit=.
            Act::Restart | Act::Start if self.ends_well(instance)? => Expect::Done,
            Act::Restart | Act::Start => Expect::NewProcess,
            Act::Reload => Expect::Up,
            Act::Stop => Expect::Down,
        })
    }

    fn settling(&self, instance: &Instance) -> Duration {
        // Only a service that tells when it is ready (or forks when it is) has been waited for.
        if matches!(self.kind(instance).as_str(), "simple" | "exec" | "idle" | "") { SETTLING } else { Duration::ZERO }
    }
}

/// Reads the answer of `systemctl show` for several units: a block of `KEY=value` lines each.
fn parse(answer: &str) -> Vec<Properties> {
    let mut units: Vec<Properties> = Vec::new();
    let mut open = false;
    for line in answer.lines() {
        let Some((key, value)) = line.split_once('=') else {
            open = false;
            continue;
        };
        if !open {
            units.push(Properties::new());
            open = true;
        }
        if let Some(unit) = units.last_mut() {
            unit.insert(key.to_owned(), value.to_owned());
        }
    }
    units
}

fn state_of(properties: &Properties) -> Result<State> {
    let text = |key: &str| properties.get(key).map_or("", String::as_str);
    let number = |key: &str| text(key).parse::<u32>().ok().filter(|number| *number != 0);
    let process = match number("MainPID") {
        Some(pid) => Identity::of(pid)?,
        None => None,
    };
    Ok(State {
        condition: condition(text),
        process,
        run: Some(text("InvocationID").to_owned()).filter(|id| !id.is_empty()),
        restarts: number("NRestarts").unwrap_or(0).into(),
    })
}

fn condition<'a>(text: impl Fn(&str) -> &'a str) -> Condition {
    match (text("ActiveState"), text("SubState")) {
        ("active" | "reloading" | "refreshing", _) => Condition::Running,
        // It ended and waits to be started once more: that is not on its way up.
        ("activating", "auto-restart") => Condition::Failed(down(text)),
        ("activating", _) => Condition::Starting,
        ("deactivating", _) => Condition::Stopping,
        ("inactive", _) => Condition::Stopped,
        ("failed", _) => Condition::Failed(down(text)),
        _ => Condition::Unknown,
    }
}

/// Why a unit is down, by systemd.service(5) `Result` and systemd.exec(5) on exit codes.
fn down<'a>(text: impl Fn(&str) -> &'a str) -> Down {
    let status = text("ExecMainStatus").parse::<i32>().unwrap_or(0);
    let exited = text("ExecMainCode") == "1";
    let result = text("Result");
    let reason = match result {
        "exit-code" => format!("its process exited with {status}"),
        "signal" | "core-dump" => format!("its process was ended by signal {status} ({result})"),
        "success" | "" => "its process ended".to_owned(),
        "timeout" => "it was not ready in time".to_owned(),
        "protocol" => "it ended without saying that it was ready".to_owned(),
        other => other.to_owned(),
    };
    let by_release = match result {
        // 200 to 243 are systemd's own, set before the program runs; of these only a missing directory
        // (200) or program (203) is the release's.
        "exit-code" => !(exited && (200..=243).contains(&status)) || matches!(status, 200 | 203),
        "signal" | "core-dump" | "watchdog" | "protocol" | "timeout" | "oom-kill" | "success" => true,
        // Systemd started it again until it had enough.
        "start-limit-hit" => !matches!(text("NRestarts"), "" | "0"),
        _ => false,
    };
    Down { reason, fault: if by_release { Fault::Release } else { Fault::Nobody } }
}

/// Whatever systemctl prints has a meaning: no unit without a line of it, no process that is not one.
pub(crate) fn fuzz(bytes: &[u8]) {
    let answer = String::from_utf8_lossy(bytes);
    let units = parse(&answer);
    assert!(units.len() <= answer.lines().count());
    for properties in &units {
        assert!(!properties.is_empty());
        if let Ok(state) = state_of(properties) {
            assert!(
                state.process.is_none_or(|process| properties.get("MainPID") != Some(&"0".into()) && process.pid > 0)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_units_are_read_as_blocks_and_values_keep_their_equal_signs() {
        let answer = "Id=a.service\nExecStart={ path=/bin/a ; argv[]=/bin/a --x=1 }\n\nId=b.service\nMainPID=0\n";
        let units = parse(answer);
        assert_eq!(units.len(), 2);
        assert_eq!(units[0]["ExecStart"], "{ path=/bin/a ; argv[]=/bin/a --x=1 }");
        assert_eq!(units[1]["MainPID"], "0");
    }

    #[test]
    fn conditions_by_active_and_sub_state() {
        let of = |active: &'static str, sub: &'static str, result: &'static str, status: &'static str| {
            condition(|key| match key {
                "ActiveState" => active,
                "SubState" => sub,
                "Result" => result,
                "ExecMainCode" => "1",
                "ExecMainStatus" => status,
                _ => "",
            })
        };
        assert_eq!(of("active", "running", "success", "0"), Condition::Running);
        assert_eq!(of("active", "exited", "success", "0"), Condition::Running);
        assert_eq!(of("activating", "start", "success", "0"), Condition::Starting);
        assert_eq!(of("inactive", "dead", "success", "0"), Condition::Stopped);
        let fault = |condition| match condition {
            Condition::Failed(down) => Some(down.fault),
            _ => None,
        };
        for (active, sub, result, status, expected) in [
            ("activating", "auto-restart", "exit-code", "1", Fault::Release),
            ("failed", "failed", "exit-code", "1", Fault::Release),
            ("failed", "failed", "exit-code", "203", Fault::Release),
            ("failed", "failed", "exit-code", "217", Fault::Nobody),
            ("failed", "failed", "signal", "11", Fault::Release),
            ("failed", "failed", "timeout", "0", Fault::Release),
            ("failed", "failed", "resources", "0", Fault::Nobody),
            ("failed", "failed", "start-limit-hit", "0", Fault::Nobody),
        ] {
            assert_eq!(fault(of(active, sub, result, status)), Some(expected), "{result} {status}");
        }
    }
}
