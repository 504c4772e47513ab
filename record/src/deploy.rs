//! The deploy lock: one whole pipe at a time, and who holds a lock.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use dir::{Flock, Wait};
use serde::{Deserialize, Serialize};

use crate::{Exit, Failure, RootDir, clock, family, host};

/// The environment variable that names the inherited descriptor of the deploy lock; several, with commas between them,
/// below the deploys of several roots.
pub const DEPLOY_FD: &str = "CUTOVER_DEPLOY_FD";

/// How long a waiting tool may be deaf to signals and to the end of its pipe.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Who holds a lock, as its file says; without any argument of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// User name.
    pub user: String,
    /// Host name.
    pub host: String,
    /// The tool.
    pub tool: String,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// The deploy's id, random: it ties `run.json` to the deploy that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<String>,
}

impl Holder {
    /// This process, as the tool `tool`.
    pub fn this(tool: &str) -> Self {
        Self {
            pid: std::process::id(),
            user: host::user_name(),
            host: host::host_name(),
            tool: tool.to_owned(),
            since: clock::rfc3339(clock::now()),
            deploy: None,
        }
    }

    /// Writes it into the file of a lock that is held. Not synced: after a power cut nobody holds it.
    pub fn write_to(&self, mut file: &File) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&text)
    }

    /// Reads what the holder wrote; `None` while it is still writing, or if nobody wrote anything.
    pub fn read_from(mut file: &File) -> Option<Self> {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(4096).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What to do about this holder of a lock that was not waited for long enough. The processes are named one by one: a
    /// shell dies of the signal alone, and the stages below it would go on.
    fn what_to_do(&self) -> String {
        let targets = family::to_signal(self.pid);
        if targets.is_empty() {
            // Its stages go on or take it back; a second signal would stop the undo ones (exit 5).
            let pid = self.pid;
            return format!("wait longer with --lock-wait: process {pid} has ended, but not all that it started");
        }
        let targets: Vec<String> = targets.iter().map(i64::to_string).collect();
        format!("wait longer with --lock-wait, or end it (its undo stages still run): kill -TERM {}", targets.join(" "))
    }

    /// The failure of somebody who wanted the same lock: 75, naming the holder.
    pub fn busy(holder: Option<&Self>, what: &str) -> Failure {
        let message = match holder {
            Some(holder) => format!("{what} is held by {holder}"),
            None => format!("{what} is held by another process"),
        };
        let hint = match holder {
            Some(holder) if holder.host == host::host_name() => holder.what_to_do(),
            _ => "wait longer with --lock-wait".to_owned(),
        };
        Failure::new(Exit::Busy, "lock.busy", message).hint(hint).retryable()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{} (pid {}) of {} on {} since {}", self.tool, self.pid, self.user, self.host, self.since);
        f.write_str(&crate::output::visible(&text))
    }
}

/// The deploy lock as this process has it.
#[derive(Debug)]
pub enum DeployLock {
    /// Held by the deploy this process runs under; the holder as the lock's file says.
    Inherited(Option<Holder>),
    /// Taken by this process, until it drops this.
    Taken(Flock),
}

impl DeployLock {
    /// The lock of the deploy this process runs under, if it does: the inherited descriptor must be
    /// this root's deploy file and must hold the lock (`/proc/self/fdinfo`, proc(5)).
    pub fn inherited(root: &RootDir) -> anyhow::Result<Option<Self>> {
        let numbers = inherited_fds();
        if numbers.is_empty() {
            return Ok(None);
        }
        let state = root.state()?;
        let Some(expected) = state.stat_if_there("deploy")? else { return Ok(None) };
        if !numbers.into_iter().any(|number| holds(number, &expected)) {
            return Ok(None);
        }
        // Opened anew: reading through the inherited one would move its offset.
        let file = state.open_file("deploy", nix::fcntl::OFlag::O_RDONLY, 0)?;
        Ok(Some(Self::Inherited(Holder::read_from(&file))))
    }

    /// Takes the deploy lock of `root` for `holder`; 75 when somebody else still holds it after `wait`. Whenever it is
    /// found held, `still_wanted` is told by whom; its error ends the waiting.
    pub fn take(
        root: &RootDir,
        wait: Wait,
        holder: &Holder,
        mut still_wanted: impl FnMut(Option<&Holder>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let _acting = root.act_as_owner()?;
        let what = || format!("the deploy lock of {}", root.path().display());
        let deadline = Instant::now() + wait.0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match root.state()?.lock_file("deploy", 0o600, Wait(left.min(BETWEEN_LOOKS)))? {
                Ok(lock) => {
                    match holder.write_to(lock.file()) {
                        // On a full disk there is no room for the name, and a collection must get the lock to make
                        // some. Only a deploy's own id is needed later on.
                        Err(e) if holder.deploy.is_none() && e.kind() == std::io::ErrorKind::StorageFull => {}
                        written => written.with_context(|| format!("write who holds {}", what()))?,
                    }
                    return Ok(Self::Taken(lock));
                }
                Err(file) => {
                    let by = Holder::read_from(&file);
                    if left <= BETWEEN_LOOKS {
                        return Err(Holder::busy(by.as_ref(), &what()).into());
                    }
                    still_wanted(by.as_ref())?;
                }
            }
        }
    }

    /// The id of the deploy this process runs under, if it does.
    pub fn deploy(&self) -> Option<&str> {
        match self {
            Self::Inherited(holder) => holder.as_ref()?.deploy.as_deref(),
            Self::Taken(_) => None,
        }
    }
}

/// Whether the descriptor is this file and holds its lock.
fn holds(number: u32, file: &dir::Stat) -> bool {
    let Ok(found) = nix::sys::stat::stat(format!("/proc/self/fd/{number}").as_str()) else { return false };
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let is_locked = |line: &str| line.starts_with("lock:") && line.contains("FLOCK") && line.contains("WRITE");
    dir::Stat(found).identity() == file.identity() && info.lines().any(is_locked)
}

/// The numbers of the inherited descriptors, as the environment names them.
pub(crate) fn inherited_fds() -> Vec<u32> {
    let named = std::env::var_os(DEPLOY_FD).unwrap_or_default().into_string().unwrap_or_default();
    named.split(',').filter_map(|number| number.parse().ok()).collect()
}
