//! The recipe primary-backup: one jar on two instances behind nginx, a person between them, a user with one sudo rule.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::sys::signal::Signal;
use stories::real::systemd::Systemd;
use stories::{Pipe, Run, Shop, binaries, skip};

use crate::blue_green::{asked_meanwhile, changed_once, lost_nothing, nginx_unit};

/// The user that deploys, and runs the service.
const DEPLOYER: u32 = 4711;

/// How a jar of `version` is made, and what is in it.
const MAKEFILE: &str = include_str!("../real/jar/Makefile");
const SERVER: &str = include_str!("../real/jar/__main__.py");

/// What Debian's python3 is called; the one in PATH may be somebody's own.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

pub(crate) struct Pair {
    pub(crate) systemd: Systemd,
    pub(crate) shop: Shop,
}

impl Pair {
    fn new() -> Result<Self, String> {
        for program in ["nginx", "git", "make", "sudo", "useradd"] {
            if !skip::has(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        if !Path::new(PYTHON).exists() {
            return Err(format!("{PYTHON} is not installed"));
        }
        let shop = Shop::new();
        shop.pipe("git init -q -b main repository").run().exits(0);
        let systemd = Self::boot(&shop, "")?;
        fs::create_dir(shop.root()).expect("make the root");
        for path in [shop.root(), shop.path().join("proxy"), shop.path().join("repository")] {
            chown(path, Some(DEPLOYER), Some(DEPLOYER)).expect("give it to the deployer");
        }
        let pair = Self { systemd, shop };
        pair.commit("v1", 200);
        Ok(pair)
    }

    /// A machine with the units, nginx, the user and the rule for sudo; `wants` starts with it.
    fn boot(shop: &Shop, wants: &str) -> Result<Systemd, String> {
        let root = shop.root().display().to_string();
        let unit =
            format!("[Service]\nType=exec\nUser={DEPLOYER}\nExecStart={PYTHON} {root}/shop.jar %i\nKillMode=mixed\n");
        let nginx = format!("{}ExecReload=/bin/kill -HUP $MAINPID\n", nginx_unit(shop));
        let boot = format!(
            "[Unit]\nAfter=nginx.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             Environment=PATH={}:/usr/sbin:/usr/bin:/sbin:/bin CUTOVER_ROOT={root} AS= UNIT=shop PRIMARY={} BACKUP={}\n\
             ExecStartPre=/usr/sbin/useradd -u {DEPLOYER} -M deploy\nExecStart={} boot\n",
            binaries::directory().display(),
            shop.services().port(1),
            shop.services().port(2),
            recipe()
        );
        let target = format!("[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\n{wants}");
        let units = [
            ("shop@.service", unit.as_str()),
            ("nginx.service", &nginx),
            ("shop-boot.service", &boot),
            ("story.target", &target),
        ];
        let file = format!(
            "upstream shop {{ server 127.0.0.1:{}; server 127.0.0.1:{} backup; }}\n",
            shop.services().port(1),
            shop.services().port(2)
        );
        let upstream = shop.path().join("proxy/shop.upstream");
        fs::write(&upstream, file).expect("write the upstream");
        chown(&upstream, Some(DEPLOYER), Some(DEPLOYER)).expect("give it to the deployer");
        let systemd = Systemd::boot(shop, &units)?;
        let sudoers = Self::sudoers(shop);
        let setup = format!(
            "id -u deploy || useradd -u {DEPLOYER} -M deploy && printf '%s\\n' '{sudoers}' >/etc/sudoers.d/deploy && systemctl start nginx"
        );
        systemd.pipe(shop, setup).run().exits(0);
        Ok(systemd)
    }

    /// The one rule: these commands word by word and no others.
    fn sudoers(shop: &Shop) -> String {
        let units = [1, 2].map(|i| format!("shop@{}", shop.services().port(i)));
        let orders = ["start", "stop", "restart", "reset-failed"];
        let orders =
            orders.iter().flat_map(|order| units.iter().map(move |unit| format!("/usr/bin/systemctl {order} {unit}")));
        let others = [format!("{} -t -q", crate::blue_green::nginx(shop)), "/usr/bin/systemctl reload nginx".into()];
        let commands: Vec<String> = orders.chain(others).collect();
        format!("deploy ALL=(root) NOPASSWD: {}", commands.join(", "))
    }

    pub(crate) fn commit(&self, version: &str, status: u16) {
        commit(&self.shop, version, status);
        self.shop.pipe(format!("chown -R {DEPLOYER} repository")).run().exits(0);
    }

    /// The recipe as the deployer calls it.
    pub(crate) fn run(&self, words: &str) -> Run {
        self.script(words).run()
    }

    pub(crate) fn script(&self, words: &str) -> Pipe {
        let shop = &self.shop;
        let port = |i| shop.services().port(i).to_string();
        let path = |name: &str| shop.path().join(name).display().to_string();
        self.systemd
            .pipe(
                shop,
                format!("exec setpriv --reuid {DEPLOYER} --regid {DEPLOYER} --clear-groups {} {words}", recipe()),
            )
            .env("CUTOVER_ROOT", shop.root().display().to_string())
            .env("REPOSITORY", path("repository"))
            .env("PRIMARY", port(1))
            .env("BACKUP", port(2))
            .env("CONFIG", path("proxy/shop.upstream"))
            .env("NGINX_PID", path("proxy/nginx.pid"))
            .env("NGINX_TEST", format!("sudo -n {} -t -q", crate::blue_green::nginx(shop)))
            .env("WAIT", "20s")
    }

    /// What the two instances answer, the primary first; the machine has a network of its own.
    pub(crate) fn versions(&self) -> [String; 2] {
        [1, 2].map(|i| {
            let ask = format!("curl -s --max-time 2 http://127.0.0.1:{}/", self.shop.services().port(i));
            let said = self.systemd.pipe(&self.shop, ask).run().stdout;
            said.split(' ').next().unwrap_or_default().to_owned()
        })
    }

    fn unit(&self, i: u32) -> String {
        format!("shop@{}", self.shop.services().port(i))
    }

    pub(crate) fn deployed() -> Result<Self, String> {
        let pair = Self::new()?;
        pair.run("deploy v1").exits(6);
        pair.run("promote").exits(0);
        assert_eq!(pair.versions(), ["v1", "v1"]);
        pair.commit("v2", 200);
        Ok(pair)
    }

    /// Does something while a client asks nginx all the time; what it saw.
    fn under_load<T>(&self, versions: [&str; 2], act: impl FnOnce() -> T) -> (T, String) {
        asked_meanwhile(&self.systemd, &self.shop, versions, act)
    }
}

/// Commits and tags a version that answers with this status.
pub(crate) fn commit(shop: &Shop, version: &str, status: u16) {
    let repository = shop.path().join("repository");
    fs::create_dir_all(repository.join("src")).expect("make the sources");
    fs::write(repository.join("Makefile"), MAKEFILE).expect("write the Makefile");
    fs::write(repository.join("src/__main__.py"), SERVER).expect("write the server");
    let text = format!("VERSION = '{version}'\nSTATUS = {status}\n");
    fs::write(repository.join("src/version.py"), text).expect("write the version");
    let script = format!(
        "cd repository && git add -A && git -c user.name=Ann -c user.email=ann@example.org commit -q -m {version} && \
         git tag {version}"
    );
    let [count, key, value] = ["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"];
    shop.pipe(script).env(count, "1").env(key, "safe.directory").env(value, "*").run().exits(0);
}

/// The recipe's path.
pub(crate) fn recipe() -> String {
    binaries::workspace().join("scripts/recipes/primary-backup").display().to_string()
}

#[test]
fn the_backup_goes_first_a_person_promotes_and_the_way_back_needs_no_argument() {
    let pair = match Pair::deployed() {
        Ok(pair) => pair,
        Err(why) => skip!("{why}"),
    };
    let primary = pair.systemd.main_pid(&pair.shop, &pair.unit(1));
    let ((held, promoted), seen) = pair.under_load(["v1", "v2"], || {
        let held = pair.run("deploy v2");
        held.exits(6);
        assert_eq!(pair.versions(), ["v1", "v2"], "{held}");
        assert_eq!(pair.systemd.main_pid(&pair.shop, &pair.unit(1)), primary, "{held}");
        (held, pair.run("promote"))
    });
    let record = promoted.exits(0).record();
    assert_eq!(record.id(), held.record().id());
    assert_eq!(pair.versions(), ["v2", "v2"], "{promoted}");
    let jar = fs::read_link(pair.shop.root().join("shop.jar")).expect("the link");
    assert!(jar.ends_with("target/shop-v2.jar"), "the link has the jar's name: {}", jar.display());
    lost_nothing("primary-backup deploy and promote", &seen);
    changed_once(&seen);
    assert!(seen.contains("v1 true v2 true"), "{seen}");

    let (back, seen) = pair.under_load(["v2", "v1"], || pair.run("rollback"));
    back.exits(0);
    assert_eq!(pair.versions(), ["v1", "v1"], "{back}");
    lost_nothing("primary-backup rollback", &seen);
    changed_once(&seen);
}

#[test]
fn the_primary_is_refused_while_the_backup_is_down_and_an_abort_gives_up_what_waits() {
    let pair = match Pair::deployed() {
        Ok(pair) => pair,
        Err(why) => skip!("{why}"),
    };
    let ((), seen) = pair.under_load(["v1", "v2"], || {
        pair.run("deploy v2").exits(6);
        pair.systemd.systemctl(&pair.shop, &format!("stop {}", pair.unit(2)));
        let refused = pair.run("promote");
        refused.exits(3).says("connection refused");
        assert_eq!(pair.versions(), ["v1", ""], "{refused}");
        let given_up = pair.run("abort");
        given_up.exits(1).fails_with("held.aborted");
        assert_eq!(pair.versions(), ["v1", "v1"], "{given_up}");
    });
    lost_nothing("primary-backup given up", &seen);
    assert!(seen.contains("v2 false"), "{seen}");
}

#[test]
fn a_bad_version_never_gets_beyond_the_backup() {
    let pair = match Pair::deployed() {
        Ok(pair) => pair,
        Err(why) => skip!("{why}"),
    };
    pair.commit("v3", 500);
    let (bad, seen) = pair.under_load(["v1", "v2"], || pair.script("deploy v3").env("WAIT", "8s").run());
    assert_eq!(bad.exits(3).record()["error"]["blame"], "release", "{bad}");
    assert_eq!(pair.versions(), ["v1", "v1"], "{bad}");
    lost_nothing("primary-backup with a bad version", &seen);
    pair.run("deploy v2").exits(6);
}

#[test]
fn a_deploy_that_is_killed_leaves_a_service_and_one_command_repairs_it() {
    let pair = match Pair::deployed() {
        Ok(pair) => pair,
        Err(why) => skip!("{why}"),
    };
    let ((), seen) = pair.under_load(["v1", "v2"], || {
        pair.run("deploy v2").exits(6);
        let promotion = pair.script("promote").start();
        let pid = pair.systemd.main_pid(&pair.shop, &pair.unit(1));
        stories::running::until("the primary is restarted", || {
            let now = pair.systemd.main_pid(&pair.shop, &pair.unit(1));
            now != pid
        });
        promotion.signal_all(Signal::SIGKILL);
        drop(promotion);
        let repaired = pair.run("repair");
        repaired.exits(0);
        assert_eq!(pair.versions(), ["v2", "v2"], "{repaired}");
    });
    lost_nothing("primary-backup killed and repaired", &seen);
    let upstream = fs::read_to_string(pair.shop.path().join("proxy/shop.upstream")).expect("read the upstream");
    assert!(upstream.contains("backup; # backup"), "the primary has the traffic again: {upstream}");
    pair.run("rollback").exits(0);
    assert_eq!(pair.versions(), ["v1", "v1"]);
}

#[test]
fn a_boot_starts_both_from_the_link() {
    let pair = match Pair::deployed() {
        Ok(pair) => pair,
        Err(why) => skip!("{why}"),
    };
    let Pair { systemd, shop } = pair;
    drop(systemd);
    fs::remove_file(shop.path().join("systemd/pid")).expect("forget the former machine");
    let systemd = match Pair::boot(&shop, "Wants=nginx.service shop-boot.service\n") {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    let pair = Pair { systemd, shop };
    let said = pair.systemd.systemctl(&pair.shop, "status -l shop-boot");
    assert_eq!(pair.versions(), ["v1", "v1"], "{said}");
}
