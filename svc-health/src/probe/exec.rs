//! `exec:COMMAND`: does the command say yes?

use std::rc::Rc;
use std::time::Duration;

use process::command::{Outcome, Spec};

use super::Probe;
use super::aside::aside;
use crate::engine::{Attempt, Io};
use crate::verdict::Answer;

/// How long a check that is given up may take to end after TERM.
const GRACE: Duration = Duration::from_millis(200);

/// Runs `sh -c COMMAND`; exit 0 is a pass.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) command: String,
    pub(crate) timeout: Duration,
}

impl Probe for Exec {
    fn attempt(&self, io: Rc<Io>) -> Attempt<'_> {
        // What it prints may hold secrets and would be printed two hundred times a second: it is not shown.
        let spec = Spec::shell("the check", &self.command).captured(0).time_limit(self.timeout).grace(GRACE).guarded();
        Box::pin(async move {
            io.doing("the command runs");
            match aside(&io, move |stop| spec.run(Some(stop))).await {
                Ok(Ok(ended)) => judged(ended.outcome),
                Ok(Err(error)) => Answer::CannotTell(format!("{error:#}")),
                Err(error) => Answer::CannotTell(format!("start a thread: {error}")),
            }
        })
    }
}

fn judged(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Exited(0) => Answer::Pass,
        // What the shell says when there is nothing to run: the check is missing, the service may be well.
        Outcome::Exited(code @ (126 | 127)) => {
            Answer::CannotTell(format!("the command cannot be run (the shell says {code})"))
        }
        Outcome::NotFound | Outcome::NotExecutable | Outcome::Interrupted => {
            Answer::CannotTell(format!("the command {outcome}"))
        }
        other => Answer::Fail(format!("the command {other}")),
    }
}
