//! A real systemd, booted in namespaces of its own over the machine's own files. Starts in half a second.
//!
//! The machine's root is the lower layer of an overlay, so that nothing the units do reaches it; only the story's
//! directory and cargo's target directory are the real ones inside. It ends with the story, also when the story is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::running::until;
use crate::{Pipe, Shop, binaries, skip};

/// A booted systemd. Dropped, everything in it is killed.
#[derive(Debug)]
pub struct Systemd {
    boot: Child,
    dir: PathBuf,
    leader: String,
}

/// Why there can be no systemd here, if so.
pub fn obstacle() -> Option<String> {
    if !skip::is_root() {
        return Some("a systemd of our own needs root".to_owned());
    }
    let missing = ["unshare", "nsenter", "ip", "systemctl", "flock"].into_iter().find(|program| !skip::has(program));
    if let Some(program) = missing {
        return Some(format!("a systemd of our own needs {program}"));
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        return Some("systemd is not installed".to_owned());
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let cgroup = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let writable = cgroup.filter(|mount| mount[2] == "cgroup2").any(|mount| mount[3].split(',').any(|o| o == "rw"));
    (!writable).then(|| "a systemd of our own needs a writable cgroup2".to_owned())
}

impl Systemd {
    /// Boots with these units (name, text) installed. `Err` says why it cannot be on this machine.
    pub fn boot(shop: &Shop, units: &[(&str, &str)]) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(obstacle) = obstacle() {
            return Err(obstacle);
        }
        let dir = shop.path().join("systemd");
        fs::create_dir_all(dir.join("units")).expect("make the directory of units");
        for (name, text) in units {
            fs::write(dir.join("units").join(name), text).expect("write a unit");
        }
        let name = format!("cutover-story-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let script = binaries::workspace().join("tests/real/systemd");
        let boot = Command::new("bash")
            .arg(script)
            .arg(&dir)
            .env("NAME", name)
            .env("ALIVE", shop.services().dir().join("alive"))
            .env("BIND", format!("{} {}", shop.path().display(), binaries::target().display()))
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.join("console")).expect("open the console"))
            .stderr(fs::File::create(dir.join("boot")).expect("open the log of the boot"))
            .spawn()
            .expect("start the boot");
        let mut systemd = Self { boot, dir, leader: String::new() };
        systemd.wait_until_booted();
        Ok(systemd)
    }

    fn wait_until_booted(&mut self) {
        let pidfile = self.dir.join("pid");
        let log = self.dir.join("boot");
        until("systemd is up", || {
            let ended = self.boot.try_wait().expect("watch the boot");
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "systemd did not boot: {}", log());
            pidfile.exists()
        });
        self.leader = fs::read_to_string(&pidfile).expect("read the pid").trim().to_owned();
    }

    /// A script that runs inside, in the story's directory.
    pub fn pipe(&self, shop: &Shop, script: impl Into<String>) -> Pipe {
        shop.pipe(script).under(self.enter(shop))
    }

    /// The words before a command that let it run inside, in the story's directory.
    pub fn enter(&self, shop: &Shop) -> Vec<String> {
        let enter = format!("nsenter -t {} -m -u -i -n -p -C --wdns={}", self.leader, shop.path().display());
        enter.split(' ').map(str::to_owned).collect()
    }

    /// Runs `systemctl` inside and returns what it prints, its failures included.
    pub fn systemctl(&self, shop: &Shop, arguments: &str) -> String {
        let run = self.pipe(shop, format!("systemctl {arguments} 2>&1")).run();
        run.stdout.trim().to_owned()
    }

    /// The MainPID of a unit, `"0"` when it does not run.
    pub fn main_pid(&self, shop: &Shop, unit: &str) -> String {
        self.systemctl(shop, &format!("show --property MainPID --value {unit}"))
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // The script kills its namespaces and removes its cgroup when it is told to end.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.boot.id()).expect("a pid"));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.boot.wait();
    }
}
