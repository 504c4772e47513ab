//! supervisor: programs and groups, asked by XML-RPC on supervisord's own unix socket.
//!
//! A call there takes two milliseconds; each call of supervisorctl would start a Python interpreter, and
//! it says "already started" with status 0 of a program that keeps falling over.

mod rpc;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use record::{Exit, Failure};

use super::ask::Questions;
use super::{Act, Condition, Down, Expect, Fault, Identity, Inspection, Manager, State, refused, unknown};
use crate::instance::Instance;
use rpc::{Answer, Client, Value};

/// Where Debian's package has the socket.
const SOCKET: &str = "/run/supervisor.sock";

/// supervisord behind its socket.
#[derive(Debug)]
pub(crate) struct Supervisor {
    client: Client,
    questions: Questions,
}

impl Supervisor {
    /// The one at this socket, or at the usual place. Not asked anything yet.
    pub(crate) fn new(socket: Option<PathBuf>, questions: Questions) -> Self {
        Self { client: Client { socket: socket.unwrap_or_else(|| SOCKET.into()) }, questions }
    }

    fn info(&self, instance: &Instance) -> Result<Value> {
        let arguments = [Value::Text(instance.to_string())];
        match self.client.call("supervisor.getProcessInfo", &arguments, self.questions.deadline())? {
            Answer::Value(value) => Ok(value),
            Answer::Fault { code: 10, .. } => {
                bail!(unknown(format!("supervisor knows no program {instance}")).hint("supervisorctl status"))
            }
            Answer::Fault { text, .. } => bail!(refused(format!("supervisor on {instance}: {text}"))),
        }
    }

    /// Calls a method that starts or stops, and waits for it.
    fn order(&self, method: &str, arguments: &[Value], deadline: Instant) -> Result<Option<(i64, String)>> {
        match self.client.call(method, arguments, deadline)? {
            Answer::Value(_) => Ok(None),
            Answer::Fault { code, text } => Ok(Some((code, text))),
        }
    }

    fn start(&self, instance: &Instance, deadline: Instant) -> Result<()> {
        let arguments = [Value::Text(instance.to_string()), Value::Boolean(true)];
        match self.order("supervisor.startProcess", &arguments, deadline)? {
            None => Ok(()),
            // ABNORMAL_TERMINATION, and SPAWN_ERROR of a program that could be run and ended at once.
            Some((40 | 50, text)) => {
                let info = self.info(instance)?;
                if !ended_by_itself(&info) {
                    let why = info.text("spawnerr");
                    bail!(refused(format!("supervisor did not start {instance}: {text}: {why}")));
                }
                bail!(
                    Failure::new(
                        Exit::Unhealthy,
                        "restart.down",
                        format!("{instance} did not stay up: it ended at once")
                    )
                    .hint(format!("supervisorctl tail {instance} stderr"))
                    .blame_release()
                )
            }
            // NO_FILE, NOT_EXECUTABLE: the command itself could not be run.
            Some((_, text)) => bail!(refused(format!("supervisor did not start {instance}: {text}"))),
        }
    }

    fn stop(&self, instance: &Instance, deadline: Instant) -> Result<()> {
        let arguments = [Value::Text(instance.to_string()), Value::Boolean(true)];
        match self.order("supervisor.stopProcess", &arguments, deadline)? {
            // NOT_RUNNING: it ended between the question and now.
            None | Some((70, _)) => Ok(()),
            Some((_, text)) => bail!(refused(format!("supervisor did not stop {instance}: {text}"))),
        }
    }
}

impl Manager for Supervisor {
    fn expand(&self, names: Vec<Instance>) -> Result<Vec<Instance>> {
        if names.iter().all(|name| name.as_str().contains(':')) {
            return Ok(names);
        }
        let all = match self.client.call("supervisor.getAllProcessInfo", &[], self.questions.deadline())? {
            Answer::Value(Value::List(all)) => all,
            _ => return Ok(names),
        };
        let mut expanded = Vec::new();
        for name in names {
            let of_group = all.iter().filter(|info| info.text("group") == name.as_str());
            let members: Vec<Instance> = of_group
                .filter_map(|info| format!("{}:{}", info.text("group"), info.text("name")).parse().ok())
                .collect();
            match &members[..] {
                // A program of its own is a group with one member of the same name.
                [only] if only.as_str() == format!("{name}:{name}") => expanded.push(name),
                [] => expanded.push(name),
                _ => expanded.extend(members),
            }
        }
        Ok(expanded)
    }

