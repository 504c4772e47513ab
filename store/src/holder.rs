//! Who holds a lock or builds a release, as told to whoever has to wait.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

/// The holder of a lock. Never with a command line: that may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id, in the holder's own pid namespace.
    pub pid: u32,
    /// Who ran it.
    pub user: String,
    /// Where.
    pub host: String,
    /// The tool's name.
    pub tool: String,
    /// Since when, RFC 3339, UTC.
    pub since: String,
}

impl Holder {
    /// This process, from now on.
    pub(crate) fn this(tool: &str) -> Self {
        Self {
            pid: std::process::id(),
            user: record::host::user_name(),
            host: record::host::host_name(),
            tool: tool.to_owned(),
            since: record::clock::rfc3339(record::clock::now()),
        }
    }

    /// Reads what the holder wrote into its lock file; `None` in the instant before it has.
    pub(crate) fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; 4096];
        let length = file.read_at(&mut bytes, 0).ok()?;
        serde_json::from_slice(bytes.get(..length)?).ok()
    }

    /// Writes this holder into the file it has locked. Told for people only, so it need not be durable.
    pub(crate) fn write(&self, file: &File) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        file.set_len(0)?;
        file.write_all_at(&text, 0)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (pid {}, user {}, host {}) since {}",
            self.tool.escape_debug(),
            self.pid,
            self.user.escape_debug(),
            self.host.escape_debug(),
            self.since.escape_debug()
        )
    }
}
