//! Git processes that are talked to while they run.
#![expect(clippy::disallowed_methods, reason = "these children are talked to both ways, while they run")]

use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use record::{Exit, Failure};
use store::listing::hex;

use super::mirror::{Commit, environment, hardened};
use crate::blobs::Blob;

/// A git process; it ends with this value.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn start(commit: &Commit, arguments: &[&str]) -> Result<Self> {
        let argv = hardened(Path::new(&commit.mirror));
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        for (name, value) in environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.spawn().map(Self).context(Failure::new(Exit::Failed, "mk.git", "git could not be started"))
    }

    pub(super) fn stdin(&mut self) -> Result<ChildStdin> {
        self.0.stdin.take().context("talk to git")
    }

    pub(super) fn stdout(&mut self) -> Result<ChildStdout> {
        self.0.stdout.take().context("talk to git")
    }

    pub(super) fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
    }

    pub(super) fn finish(mut self, what: &str) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait().context("wait for git")?;
        ensure!(status.success(), Failure::new(Exit::Failed, "mk.git", format!("git {what} failed: {status}")));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let _ = self.0.wait();
    }
}

/// A process that is asked for one object after the other.
pub(super) struct Late {
    process: Running,
    asking: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Late {
    pub(super) fn start(commit: &Commit) -> Result<Self> {
        let mut process = Running::start(commit, &["cat-file", "--batch"])?;
        let (asking, answers) = (process.stdin()?, BufReader::new(process.stdout()?));
        Ok(Self { process, asking, answers })
    }

    pub(super) fn ask(&mut self, blob: &Blob) -> Result<&mut BufReader<ChildStdout>> {
        // An id of twenty bytes has zeros behind it, and no id of 32 bytes ends in twelve of them.
        let id = if blob[20..] == [0; 12] { &blob[..20] } else { &blob[..] };
        writeln!(self.asking, "{}", hex(id)).context("ask git cat-file")?;
        Ok(&mut self.answers)
    }

    pub(super) fn finish(self) -> Result<()> {
        drop(self.asking);
        self.process.finish("cat-file")
    }
}
