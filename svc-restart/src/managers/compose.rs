//! compose: services of a project, by `docker compose` or, where that is missing, `docker-compose`.
//!
//! A restart makes the container anew: a bind mount of the link was resolved when the old one was made.
//! Services it depends on are left alone.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use process::command::Ended;
use serde::Deserialize;

use super::ask::{Questions, complaint, order};
use super::{Act, Condition, Down, Expect, Fault, Identity, Inspection, Manager, SETTLING, State, refused, unknown};
use crate::instance::Instance;

/// A compose project.
#[derive(Debug)]
pub(crate) struct Compose {
    prefix: Vec<String>,
    files: Vec<PathBuf>,
    project: Option<String>,
    spelling: OnceLock<Vec<String>>,
    questions: Questions,
}

impl Compose {
    /// The project of these files, or of the current directory. Nothing is asked yet.
    pub(crate) fn new(prefix: Vec<String>, files: Vec<PathBuf>, project: Option<String>, questions: Questions) -> Self {
        Self { prefix, files, project, spelling: OnceLock::new(), questions }
    }

    /// The words for compose on this machine, with the project's options.
    fn compose(&self) -> Result<Vec<String>> {
        let spelling = match self.spelling.get() {
            Some(known) => known,
            None => {
                let new = ["docker", "compose"].map(str::to_owned).to_vec();
                let version = [self.prefix.clone(), new.clone(), vec!["version".into()]].concat();
                let has_new = self
                    .questions
                    .ask("docker compose version", &version)
                    .is_ok_and(|ended| ended.outcome.is_success());
                let found = if has_new { new } else { vec!["docker-compose".to_owned()] };
                self.spelling.get_or_init(|| found)
            }
        };
        let mut words = [self.prefix.clone(), spelling.clone()].concat();
        for file in &self.files {
            words.extend(["--file".into(), file.display().to_string()]);
        }
        if let Some(project) = &self.project {
            words.extend(["--project-name".into(), project.clone()]);
        }
        Ok(words)
    }

    fn ask(&self, words: &[&str]) -> Result<Ended> {
        let argv = [self.compose()?, words.iter().map(ToString::to_string).collect()].concat();
        self.questions.ask(&format!("compose {}", words.first().unwrap_or(&"")), &argv)
    }

    fn order(&self, words: &[&str], instance: &Instance, deadline: Instant) -> Result<()> {
        let argv =
            [self.compose()?, words.iter().map(ToString::to_string).collect(), vec![instance.to_string()]].concat();
        let what = format!("compose {} {instance}", words.first().unwrap_or(&""));
        let ended = order(&what, &argv, deadline)?;
        if !ended.outcome.is_success() {
            bail!(refused(format!("{what}: {}", last_line(&ended))));
        }
        Ok(())
    }

    fn services(&self) -> Result<Vec<String>> {
        let ended = self.ask(&["config", "--services"])?;
        if !ended.outcome.is_success() {
            bail!(
                refused(format!("compose config: {}", complaint(&ended))).hint("name the project with --compose-file")
            );
        }
        Ok(String::from_utf8_lossy(&ended.stdout).lines().map(|line| line.trim().to_owned()).collect())
    }
}

impl Manager for Compose {
    fn inspect(&self, instances: &[Instance], _act: Option<Act>) -> Result<Inspection> {
        let services = self.services()?;
        if let Some(missing) =
            instances.iter().find(|instance| !services.iter().any(|known| known == instance.as_str()))
        {
            bail!(
                unknown(format!("the project has no service {missing}"))
                    .hint(format!("it has {}", services.join(", ")))
            );
        }
        let states = instances.iter().map(|instance| self.state(instance)).collect::<Result<Vec<_>>>()?;
        Ok(Inspection { states, ..Inspection::default() })
    }

