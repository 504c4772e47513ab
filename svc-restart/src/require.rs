//! `--require`: a probe that must be healthy now, asked of svc-health before anything is done.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use process::command::{Outcome, Spec};
use record::{Exit, Failure};

const PROBER: &str = "svc-health";
/// One attempt is bounded by svc-health itself; this ends one that hangs all the same.
const LIMIT: Duration = Duration::from_secs(60);

/// Fails unless the target is healthy now. Nobody's release is blamed: nothing of it was asked.
pub(crate) fn healthy(target: &str, interrupts: BorrowedFd<'_>) -> Result<()> {
    let program = beside_us().unwrap_or_else(|| PROBER.into());
    let argv = [program.into_os_string(), "--no-record".into(), "--quiet".into(), "--".into(), target.into()];
    let ended = Spec::program("the required probe", argv).captured(1 << 20).time_limit(LIMIT).run(Some(interrupts))?;
    let shown = record::visible(target);
    match ended.outcome {
        Outcome::Exited(0) => Ok(()),
        Outcome::NotFound => bail!(
            Failure::new(
                Exit::Failed,
                "restart.require",
                format!("{PROBER} was not found, so {shown} cannot be asked")
            )
            .hint(format!("install {PROBER} beside svc-restart or in PATH"))
        ),
        outcome => {
            let said = record::parse(&ended.stdout).ok().and_then(|record| record.error).map(|error| error.message);
            let why = said.unwrap_or_else(|| outcome.to_string());
            bail!(
                Failure::new(
                    Exit::Failed,
                    "restart.require",
                    format!("{shown} is required to be healthy and is not: {why}")
                )
                .hint("nothing was touched")
                .retryable()
            )
        }
    }
}

fn beside_us() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.parent()?.join(PROBER)).filter(|path| path.is_file())
}
