//! A throw-away root, and release-mk run in it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A directory that goes with the test.
pub(crate) struct Site {
    pub(crate) dir: tempfile::TempDir,
}

/// What a run came to.
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) record: Value,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_release-mk"));
        command.arg("--root").arg(self.path("root")).stdin(Stdio::null()).env_remove("CUTOVER_ROOT");
        command
    }

    pub(crate) fn mk(&self, from: &Path, arguments: &[&str]) -> Run {
        Run::of(&self.command().arg("--from").arg(from).args(arguments).output().unwrap())
    }

    /// Lets release-mk read a stream of these bytes.
    pub(crate) fn stream(&self, bytes: &[u8], arguments: &[&str]) -> Run {
        let mut command = self.command();
        command.args(["--from", "-"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // What it refuses it does not read to the end.
        let _ = child.stdin.take().unwrap().write_all(bytes);
        Run::of(&child.wait_with_output().unwrap())
    }

    /// The names in `releases/`, `.cutover/staging/` and `.cutover/trash/`.
    pub(crate) fn state(&self) -> [Vec<String>; 3] {
        ["root/releases", "root/.cutover/staging", "root/.cutover/trash"].map(|below| {
            let Ok(entries) = self.path(below).read_dir() else { return Vec::new() };
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        })
    }

    /// Checks every file of a release against its listing, as anybody can with coreutils.
    pub(crate) fn sha256sum(&self, id: &str) {
        let listing = self.path(&format!("root/.cutover/tree/{id}"));
        let mut command = Command::new("sha256sum");
        let output = command.arg("-c").arg("--strict").arg("--quiet").arg(listing);
        let output = output.current_dir(self.path(&format!("root/releases/{id}"))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Run {
    pub(crate) fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        Self {
            status: output.status.code(),
            record: if stdout.is_empty() { Value::Null } else { serde_json::from_str(&stdout).unwrap() },
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}\n{}", self.stderr, self.record);
        self
    }

    pub(crate) fn code(&self) -> &str {
        self.record["error"]["code"].as_str().unwrap_or("")
    }
}