    fn state(&self, instance: &Instance) -> Result<State> {
        let ended = self.ask(&["ps", "-q", instance.as_str()])?;
        let printed = String::from_utf8_lossy(&ended.stdout);
        // Of a service that was scaled the first container stands for all; what it does they do.
        let Some(id) = printed.lines().map(str::trim).find(|line| !line.is_empty()) else {
            // docker compose ps says 1 for a service that has no container.
            return Ok(State { condition: Condition::Stopped, ..State::default() });
        };
        let argv = [self.prefix.clone(), ["docker", "inspect", id].map(str::to_owned).to_vec()].concat();
        let ended = self.questions.ask("docker inspect", &argv)?;
        if !ended.outcome.is_success() {
            let said = complaint(&ended);
            // It was removed between the two questions.
            if said.contains("No such object") {
                return Ok(State { condition: Condition::Stopped, ..State::default() });
            }
            bail!(refused(format!("docker inspect of {instance}: {said}")));
        }
        let facts: Vec<Container> = serde_json::from_slice(&ended.stdout).context("understand docker inspect")?;
        facts.first().map_or_else(|| Ok(State::default()), understand)
    }

    fn act(&self, act: Act, instance: &Instance, _before: &State, deadline: Instant) -> Result<Expect> {
        match act {
            // One that is started is made anew too: the old one may have been made under another release.
            Act::Restart | Act::Start => {
                self.order(&["up", "-d", "--no-deps", "--force-recreate"], instance, deadline)?;
                Ok(Expect::NewProcess)
            }
            Act::Reload => self.order(&["kill", "-s", "HUP"], instance, deadline).map(|()| Expect::Up),
            Act::Stop => self.order(&["stop"], instance, deadline).map(|()| Expect::Down),
        }
    }

    fn settling(&self, _instance: &Instance) -> Duration {
        SETTLING
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(200)
    }
}

/// What docker inspect says of a container, as far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    #[serde(default)]
    restart_count: u64,
    state: ContainerState,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerState {
    status: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    started_at: String,
    /// Only where the image or the service has a health check.
    health: Option<Health>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
}

fn understand(container: &Container) -> Result<State> {
    let Container { id, restart_count, state } = container;
    let failed = |reason: String| Condition::Failed(Down { reason, fault: Fault::Release });
    let exit = state.exit_code;
    let condition = match (state.status.as_str(), state.health.as_ref().map(|health| health.status.as_str())) {
        ("running", Some("starting")) => Condition::Starting,
        ("running", Some("unhealthy")) => failed("its health check says unhealthy".into()),
        ("running", _) => Condition::Running,
        ("created", _) => Condition::Stopped,
        // Ended by itself, or by the TERM or KILL of a stop.
        ("exited", _) if matches!(exit, 0 | 137 | 143) => Condition::Stopped,
        ("exited" | "dead", _) => failed(format!("its container exited with {exit}")),
        ("restarting", _) => failed(format!("its container exited with {exit} and is started over and over")),
        _ => Condition::Unknown,
    };
    let process = if state.pid == 0 { None } else { Identity::of(state.pid)? };
    Ok(State { condition, process, run: Some(format!("{id} {}", state.started_at)), restarts: *restart_count })
}

/// Compose reports progress first and the reason last.
fn last_line(ended: &Ended) -> String {
    let text = String::from_utf8_lossy(&ended.stderr);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map_or_else(|| ended.outcome.to_string(), |line| line.chars().take(300).collect())
}

/// Whatever docker prints is a container or is refused.
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(facts) = serde_json::from_slice::<Vec<Container>>(bytes) else { return };
    for container in &facts {
        if let Ok(state) = understand(container) {
            assert!(state.condition != Condition::Running || container.state.status == "running");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_inspect_says() {
        let condition = |status: &str, exit: i64, health: Option<&str>| {
            let health =
                health.map_or_else(String::new, |health| format!(r#","Health":{{"Status":"{health}","Log":[]}}"#));
            let text = format!(
                r#"{{"Id":"abc","RestartCount":0,"State":{{"Status":"{status}","Pid":0,"ExitCode":{exit}{health}}}}}"#
            );
            understand(&serde_json::from_str(&text).unwrap()).unwrap().condition
        };
        assert_eq!(condition("running", 0, None), Condition::Running);
        assert_eq!(condition("running", 0, Some("healthy")), Condition::Running);
        assert_eq!(condition("running", 0, Some("starting")), Condition::Starting);
        assert_eq!(condition("exited", 0, None), Condition::Stopped);
        assert_eq!(condition("exited", 143, None), Condition::Stopped);
        for (status, exit, health) in [("exited", 1, None), ("running", 0, Some("unhealthy")), ("restarting", 1, None)]
        {
            assert!(matches!(condition(status, exit, health), Condition::Failed(_)), "{status} {exit} {health:?}");
        }
    }
}
