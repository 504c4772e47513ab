//! The recipe pull: what a timer runs, against a real repository, a real systemd and `make`.

use std::fs;

use stories::listing::Listing;
use stories::real::systemd::Systemd;
use stories::{Pipe, Run, Shop, binaries, skip};

use crate::blue_green::{asked_meanwhile, lost_nothing};
use crate::real_systemd_boots::shop_unit;

pub(crate) struct Mirror {
    pub(crate) systemd: Systemd,
    pub(crate) shop: Shop,
}

impl Mirror {
    pub(crate) fn new() -> Result<Self, String> {
        for program in ["git", "make", "haproxy", "socat", "curl"] {
            if !skip::has(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        let shop = Shop::new();
        let haproxy = balancer(&shop, |i| i.to_string()).join(" ");
        let haproxy = format!("[Service]\nType=exec\nExecStart={haproxy}\n");
        let units = [("mirror@.service", shop_unit(&shop)), ("haproxy.service", haproxy)];
        let systemd = Systemd::boot(&shop, &units.each_ref().map(|(name, text)| (*name, text.as_str())))?;
        let mirror = Self { systemd, shop };
        mirror.shop.pipe("git init -q -b main repository").run().exits(0);
        mirror.commit("v1", "ok");
        Ok(mirror)
    }

    /// Behind HAProxy, out of which each backend is taken before its restart.
    fn pull_under_load(&self, old: &str, new: &str) -> (Run, String) {
        // A bad one is waited for in vain.
        let wait = if new == "v3" { "4s" } else { "20s" };
        asked_meanwhile(&self.systemd, &self.shop, [old, new], || self.balanced().env("WAIT", wait).run())
    }

    /// The recipe, with each backend taken out of the balancer for its restart.
    pub(crate) fn balanced(&self) -> Pipe {
        self.script("RECIPES/pull")
            .env("BALANCE", binaries::workspace().join("scripts/recipes/rolling").display().to_string())
            .env("BALANCER", self.shop.path().join("admin.sock").display().to_string())
            .env("LOCK_WAIT", "20s")
    }

    /// Starts HAProxy and waits until it knows who is up.
    pub(crate) fn start_balancer(&self) {
        let up = "systemctl start haproxy && until curl -sf http://127.0.0.1:$PORT/ >up; do sleep 0.05; done";
        self.script(up).env("PORT", self.shop.services().port(4).to_string()).run().exits(0);
    }

    pub(crate) fn commit(&self, version: &str, mode: &str) {
        commit(&self.shop, version, mode);
    }

    pub(crate) fn script(&self, text: &str) -> Pipe {
        let recipes = binaries::workspace().join("scripts/recipes").display().to_string();
        self.systemd
            .pipe(&self.shop, text.replace("RECIPES", &recipes))
            .env("CUTOVER_ROOT", self.shop.root().display().to_string())
            .env("REPOSITORY", self.shop.path().join("repository").display().to_string())
            .env("HEALTH", format!("http://127.0.0.1:{}{{i}}/", self.shop.services().port(0) / 10))
            .env("STATE", "state")
            .env("STATE_MODE", "750")
            .env("STATE_OWNER", "daemon:daemon")
            .env("WAIT", "20s")
    }

    pub(crate) fn pull(&self) -> Run {
        self.script("RECIPES/pull").run()
    }

    pub(crate) fn pids(&self) -> [String; 2] {
        ["mirror@1", "mirror@2"].map(|unit| self.systemd.main_pid(&self.shop, unit))
    }
}

/// Commits a version whose service behaves as `mode` says.
pub(crate) fn commit(shop: &Shop, version: &str, mode: &str) {
    shop.source_that(version, mode);
    let script = format!(
        "cp -a {version}/. repository/ && cd repository && git add -A && \
         git -c user.name=Ann -c user.email=ann@example.org commit -q -m {version}"
    );
    shop.pipe(script).run().exits(0);
}

/// HAProxy's command line, with the two backends as servers of these names and the shop's fourth port for clients.
pub(crate) fn balancer(shop: &Shop, name: impl Fn(u32) -> String) -> Vec<String> {
    let server = |i| format!("  server {} 127.0.0.1:{} check inter 50ms\n", name(i), shop.services().port(i));
    let config = format!(
        "global\n  stats socket {0}/admin.sock level admin mode 600\ndefaults\n  mode http\n  timeout connect 2s\n  \
         timeout client 10s\n  timeout server 10s\nlisten web\n  bind 127.0.0.1:{1}\n{2}",
        shop.path().display(),
        shop.services().port(4),
        [1, 2].map(server).concat()
    );
    let file = shop.path().join("haproxy.cfg");
    fs::write(&file, config).expect("write haproxy's configuration");
    ["/usr/sbin/haproxy", "-db", "-f", &file.display().to_string()].map(str::to_owned).into()
}

#[test]
fn behind_a_balancer_no_request_is_lost_while_what_is_new_comes_live() {
    let mirror = match Mirror::new() {
        Ok(mirror) => mirror,
        Err(why) => skip!("{why}"),
    };
    mirror.pull().exits(0);
    mirror.start_balancer();
    mirror.commit("v2", "ok");
    let (run, seen) = mirror.pull_under_load("v1", "v2");
    run.exits(0);
    lost_nothing("pull", &seen);
    assert!(seen.contains("v1 true v2 true"), "{seen}");
    mirror.commit("v3", "500");
    let (run, seen) = mirror.pull_under_load("v2", "v3");
    run.exits(3);
    lost_nothing("pull with a bad version", &seen);
    assert!(seen.contains("v2 true v3 false"), "{seen}");
}

#[test]
fn what_is_new_comes_live_what_is_bad_is_not_tried_again_and_state_is_never_touched() {
    let mirror = match Mirror::new() {
        Ok(mirror) => mirror,
        Err(why) => skip!("{why}"),
    };
    let first = mirror.pull();
    let v1 = first.exits(0).record().id().to_owned();
    let state = mirror.shop.root().join("shared/state");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&state).expect("the state is there"));
    assert_eq!(mode & 0o7777, 0o750, "{first}");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&state).expect("the state is there"));
    assert_eq!(owner, 1, "Debian's daemon: {first}");
    fs::write(state.join("packages"), "precious").expect("write state");
    let pids = mirror.pids();

    let again = mirror.pull();
    assert_eq!(again.exits(0).record()["changed"], false, "{again}");
    assert_eq!(mirror.pids(), pids, "{again}");

    mirror.commit("v2", "500");
    let bad = mirror.script("RECIPES/pull").env("WAIT", "4s").run();
    assert_eq!(bad.exits(3).record()["error"]["blame"], "release", "{bad}");
    assert_eq!(mirror.shop.current().as_ref(), Some(&v1), "{bad}");
    let [_, second] = mirror.pids();
    assert_eq!(second, pids[1], "the second backend was never touched: {bad}");

    let once_more = mirror.pull();
    assert_eq!(once_more.exits(0).record()["changed"], false, "a bad one is not tried again: {once_more}");

    mirror.commit("v3", "ok");
    let repaired = mirror.pull();
    assert_ne!(repaired.exits(0).record().id(), v1, "{repaired}");
    assert!(mirror.pids().iter().zip(&pids).all(|(now, before)| now != before), "{repaired}");
    assert_eq!(fs::read_to_string(state.join("packages")).expect("read state"), "precious");
}

