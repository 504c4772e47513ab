//! The recipe rolling: a real supervisor's group behind a real HAProxy, in batches, under load.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use stories::load::Load;
use stories::running::until;
use stories::{Pipe, Shop, binaries, skip};

/// Five programs web:1 … web:5 on the shop's ports, behind HAProxy on its last one.
pub(crate) struct Farm {
    daemons: Vec<Child>,
    pub(crate) shop: Shop,
}

pub(crate) const BALANCED: u32 = 9;

impl Farm {
    pub(crate) fn new() -> Result<Self, String> {
        for program in ["supervisord", "haproxy", "socat", "git"] {
            if !skip::has(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        let shop = Shop::new();
        shop.pipe("git init -q -b main repository").run().exits(0);
        let mut farm = Self { daemons: Vec::new(), shop };
        farm.commit("v1", "ok");
        farm.balancer();
        // The first release is built before there is anything to restart.
        let first = farm.script("release-mk --from repository --ref v1 | release-switch | release-switch --undo").run();
        first.exits(0);
        farm.supervisor();
        Ok(farm)
    }

    pub(crate) fn commit(&self, version: &str, mode: &str) {
        self.shop.source_that(version, mode);
        let script = format!(
            "cp -a {version}/. repository/ && cd repository && git add -A && \
             git -c user.name=Ann -c user.email=ann@example.org commit -q -m {version} && git tag {version}"
        );
        self.shop.pipe(script).run().exits(0);
    }

    fn daemon(&mut self, words: &[&str]) {
        let log = fs::File::create(self.shop.path().join(format!("{}.log", words[0]))).expect("open a log");
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        self.daemons.push(command.spawn().expect("start a daemon"));
    }

    fn balancer(&mut self) {
        let shop = &self.shop;
        let server = |i| format!("  server web:{i} 127.0.0.1:{} check inter 50ms\n", shop.services().port(i));
        let dir = shop.path().display();
        let config = format!(
            "global\n  stats socket {dir}/admin.sock level admin mode 600\ndefaults\n  mode http\n  timeout connect 2s\n  \
             timeout client 10s\n  timeout server 10s\nlisten web\n  bind 127.0.0.1:{}\n{}",
            shop.services().port(BALANCED),
            (1..=5).map(server).collect::<String>()
        );
        let file = shop.path().join("haproxy.cfg");
        fs::write(&file, config).expect("write haproxy's configuration");
        self.daemon(&["haproxy", "-db", "-f", &file.display().to_string()]);
    }

    fn supervisor(&mut self) {
        let shop = &self.shop;
        let dir = shop.path().display();
        let services = shop.services().dir().display();
        let config = format!(
            "[supervisord]\nnodaemon=true\nlogfile={dir}/supervisord.log\npidfile={dir}/supervisord.pid\n\
             [unix_http_server]\nfile={dir}/supervisor.sock\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [program:web]\nprocess_name=%(process_num)d\nnumprocs=5\nnumprocs_start=1\nautostart=true\nstartsecs=0\n\
             directory=/\nautorestart=true\n\
             command=/bin/sh -c 'cd {root}/current && exec {service} {decade}%(process_num)d {services}/web@%(process_num)d.pid {services}/alive'\n",
            root = shop.root().display(),
            service = binaries::directory().join("shop-service").display(),
            decade = shop.services().port(0) / 10,
        );
        let file = shop.path().join("supervisord.conf");
        fs::write(&file, config).expect("write supervisor's configuration");
        self.daemon(&["supervisord", "-c", &file.display().to_string()]);
        until("all five serve v1", || (1..=5).all(|i| self.shop.services().version(i).as_deref() == Some("v1")));
        until("HAProxy serves", || ask(self.shop.services().port(BALANCED)));
    }

    pub(crate) fn script(&self, text: &str) -> Pipe {
        let shop = &self.shop;
        let recipe = binaries::workspace().join("scripts/recipes/rolling").display().to_string();
        let path = |name: &str| shop.path().join(name).display().to_string();
        let gate = format!(
            "name={{instance}}; svc-health http://127.0.0.1:{}${{name#web:}}/ --wait ${{WAIT:-20s}} --stable 100ms --expect-release",
            shop.services().port(0) / 10
        );
        shop.pipe(text.replace("ROLLING", &recipe))
            .env("CUTOVER_ROOT", shop.root().display().to_string())
            .env("REPOSITORY", path("repository"))
            .env("SUPERVISOR", path("supervisor.sock"))
            .env("BALANCER", path("admin.sock"))
            .env("GATE", gate)
    }

    pub(crate) fn versions(&self) -> Vec<String> {
        (1..=5).map(|i| self.shop.services().version(i).unwrap_or_default()).collect()
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let group = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap_or(0));
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            let _ = daemon.wait();
        }
    }
}

