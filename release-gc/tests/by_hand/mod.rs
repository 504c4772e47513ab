//! Roots made by hand, the real binary in them, and what it answers.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use record::clock::rfc3339;
use serde_json::{Value, json};

/// Nothing may be taken for a day-old process that cannot be seen, as happens without uid 0.
const OLD: u64 = 30;

pub(crate) struct Root {
    _holder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    lines: u64,
}

/// A root with `count` good releases `r1`, `r2`, …, a day between each, the newest one live for a day.
pub(crate) fn root(count: u64) -> Root {
    let holder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let path = holder.path().join("app");
    for part in ["releases", "shared"] {
        fs::create_dir_all(path.join(part)).unwrap();
    }
    for part in ["manifests", "tree", "pins", "staging", "trash"] {
        fs::create_dir_all(path.join(".cutover").join(part)).unwrap();
    }
    for lock in ["lock", "deploy"] {
        fs::write(path.join(".cutover").join(lock), "").unwrap();
        fs::set_permissions(path.join(".cutover").join(lock), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut root = Root { _holder: holder, path, lines: 0 };
    for seq in 1..=count {
        let days = OLD + count - seq;
        root.make(seq, days);
        root.activate(seq, days);
    }
    root
}

pub(crate) fn ago(days: u64) -> String {
    #[expect(clippy::disallowed_methods, reason = "dates are counted from now")]
    let now = SystemTime::now();
    rfc3339(now - Duration::from_secs(days * 86_400))
}

impl Root {
    pub(crate) fn state(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(".cutover").join(path)
    }

    pub(crate) fn release(&self, seq: u64) -> PathBuf {
        self.path.join(format!("releases/r{seq}"))
    }

    pub(crate) fn make(&self, seq: u64, days: u64) {
        fs::create_dir_all(self.release(seq).join("sub")).unwrap();
        fs::write(self.release(seq).join("sub/file"), vec![1; 5000]).unwrap();
        let manifest = json!({"id": format!("r{seq}"), "seq": seq, "digest": "sha256:0", "files": 1, "bytes": 5000,
            "created_at": ago(days)});
        fs::write(self.state(format!("manifests/r{seq}.json")), manifest.to_string()).unwrap();
        fs::write(self.state(format!("tree/r{seq}")), "").unwrap();
    }

    pub(crate) fn activate(&mut self, seq: u64, days: u64) {
        let from = (seq > 1).then(|| format!("r{}", seq - 1));
        for kind in ["intent", "done", "good"] {
            self.lines += 1;
            let mut line = json!({"seq": self.lines, "at": ago(days), "pipe": "p", "link": "current", "kind": kind,
                "to": format!("r{seq}"), "to_seq": seq, "target": format!("releases/r{seq}")});
            if let (Some(from), "intent" | "done") = (&from, kind) {
                line["from"] = json!(from);
            }
            let history = fs::OpenOptions::new().append(true).create(true).open(self.state("history.jsonl"));
            writeln!(history.unwrap(), "{line}").unwrap();
        }
        let _ = fs::remove_file(self.path.join("current"));
        symlink(format!("releases/r{seq}"), self.path.join("current")).unwrap();
    }

    pub(crate) fn gc(&self, arguments: &[&str]) -> Answer {
        let mut command = self.command(arguments);
        Answer::of(command.arg("-n").stdin(Stdio::null()).output().unwrap())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_release-gc"));
        command.arg("--root").arg(&self.path).args(arguments);
        for name in ["CUTOVER_ROOT", "CUTOVER_LINK", "CUTOVER_DEPLOY_FD"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn gc_in_a_pipe(&self, arguments: &[&str]) -> Answer {
        let record = json!({"schema": "cutover.record/1", "ok": true, "changed": true, "pipe": "p", "host": record::host::host_name(),
            "root": self.path, "stages": []});
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{record}").unwrap();
        Answer::of(child.wait_with_output().unwrap())
    }

    pub(crate) fn releases(&self) -> Vec<String> {
        names(&self.path.join("releases"))
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) record: Value,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn of(output: Output) -> Self {
        let record = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Self {
            status: output.status.code().unwrap_or(-1),
            record,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn stage(&self) -> &Value {
        let stages = self.record["stages"].as_array().unwrap_or_else(|| panic!("no record: {self:?}"));
        stages.last().unwrap_or_else(|| panic!("no stage: {self:?}"))
    }

    pub(crate) fn removed(&self) -> Vec<&str> {
        self.stage()["removed"].as_array().into_iter().flatten().filter_map(|r| r["id"].as_str()).collect()
    }

    pub(crate) fn rules(&self, id: &str) -> Vec<&str> {
        let kept = self.stage()["kept"].as_array().into_iter().flatten().find(|kept| kept["id"] == id);
        let reasons = kept.and_then(|kept| kept["reasons"].as_array());
        reasons.into_iter().flatten().filter_map(|reason| reason["rule"].as_str()).collect()
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A process that says when it is ready and ends when it is dropped.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
