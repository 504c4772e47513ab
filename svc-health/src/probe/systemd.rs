//! `systemd:UNIT`: is the unit active? Asked with `systemctl show`, whose answers are made for programs.

use std::rc::Rc;
use std::time::Duration;

use process::command::{Ended, Outcome, Spec};

use super::Probe;
use super::aside::aside;
use super::release::Owner;
use crate::engine::{Attempt, Io};
use crate::target::Unit;
use crate::verdict::Answer;

const GRACE: Duration = Duration::from_millis(200);
const OUTPUT_MOST: usize = 16 * 1024;
const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,Result,MainPID";

/// Asks the manager about one unit.
#[derive(Debug)]
pub(crate) struct Systemd {
    pub(crate) unit: Unit,
    pub(crate) timeout: Duration,
    pub(crate) owner: Option<Owner>,
}

impl Probe for Systemd {
    fn attempt(&self, io: Rc<Io>) -> Attempt<'_> {
        let manager = if self.unit.user { "--user" } else { "--system" };
        let spec = Spec::program("systemctl", ["systemctl", manager, "show", PROPERTIES, "--", &self.unit.name])
            .captured(OUTPUT_MOST)
            .time_limit(self.timeout)
            .grace(GRACE)
            .guarded();
        Box::pin(async move {
            io.doing("systemctl runs");
            let ended = match aside(&io, move |stop| spec.run(Some(stop))).await {
                Ok(Ok(ended)) => ended,
                Ok(Err(error)) => return Answer::CannotTell(format!("{error:#}")),
                Err(error) => return Answer::CannotTell(format!("start a thread: {error}")),
            };
            match (judged(&ended), &self.owner) {
                ((Answer::Pass, Some(pid)), Some(owner)) => owner.of_pid(pid).err().unwrap_or(Answer::Pass),
                ((Answer::Pass, None), Some(_)) => Answer::CannotTell("the unit has no main process".into()),
                ((answer, _), _) => answer,
            }
        })
    }
}

/// What the manager said, and the unit's main process.
fn judged(ended: &Ended) -> (Answer, Option<u32>) {
    if ended.outcome != Outcome::Exited(0) {
        let said = String::from_utf8_lossy(&ended.stderr);
        let said = crate::expect::shown(said.lines().next().unwrap_or_default().trim(), 200);
        let outcome = format!("systemctl {}", ended.outcome);
        return (Answer::CannotTell(if said.is_empty() { outcome } else { format!("{outcome}: {said}") }), None);
    }
    let printed = String::from_utf8_lossy(&ended.stdout);
    let of = |name: &str| {
        printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().trim()
    };
    let (load, active, sub, result) = (of("LoadState"), of("ActiveState"), of("SubState"), of("Result"));
    let state = format!("the unit is {active} ({sub})");
    let answer = match (load, active) {
        ("not-found", "inactive" | "") => Answer::Fail("there is no such unit".into()),
        (_, "active") => Answer::Pass,
        // It ran, ended, and is only waiting to be tried again.
        (_, "activating") if sub.starts_with("auto-restart") => Answer::Fail(format!("{state}: {result}")),
        (_, "activating" | "reloading" | "refreshing") => Answer::NotYet(state),
        (_, "") => Answer::CannotTell("systemctl told no state".into()),
        _ if result.is_empty() || result == "success" => Answer::Fail(state),
        _ => Answer::Fail(format!("{state}: {result}")),
    };
    (answer, of("MainPID").parse().ok().filter(|pid| *pid != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
        Ended {
            outcome: Outcome::Exited(code),
            stdout: stdout.into(),
            stderr: stderr.into(),
            truncated: false,
            elapsed: Duration::ZERO,
            rest_ended: false,
        }
    }

    #[test]
    fn the_managers_words_become_answers() {
        let show = |load: &str, active: &str, sub: &str, result: &str, pid: u32| {
            format!("LoadState={load}\nActiveState={active}\nSubState={sub}\nResult={result}\nMainPID={pid}\n")
        };
        for (printed, answer, pid) in [
            (show("loaded", "active", "running", "success", 7), Answer::Pass, Some(7)),
            (show("loaded", "active", "exited", "success", 0), Answer::Pass, None),
            (
                show("loaded", "activating", "auto-restart", "exit-code", 0),
                Answer::Fail("the unit is activating (auto-restart): exit-code".into()),
                None,
            ),
            (
                show("loaded", "activating", "start", "success", 8),
                Answer::NotYet("the unit is activating (start)".into()),
                Some(8),
            ),
            (
                show("loaded", "failed", "failed", "exit-code", 0),
                Answer::Fail("the unit is failed (failed): exit-code".into()),
                None,
            ),
            (
                show("loaded", "inactive", "dead", "success", 0),
                Answer::Fail("the unit is inactive (dead)".into()),
                None,
            ),
            (show("not-found", "inactive", "dead", "success", 0), Answer::Fail("there is no such unit".into()), None),
            (String::new(), Answer::CannotTell("systemctl told no state".into()), None),
        ] {
            assert_eq!(judged(&ended(0, &printed, "")), (answer, pid), "{printed}");
        }
    }

    #[test]
    fn a_manager_that_is_not_there_says_nothing_about_the_service() {
        let answer = judged(&ended(1, "", "Failed to connect to bus: No such file or directory\n")).0;
        let reason = "systemctl exited with 1: Failed to connect to bus: No such file or directory";
        assert_eq!(answer, Answer::CannotTell(reason.into()));
    }
}
