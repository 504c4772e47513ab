//! Three instances of a shop's service under a manager, whichever it is: how they are restarted, and what they are now.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::{Pipe, Shop};

/// A shop whose three instances a manager supervises. They run from `$ROOT/current`, answer on the shop's ports 1 to 3
/// and write their numbers into `$SERVICES/shop@N.pid`.
pub struct Managed {
    // Before the shop: what runs ends before its directory does.
    pub(crate) keeper: Option<Box<dyn Any>>,
    pub(crate) shop: Shop,
    pub(crate) options: String,
    pub(crate) names: [String; 3],
    pub(crate) enter: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// An instance as it is now. The start time tells a process from a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it answers; empty when it does not.
    pub version: String,
    /// Its main process.
    pub pid: u32,
    /// When that started, in clock ticks since boot.
    pub started: u64,
}

/// A gate for names as `shop@1`, `shop:1` and `shop1`.
const GATE: &str =
    r#"name={instance}; svc-health http://127.0.0.1:${PORTS}${name##*[!0-9]}/ --wait 5s --interval 20ms"#;

/// Prints `VERSION PID STARTED` of each instance, `- 0 0` for one that is down.
const LOOK: &str = r#"for i in 1 2 3; do
    pid=$(cat $SERVICES/shop@$i.pid 2>/dev/null) && started=$(cut -d ' ' -f 22 /proc/$pid/stat 2>/dev/null) || { pid=0; started=0; }
    answer=$( { exec 3<>/dev/tcp/127.0.0.1/$PORTS$i && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && timeout 2 cat <&3 | tail -n 1; } 2>/dev/null)
    answer=${answer%% *}
    echo "${answer:--} $pid $started"
done"#;

/// What shop-service does, for gunicorn's workers. Its main process ends with the story.
pub(crate) const APPLICATION: &str = r#"import fcntl, os, signal, sys, threading

def read(name):
    try:
        return open(name).read().strip()
    except OSError:
        return None

VERSION = read("version")
MODE = read("mode." + os.environ["PORT"][-1]) or read("mode")
MASTER = os.getppid()
if MODE == "exit":
    sys.exit(1)

def watch():
    with open(os.environ["SERVICES"] + "/alive") as alive:
        fcntl.flock(alive, fcntl.LOCK_SH)
        if MASTER > 1 and os.getppid() == MASTER:
            os.kill(MASTER, signal.SIGKILL)
        os._exit(0)

threading.Thread(target=watch, daemon=True).start()

def app(environ, start):
    start("500 Broken" if MODE == "500" else "200 OK", [("Content-Type", "text/plain")])
    return [b"%s %d\n" % (VERSION.encode(), os.getpid())]
"#;

impl Managed {
    pub(crate) fn new(shop: Shop, options: impl Into<String>, names: [&str; 3]) -> Self {
        Self {
            keeper: None,
            shop,
            options: options.into(),
            names: names.map(str::to_owned),
            enter: Vec::new(),
            environment: BTreeMap::new(),
        }
    }

    /// The shop.
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// What the manager calls the instances.
    pub fn names(&self) -> &[String; 3] {
        &self.names
    }

    /// The options of svc-restart that reach the manager.
    pub fn options(&self) -> &str {
        &self.options
    }

    /// A script where the manager is, with two functions: `manage`, svc-restart through this manager, and `restart`,
    /// the same for all three behind the gate.
    pub fn pipe(&self, script: &str) -> Pipe {
        let functions = format!(
            "manage() {{ svc-restart {} \"$@\"; }}\nrestart() {{ manage {} --gate \"$GATE\" \"$@\"; }}\n",
            self.options,
            self.names.join(" ")
        );
        let pipe = self.surround(self.shop.pipe(functions + script)).env("GATE", GATE);
        pipe.under(self.enter.iter().cloned())
    }

    fn surround(&self, pipe: Pipe) -> Pipe {
        self.environment.iter().fold(pipe, |pipe, (name, value)| pipe.env(name, value.as_str()))
    }

    /// The whole deploy of a source, with a way back.
    pub fn deploy(&self, source: &str) -> Pipe {
        self.pipe(&format!(
            "release-mk --root $ROOT --from {source} | release-switch | restart | release-switch --undo | restart --undo"
        ))
    }

    /// Makes a source that serves well, also as an application of gunicorn.
    pub fn source(&self, name: &str) -> PathBuf {
        let source = self.shop.source(name);
        fs::write(source.join("app.py"), APPLICATION).expect("write a source");
        source
    }

    /// The same, but one instance behaves as `mode` says.
    pub fn source_with(&self, name: &str, instance: u32, mode: &str) {
        fs::write(self.source(name).join(format!("mode.{instance}")), mode).expect("write a source");
    }

    /// The three instances as they are now.
    pub fn look(&self) -> [Seen; 3] {
        let run = self.surround(self.shop.pipe(LOOK)).shell(&["bash", "-c"]).under(self.enter.iter().cloned()).run();
        let seen: Vec<Seen> = run
            .exits(0)
            .stdout
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
                let version = words[0].trim_matches('-').to_owned();
                Seen { version, pid: u32::try_from(number(1)).expect("a pid"), started: number(2) }
            })
            .collect();
        seen.try_into().unwrap_or_else(|_| panic!("three lines\n{run}"))
    }

    /// What they answer.
    pub fn versions(&self) -> [String; 3] {
        self.look().map(|seen| seen.version)
    }

    /// Sends a signal to the main process of an instance, from 1 on.
    pub fn signal(&self, instance: usize, signal: Signal) {
        let pid = self.look()[instance - 1].pid;
        let name = signal.as_str().trim_start_matches("SIG");
        self.pipe(&format!("kill -{name} {pid}")).run().exits(0);
    }
}

impl std::fmt::Debug for Managed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.options, self.names.join(" "))
    }
}