fn ask(port: u16) -> bool {
    let load = Load::on(port);
    load.for_requests(4);
    load.stop().failures() == 0
}

#[test]
fn a_rolling_restart_and_the_way_back_lose_no_request() {
    let farm = match Farm::new() {
        Ok(farm) => farm,
        Err(why) => skip!("{why}"),
    };
    farm.commit("v2", "ok");
    let load = Load::on(farm.shop.services().port(BALANCED));
    load.for_requests(50);
    let deploy = farm.script("ROLLING deploy v2").run();
    deploy.exits(0);
    assert_eq!(farm.versions(), ["v2"; 5], "{deploy}");
    let back = farm.script("ROLLING rollback").run();
    back.exits(0);
    assert_eq!(farm.versions(), ["v1"; 5], "{back}");
    load.for_requests(50);
    let tally = load.stop();
    skip::measured(&format!("rolling there and back: {tally}"));
    assert_eq!(tally.failures(), 0, "{:?} of {}", tally.failed, tally.sent);
}

#[test]
fn a_bad_release_is_seen_in_the_first_batch_and_the_others_are_never_touched() {
    let farm = match Farm::new() {
        Ok(farm) => farm,
        Err(why) => skip!("{why}"),
    };
    farm.commit("v2", "500");
    let pids: Vec<_> = (2..=5).map(|i| farm.shop.services().pid(i)).collect();
    let load = Load::on(farm.shop.services().port(BALANCED));
    load.for_requests(50);
    let run = farm.script("ROLLING deploy v2").env("WAIT", "4s").run();
    run.exits(3);
    load.for_requests(50);
    assert_eq!(farm.versions(), ["v1"; 5], "{run}");
    assert_eq!(pids, (2..=5).map(|i| farm.shop.services().pid(i)).collect::<Vec<_>>(), "{run}");
    let tally = load.stop();
    skip::measured(&format!("rolling with a bad version: {tally}"));
    assert_eq!(tally.failures(), 0, "{:?} of {}\n{run}", tally.failed, tally.sent);
    assert!(!tally.saw("v2"));
}

#[test]
fn a_roll_that_is_killed_leaves_a_service_and_the_same_command_repairs_it() {
    let farm = match Farm::new() {
        Ok(farm) => farm,
        Err(why) => skip!("{why}"),
    };
    farm.commit("v2", "ok");
    let load = Load::on(farm.shop.services().port(BALANCED));
    load.for_requests(20);
    let deploy = farm.script("ROLLING deploy v2").start();
    until("the second batch is in hand", || farm.versions().iter().filter(|version| *version == "v2").count() > 1);
    deploy.signal_all(Signal::SIGKILL);
    drop(deploy);
    load.for_requests(20);
    let run = farm.script("ROLLING deploy v2").run();
    run.exits(0);
    assert_eq!(farm.versions(), ["v2"; 5], "{run}");
    load.for_requests(20);
    let tally = load.stop();
    skip::measured(&format!("rolling killed and repaired: {tally}"));
    assert_eq!(tally.failures(), 0, "{:?} of {}\n{run}", tally.failed, tally.sent);
}

#[test]
fn a_failed_build_is_resumed_and_a_private_one_is_kept_and_never_live() {
    let farm = match Farm::new() {
        Ok(farm) => farm,
        Err(why) => skip!("{why}"),
    };
    farm.commit("v2", "ok");
    let failed =
        farm.script("ROLLING deploy v2").env("BUILD", format!("test -e {}/built", farm.shop.path().display())).run();
    let record = failed.exits(1).record();
    let hint = record["error"]["hint"].as_str().unwrap_or_default().to_owned();
    assert!(hint.contains("--resume"), "{failed}");
    assert_eq!(farm.versions(), ["v1"; 5]);
    let id = hint.split("--resume ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an id in the hint");
    fs::write(farm.shop.path().join("built"), "").expect("repair the build");
    let resumed = farm.script(&format!("ROLLING resume v2 {id}")).run();
    assert_eq!(resumed.exits(0).record().id(), id, "{resumed}");
    assert_eq!(farm.versions(), ["v2"; 5]);
    let private = farm.script("ROLLING private v1 30 'for the auditors'").run();
    let id = private.exits(0).record().id().to_owned();
    farm.script("ROLLING clean 1").run().exits(0);
    assert!(farm.shop.releases().contains(&id), "a private release is kept");
    assert_eq!(farm.versions(), ["v2"; 5]);
}
