//! A daemon that runs for as long as its story.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Shop;

/// A started daemon, in a process group of its own; the whole group is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Starts a program in the story's directory; what it says goes to `PROGRAM.log` there.
    pub fn start(shop: &Shop, words: &[&str]) -> Self {
        let name = words[0].rsplit('/').next().unwrap_or_default();
        let log = fs::File::create(shop.path().join(format!("{name}.log"))).expect("open a daemon's log");
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", shop.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("share the log")).stderr(log);
        command.current_dir(shop.path()).process_group(0);
        Self(command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", words[0])))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Asks it to end and waits for that: for what has to clean up.
    pub fn end(mut self) {
        let _ = nix::sys::signal::kill(self.number(), Signal::SIGTERM);
        let _ = self.0.wait();
    }

    fn number(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a pid"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = killpg(self.number(), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}