    fn inspect(&self, instances: &[Instance], _act: Option<Act>) -> Result<Inspection> {
        let states = instances.iter().map(|instance| self.state(instance)).collect::<Result<Vec<_>>>()?;
        Ok(Inspection { states, ..Inspection::default() })
    }

    fn state(&self, instance: &Instance) -> Result<State> {
        let info = self.info(instance)?;
        let process = match u32::try_from(info.number("pid")).ok().filter(|pid| *pid != 0) {
            Some(pid) => Identity::of(pid)?,
            None => None,
        };
        Ok(State { condition: condition(&info), process, ..State::default() })
    }

    fn act(&self, act: Act, instance: &Instance, before: &State, deadline: Instant) -> Result<Expect> {
        // A program that is being tried again counts as started for supervisor, and is not.
        let retried = matches!(before.condition, Condition::Failed(_));
        match act {
            Act::Restart | Act::Start => {
                if !before.is_down() || retried {
                    self.stop(instance, deadline)?;
                }
                self.start(instance, deadline)?;
                Ok(Expect::NewProcess)
            }
            Act::Stop => {
                self.stop(instance, deadline)?;
                Ok(Expect::Down)
            }
            Act::Reload => {
                let arguments = [Value::Text(instance.to_string()), Value::Text("HUP".into())];
                match self.order("supervisor.signalProcess", &arguments, deadline)? {
                    None => Ok(Expect::Up),
                    Some((_, text)) => bail!(refused(format!("supervisor did not signal {instance}: {text}"))),
                }
            }
        }
    }

    fn settling(&self, _instance: &Instance) -> Duration {
        // It was waited for as long as `startsecs` says.
        Duration::ZERO
    }
}

/// Whether the program ran and ended; else it could not be run at all.
fn ended_by_itself(info: &Value) -> bool {
    // The second where the machine is so slow that the program has not ended "too quickly".
    let why = info.text("spawnerr").to_ascii_lowercase();
    why.is_empty() || ["exited too quickly", "bad exit code"].iter().any(|ended| why.contains(ended))
}

fn condition(info: &Value) -> Condition {
    let failed = |reason: String, fault| Condition::Failed(Down { reason, fault });
    match info.text("statename") {
        "RUNNING" => Condition::Running,
        "STARTING" => Condition::Starting,
        "STOPPING" => Condition::Stopping,
        "STOPPED" => Condition::Stopped,
        "EXITED" => failed(format!("its process exited with {}", info.number("exitstatus")), Fault::Release),
        state @ ("BACKOFF" | "FATAL") => {
            let fault = if ended_by_itself(info) { Fault::Release } else { Fault::Nobody };
            failed(format!("{state} {}", info.text("spawnerr")).trim_end().to_owned(), fault)
        }
        _ => Condition::Unknown,
    }
}

/// Whatever supervisord answers is a value, a fault or refused.
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(Answer::Value(info)) = rpc::understand(&String::from_utf8_lossy(bytes)) else { return };
    assert!(condition(&info) != Condition::Running || info.text("statename") == "RUNNING");
    ended_by_itself(&info);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_and_ended_is_the_releases_fault_and_what_could_not_be_run_is_nobodys() {
        let spawnerrs = [
            ("", Fault::Release),
            ("Exited too quickly (process log may have details)", Fault::Release),
            ("Bad exit code 1", Fault::Release),
            ("can't find command '/srv/current/app'", Fault::Nobody),
            ("command at '/srv/current/app' is not executable", Fault::Nobody),
        ];
        for (spawnerr, fault) in spawnerrs {
            for state in ["BACKOFF", "FATAL"] {
                let members = [("statename", state), ("spawnerr", spawnerr)];
                let members = members.map(|(name, text)| (name.to_owned(), Value::Text(text.to_owned())));
                let reason = format!("{state} {spawnerr}").trim_end().to_owned();
                assert_eq!(
                    condition(&Value::Members(members.into())),
                    Condition::Failed(Down { reason, fault }),
                    "{state} {spawnerr}"
                );
            }
        }
    }
}
