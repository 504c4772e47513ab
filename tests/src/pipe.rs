//! A script as a user types it, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Record, Running, Shop, binaries, skip};

/// A script for a shell, with its surroundings. Nothing runs before [`Pipe::run`] or [`Pipe::start`].
#[derive(Debug)]
pub struct Pipe {
    script: String,
    shell: Vec<String>,
    prefix: Vec<String>,
    env: BTreeMap<String, String>,
    dir: PathBuf,
    stdin: Option<Vec<u8>>,
    deadline: Duration,
    is_awaited: bool,
}

impl Pipe {
    pub(crate) fn new(shop: &Shop, script: String) -> Self {
        let path =
            format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", binaries::directory().display());
        let mut env = shop.services().environment();
        env.insert("PATH".to_owned(), path);
        env.insert("HOME".to_owned(), shop.path().display().to_string());
        env.insert("ROOT".to_owned(), shop.root().display().to_string());
        env.insert("LC_ALL".to_owned(), "C.UTF-8".to_owned());
        // A story that is tried with a planted bug hands it on: see `planted`.
        env.extend(std::env::var("CUTOVER_PLANTED").map(|bug| ("CUTOVER_PLANTED".to_owned(), bug)));
        Self {
            script,
            shell: vec!["dash".to_owned(), "-c".to_owned()],
            prefix: Vec::new(),
            env,
            dir: shop.path().to_owned(),
            stdin: None,
            deadline: Duration::from_secs(60),
            is_awaited: false,
        }
    }

    /// Another shell, such as `["bash", "-o", "pipefail", "-c"]`.
    pub fn shell(mut self, words: &[&str]) -> Self {
        self.shell = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Words before the shell: `strace …`, `setpriv …`, `nsenter …`.
    pub fn under(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.prefix = words.into_iter().map(Into::into).chain(self.prefix).collect();
        self
    }

    /// In a namespace where no process is but the script's own, if this machine has processes that even root may not
    /// look at: a collection then keeps whatever was live today. `None` where that cannot be had.
    pub fn seeing_all_processes(self) -> Option<Self> {
        if skip::sees_all_processes() {
            return Some(self);
        }
        let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
        skip::succeeds(&[&words[..], &["true"]].concat()).then(|| self.under(words))
    }

    /// Sets a variable. The environment is otherwise empty but for PATH, HOME, ROOT, LC_ALL and the services' names.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Feeds the script; without this its stdin is /dev/null.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// After so long the whole process group is killed and the story fails. 60 s unless set.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What reads its stdout has said that it is ready, as a later stage of the tools does: the last stage need not find
    /// out who reads, for which it would look at processes and wait.
    pub fn awaited(mut self) -> Self {
        self.is_awaited = true;
        self
    }

    /// Starts the script in a process group of its own.
    pub fn start(self) -> Running {
        let mut words = self.prefix.iter().chain(&self.shell);
        let mut command = Command::new(words.next().expect("a shell"));
        command.args(words).arg(&self.script).current_dir(&self.dir).env_clear().envs(&self.env);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // A regular file, so that neither a reader that stops early nor a slow one matters.
        command.stdin(match &self.stdin {
            None => Stdio::null(),
            Some(bytes) => {
                let mut file = tempfile::tempfile().expect("make a file for stdin");
                std::io::Write::write_all(&mut file, bytes).expect("write stdin");
                std::io::Seek::rewind(&mut file).expect("rewind stdin");
                Stdio::from(file)
            }
        });
        Running::spawn(command, self.script, self.deadline, self.is_awaited)
    }

    /// Runs the script to its end.
    pub fn run(self) -> Run {
        self.start().wait()
    }

    /// Runs the script with stdout going to a file, such as `/dev/full`.
    pub fn run_into(self, stdout: File) -> Run {
        let mut command = Command::new(&self.shell[0]);
        command.args(&self.shell[1..]).arg(&self.script).current_dir(&self.dir).env_clear().envs(&self.env);
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        Running::spawn(command, self.script, self.deadline, false).wait()
    }
}

/// What came of a script.
#[derive(Debug, Clone)]
pub struct Run {
    /// The script.
    pub script: String,
    /// Its exit status; 128+n when signal n ended the shell itself.
    pub status: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
}

impl Run {
    /// Panics with everything there is to see unless the status is this one.
    #[track_caller]
    pub fn exits(&self, status: i32) -> &Self {
        assert!(self.status == status, "the status should be {status}\n{self}");
        self
    }

    /// Panics unless the status is one of these.
    #[track_caller]
    pub fn exits_one_of(&self, statuses: &[i32]) -> &Self {
        assert!(statuses.contains(&self.status), "the status should be one of {statuses:?}\n{self}");
        self
    }

    /// The record on stdout, valid by the schema and of one mind with the exit status.
    #[track_caller]
    pub fn record(&self) -> Record {
        let record = match Record::parse(&self.stdout) {
            Ok(record) => record,
            Err(why) => panic!("no valid record: {why}\n{self}"),
        };
        let said = if record["ok"] == false {
            record["error"]["exit"].as_i64()
        } else if record["held"] == true {
            Some(6)
        } else {
            Some(0)
        };
        // 4: done as the record says, but something beside it, such as run.json, could not be written.
        let agree = said == Some(i64::from(self.status)) || (said == Some(0) && self.status == 4);
        assert!(agree, "record and exit status disagree\n{self}");
        record
    }

    /// Panics unless stdout is empty.
    #[track_caller]
    pub fn prints_nothing(&self) -> &Self {
        assert!(self.stdout.is_empty(), "stdout should be empty\n{self}");
        self
    }

    /// Panics unless stderr contains this.
    #[track_caller]
    pub fn says(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "stderr should contain {part:?}\n{self}");
        self
    }

    /// Panics unless the record's `error.code` is this.
    #[track_caller]
    pub fn fails_with(&self, code: &str) -> &Self {
        assert!(self.record().code() == code, "the code should be {code}\n{self}");
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { script, status, stdout, stderr, .. } = self;
        write!(f, "--- command\n{script}\n--- status {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
    }
}