#[test]
fn a_pull_that_is_killed_is_finished_by_the_next() {
    let mirror = match Mirror::new() {
        Ok(mirror) => mirror,
        Err(why) => skip!("{why}"),
    };
    mirror.pull().exits(0);
    mirror.commit("v2", "ok");
    let pids = mirror.pids();
    let pull = mirror.script("RECIPES/pull").start();
    stories::running::until("the first backend is restarted", || {
        let now = mirror.pids();
        now[0] != pids[0] && now[0] != "0"
    });
    pull.signal_all(nix::sys::signal::Signal::SIGKILL);
    drop(pull);
    let next = mirror.script("RECIPES/pull").env("LOCK_WAIT", "10s").run();
    next.exits(0);
    assert!(mirror.pids().iter().zip(&pids).all(|(now, before)| now != before), "both run what is new: {next}");
    assert_eq!(mirror.pull().exits(0).record()["changed"], false);
}

#[test]
fn make_deploys_tells_goes_back_and_only_destroys_what_is_named() {
    let mirror = match Mirror::new() {
        Ok(mirror) => mirror,
        Err(why) => skip!("{why}"),
    };
    let settings = mirror.script("env").run().stdout;
    let kept = settings.lines().filter(|line| {
        ["CUTOVER_ROOT=", "REPOSITORY=", "HEALTH=", "STATE=", "STATE_MODE=", "STATE_OWNER=", "WAIT="]
            .iter()
            .any(|name| line.starts_with(name))
    });
    let text: Vec<&str> = kept.collect();
    fs::write(mirror.shop.path().join(".env"), text.join("\n") + "\n").expect("write .env");
    let make = "make --no-print-directory -f RECIPES/pull.mk PULL=RECIPES/pull";
    mirror.script(make).run().exits(0);
    let v1 = mirror.shop.current();
    let state = mirror.shop.root().join("shared/state");
    fs::create_dir(state.join("packages")).expect("make state");
    fs::write(state.join("packages/registry"), "precious").expect("write state");
    let (pids, precious, all) = (mirror.pids(), Listing::of(&state), mirror.shop.listing());
    let again = mirror.script(make).run();
    assert!(again.exits(0).stdout.contains("\"changed\":false"), "{again}");
    assert_eq!(mirror.pids(), pids, "the second make changes nothing: {again}");
    assert_eq!(mirror.shop.listing().without(".cutover/run.json"), all.without(".cutover/run.json"), "{again}");
    mirror.commit("v2", "ok");
    mirror.script(make).run().exits(0);
    assert_ne!(mirror.shop.current(), v1);
    let status = mirror.script(&format!("{make} status")).run();
    assert!(status.exits(0).stdout.contains("good"), "{status}");
    mirror.script(&format!("{make} rollback")).run().exits(0);
    assert_eq!(mirror.shop.current(), v1);
    mirror.script(&format!("{make} clean all remove")).run().exits(2);
    assert_eq!(Listing::of(&state), precious, "nothing but destroy touches state");
    let refused = mirror.script(&format!("echo yes | {make} destroy")).run();
    refused.exits(2);
    assert_eq!(Listing::of(&state), precious, "{refused}");
    mirror.script(&format!("{make} destroy </dev/null")).run().exits(2);
    assert_eq!(Listing::of(&state), precious, "who does not answer keeps everything");
    let root = mirror.shop.root().display().to_string();
    mirror.script(&format!("echo {root} | {make} destroy")).run().exits(0);
    assert!(!mirror.shop.root().exists());
    assert_eq!(mirror.pids(), ["0", "0"]);
}
