//! The simplest service manager there can be: `shop-manager start|stop|restart|status INSTANCE`.
//!
//! Starts `shop-service` where the link points (`$ROOT/current`, or `$LINK`), as a session of its own, and returns
//! when it is ready or has ended; like `systemctl` with `Type=simple` it does not mind the latter. `status` exits 0 and
//! prints the pid when the instance runs, 3 when it does not. It keeps pid files and what it was asked in `$SERVICES`.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a manager acts on the world")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [action, instance] = arguments.as_slice() else { return ExitCode::from(2) };
    let services = PathBuf::from(std::env::var_os("SERVICES").expect("SERVICES names the directory"));
    let instance = Instance { services, name: instance.clone() };
    if action != "status" {
        instance.log(action);
        if let Some(status) = instance.refusal() {
            return ExitCode::from(status);
        }
    }
    match action.as_str() {
        "start" => instance.start(),
        "stop" => instance.stop(),
        "restart" => {
            instance.stop();
            instance.start();
        }
        "status" => match instance.pid() {
            Some(pid) => println!("{pid}"),
            None => return ExitCode::from(3),
        },
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

struct Instance {
    services: PathBuf,
    name: String,
}

impl Instance {
    fn file(&self, suffix: &str) -> PathBuf {
        self.services.join(format!("{}.{suffix}", self.name))
    }

    fn log(&self, action: &str) {
        let mut log = OpenOptions::new().append(true).create(true).open(self.file("asked")).expect("open the log");
        writeln!(log, "{action}").expect("write the log");
    }

    fn refusal(&self) -> Option<u8> {
        fs::read_to_string(self.file("refuse")).ok()?.trim().parse().ok()
    }

    /// The running process, if the pid file names one that is ours and alive. A zombie has ended.
    fn pid(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.file("pid")).ok()?.trim().parse().ok()?;
        runs(pid).then(|| Pid::from_raw(pid))
    }

    #[expect(clippy::zombie_processes, reason = "the service outlives its manager")]
    fn start(&self) {
        if self.pid().is_some() {
            return;
        }
        let _ = fs::remove_file(self.file("pid"));
        let link = std::env::var_os("LINK").map_or_else(
            || PathBuf::from(std::env::var_os("ROOT").expect("ROOT names the root")).join("current"),
            PathBuf::from,
        );
        let number = self.name.rsplit('@').next().unwrap_or_default();
        let port = format!("{}{number}", std::env::var("PORTS").expect("PORTS is the beginning of the port"));
        let service = std::env::current_exe().expect("our own path").with_file_name("shop-service");
        let log = OpenOptions::new().append(true).create(true).open(self.file("log")).expect("open the log");
        let mut command = Command::new("setsid");
        command.arg(service).arg(port).arg(self.file("pid")).arg(self.services.join("alive"));
        command.env("LINK", &link).current_dir(fs::canonicalize(&link).expect("resolve the link"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("share the log")).stderr(log);
        let mut child = command.spawn().expect("start the service");
        // Readiness is the pid file; a service that never listens is handed over after a while, as managers do.
        let started = Instant::now();
        while !self.file("pid").exists() && started.elapsed() < Duration::from_secs(2) {
            if let Ok(Some(_)) = child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        if !self.file("pid").exists() {
            fs::write(self.file("pid"), child.id().to_string()).expect("write the pid file");
        }
    }

    fn stop(&self) {
        let Some(pid) = self.pid() else { return };
        // The first thread may be a zombie while others still hold the port; a pidfd knows when all have ended.
        let number = rustix::process::Pid::from_raw(pid.as_raw()).expect("a pid");
        let Ok(ended) = pidfd_open(number, PidfdFlags::empty()) else { return };
        let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let _ = kill(pid, signal);
            if poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&patience)).is_ok_and(|ready| ready > 0) {
                break;
            }
        }
        let _ = fs::remove_file(self.file("pid"));
    }
}

/// Whether a process is a living `shop-service`.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.contains("(shop-service)") && !stat.contains(") Z ")
}
