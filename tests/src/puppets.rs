//! Instances of a service that cost next to nothing, so that thousands of restarts can be tried; what is done to them is logged.
//!
//! An instance is a process that waits for the end of the story. It remembers the release that the link named when it
//! was started. Its manager is a shell script for `svc-restart --via exec`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Shop;
use crate::running::until;

/// The instances; more than two, so that a batch of one is not all of the rest.
pub const INSTANCES: [&str; 3] = ["shop@1", "shop@2", "shop@3"];

const MANAGER: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
pid=
[ ! -e "$2.pid" ] || pid=$(cat "$2.pid")
# One that has ended but was not collected has no program any more.
[ "$pid" ] && [ -e "/proc/$pid/exe" ] || pid=
stop() {
    echo "stop $1" >>log
    [ "$pid" ] || return 0
    kill -9 "$pid"
    while [ -e "/proc/$pid/exe" ]; do :; done
    pid=
    rm -f "$1.pid" "$1.release"
}
start() {
    [ -z "$pid" ] || return 0
    release=$(readlink "$ROOT/current") || exit 1
    setsid flock -s alive true <&- >/dev/null 2>&1 &
    echo "${release##*/}" >"$1.release"
    echo $! >"$1.new" && mv "$1.new" "$1.pid"
    echo "start $1" >>log
}
case $1 in
    status) [ "$pid" ] && echo "$pid" || exit 3 ;;
    stop) stop "$2" ;;
    start) start "$2" ;;
    restart) stop "$2"; start "$2" ;;
esac
"#;

/// The manager and the instances of one shop.
#[derive(Debug)]
pub struct Puppets {
    dir: PathBuf,
}

impl Puppets {
    /// Puts the manager beside the shop's services. Nothing runs yet.
    pub fn of(shop: &Shop) -> Self {
        let dir = shop.services().dir().to_owned();
        fs::write(dir.join("puppets"), MANAGER).expect("write the manager");
        fs::set_permissions(dir.join("puppets"), fs::Permissions::from_mode(0o755)).expect("make it executable");
        Self { dir }
    }

    /// The command that restarts all of them one by one, each gated by what its release says of itself in `mode`.
    pub fn restart(&self) -> String {
        let manager = self.dir.join("puppets").display().to_string();
        let commands = ["start", "stop", "restart", "status"]
            .map(|verb| format!("--command {verb}='{manager} {verb} {{instance}}'"));
        let gate =
            r#": {instance}; read -r mode <"$CUTOVER_RELEASE_PATH/mode"; [ "$mode" != bad ] || [ {i} = 1 ] || exit 3"#;
        format!("svc-restart -q --via exec {} {} --stable 1ms --gate '{gate}'", commands.join(" "), INSTANCES.join(" "))
    }

    /// The manager's own command.
    pub fn command(&self, verb: &str, instance: &str) -> String {
        format!("{} {verb} {instance}", self.dir.join("puppets").display())
    }

    /// Waits until no command of the manager is at work: one that was started by a killed tool ends by itself.
    pub fn settle(&self) {
        let manager = self.dir.join("puppets").display().to_string();
        until("the manager has ended", || !processes().any(|words| words.contains(&manager)));
    }

    /// What was done since the log was last cleared, such as `stop shop@1`.
    pub fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Forgets what was done.
    pub fn clear_log(&self) {
        let _ = fs::remove_file(self.dir.join("log"));
    }

    /// The instances that something was done to.
    pub fn touched(&self) -> BTreeSet<String> {
        self.log().iter().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
    }

    /// The most instances that were down at once, by the log.
    pub fn most_down(&self) -> usize {
        let (mut down, mut most) = (BTreeSet::new(), 0);
        for line in self.log() {
            match line.split_once(' ') {
                Some(("stop", name)) => down.insert(name.to_owned()),
                Some((_, name)) => down.remove(name),
                None => false,
            };
            most = most.max(down.len());
        }
        most
    }

    /// The release that an instance runs; nothing when it does not run.
    pub fn release(&self, instance: &str) -> Option<String> {
        self.pid(instance)?;
        Some(fs::read_to_string(self.dir.join(format!("{instance}.release"))).ok()?.trim().to_owned())
    }

    /// Makes an instance seem to run this release.
    pub fn pretend(&self, instance: &str, release: &str) {
        fs::write(self.dir.join(format!("{instance}.release")), release).expect("write a release's name");
    }

    /// The process of an instance that runs.
    pub fn pid(&self, instance: &str) -> Option<u32> {
        let pid: u32 = fs::read_to_string(self.dir.join(format!("{instance}.pid"))).ok()?.trim().parse().ok()?;
        Path::new(&format!("/proc/{pid}/exe")).exists().then_some(pid)
    }

    /// What each instance runs, in order.
    pub fn releases(&self) -> Vec<Option<String>> {
        INSTANCES.iter().map(|instance| self.release(instance)).collect()
    }
}

/// The command lines of all processes.
fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
}
