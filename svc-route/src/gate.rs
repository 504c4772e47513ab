//! The command that must succeed after each move.

use anyhow::bail;
use process::command::{Outcome, Spec};
use record::{Exit, Failure, Pipe, placeholders};
use std::os::fd::AsFd;

use crate::cli::Request;

/// Runs the gate, if there is one. Exit 3 is the release's own no; anything else blames nobody.
pub(crate) fn ask(pipe: &Pipe, request: &Request) -> anyhow::Result<()> {
    let Some(gate) = &request.gate else { return Ok(()) };
    let command = placeholders::fill(gate, pipe.record())?;
    let mut spec = Spec::shell("the gate", command).time_limit(request.gate_timeout).guarded();
    if let Some(root) = &pipe.record().root {
        spec = spec.env("CUTOVER_ROOT", root);
    }
    if let Some(release) = &pipe.record().release {
        spec = spec
            .env("CUTOVER_RELEASE", &release.id)
            .env("CUTOVER_RELEASE_PATH", release.path.as_deref().unwrap_or_default());
    }
    let ended = spec.run(Some(pipe.interrupts().as_fd()))?;
    match ended.outcome {
        Outcome::Exited(0) => Ok(()),
        Outcome::Exited(3) => {
            bail!(Failure::new(Exit::Unhealthy, "route.gate", "the gate answered no").blame_release())
        }
        Outcome::Interrupted => {
            pipe.check_signals()?;
            bail!("the gate was interrupted")
        }
        other => bail!(
            Failure::new(Exit::Failed, "route.gate_failed", format!("the gate {other}"))
                .hint("a gate says no with exit status 3")
        ),
    }
}
