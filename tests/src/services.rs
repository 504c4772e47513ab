//! The instances of a shop's service: their ports, their manager, what answers.
//!
//! A service holds a shared lock of `services/alive` in wait; it ends by itself when the story that holds the
//! exclusive lock ends, however it ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Four ports and a directory for the manager's pid files. Instances are `shop@1` … `shop@4`.
#[derive(Debug)]
pub struct Services {
    dir: PathBuf,
    ports: u32,
    /// Held, never read.
    _alive: File,
    _reserved: File,
}

impl Services {
    pub(crate) fn new(story: &Path) -> Self {
        let dir = story.join("services");
        fs::create_dir(&dir).expect("make the directory of the services");
        let alive = File::create(dir.join("alive")).expect("make the lock of the services");
        alive.lock().expect("lock the services");
        let (ports, reserved) = reserve();
        Self { dir, ports, _alive: alive, _reserved: reserved }
    }

    /// `SERVICES` and `PORTS` for shop-manager; `MANAGED`, the options of svc-restart that make it manage them;
    /// `GATE`, a gate that asks whether an instance is healthy and runs from the release.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let address = format!("http://127.0.0.1:{}{{i}}/", self.ports);
        let entries = [
            ("SERVICES", self.dir.display().to_string()),
            ("PORTS", self.ports.to_string()),
            ("ADDRESS", address.clone()),
            ("GATE", format!("svc-health {address} --wait 3s --interval 20ms")),
        ];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The port of instance `i`, from 1 on.
    pub fn port(&self, i: u32) -> u16 {
        u16::try_from(self.ports * 10 + i).expect("a port")
    }

    /// What instance `i` answers: status and body, or nothing when nobody listens.
    pub fn ask(&self, i: u32) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port(i))).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The version that instance `i` serves, or nothing when it does not answer 200.
    pub fn version(&self, i: u32) -> Option<String> {
        let (status, body) = self.ask(i)?;
        (status == 200).then(|| body.split(' ').next().unwrap_or_default().to_owned())
    }

    /// The process that answers for instance `i`.
    pub fn pid(&self, i: u32) -> Option<i32> {
        let (_, body) = self.ask(i)?;
        body.split_whitespace().nth(1)?.parse().ok()
    }

    /// What the manager was asked for an instance so far, such as `["start", "restart"]`.
    pub fn asked(&self, i: u32) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join(format!("shop@{i}.asked"))).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Makes the manager fail from now on for the instance with this status.
    pub fn refuse(&self, i: u32, status: u8) {
        fs::write(self.dir.join(format!("shop@{i}.refuse")), status.to_string()).expect("tell the manager to refuse");
    }

    /// The manager does as it is told again.
    pub fn relent(&self, i: u32) {
        let _ = fs::remove_file(self.dir.join(format!("shop@{i}.refuse")));
    }

    /// The manager's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// A shell function `restart` that restarts `shop@1` and `shop@2` through shop-manager, gated, with options to add.
pub fn restart() -> String {
    restart_of("shop@1 shop@2")
}

/// As [`restart`], for the instances named.
pub fn restart_of(instances: &str) -> String {
    let command = |action: &str| format!("--command {action}='shop-manager {action} {{instance}}'");
    let commands: Vec<_> = ["start", "stop", "restart", "status"].map(command).into();
    format!("restart() {{ svc-restart --via exec {} {instances} --gate \"$GATE\" \"$@\"; }}\n", commands.join(" "))
}

/// Reserves a decade of ports below those that the kernel gives out by itself.
fn reserve() -> (u32, File) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let shelf = std::env::temp_dir().join("cutover-story-ports");
    fs::create_dir_all(&shelf).expect("make the register of ports");
    for _ in 0..2000 {
        let number = std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let ports = 1100 + number % 2000;
        let file = File::create(shelf.join(ports.to_string())).expect("open the register of ports");
        let free = |i| TcpListener::bind(("127.0.0.1", u16::try_from(ports * 10 + i).expect("a port"))).is_ok();
        if file.try_lock().is_ok() && (1..=4).all(free) {
            return (ports, file);
        }
    }
    panic!("no free ports");
}

/// The whole deploy of a source: made, switched to, restarted and gated, taken back if need be, collected.
pub fn deploy(source: &str) -> String {
    format!(
        "{}release-mk --root $ROOT --from {source} | release-switch | restart | release-switch --undo \
         | restart --undo | release-gc --keep 5",
        restart()
    )
}

/// The same, with a gate that stops at its first question until the story writes the file `go`.
///
/// It creates `asked` when it has come there; [`crate::Running::reaches`] waits for that.
pub fn deploy_with_a_pause(source: &str) -> String {
    let gate = r#"[ -e asked ] || { touch asked; until [ -e go ]; do sleep 0.01; done; }; "#;
    format!("GATE='{gate}'$GATE\n{}", deploy(source))
}

/// A script run as one isolated deploy: it calls itself again under release-lock.
pub fn locked(script: &str) -> String {
    format!("cat >deploy.sh <<'END'\n{script}\nEND\nrelease-lock --root $ROOT -- dash deploy.sh")
}
