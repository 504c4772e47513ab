//! The recipe unicorn: a real gunicorn of a user without root, under load; its secret, its boot, its full disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use nix::sys::signal::Signal;
use stories::real::systemd::Systemd;
use stories::{Pipe, Run, Shop, binaries, skip};

use crate::blue_green::{asked_meanwhile, lost_nothing};

/// The user, and the group of the same number.
const USER: u32 = 4712;
const SECRET: &str = "hunter2-and-more";

/// One application for both servers: it says its version; its secret is there and is not told.
const SOURCES: [(&str, &str); 3] = [
    ("app.py", include_str!("../real/web/app.py")),
    ("config.ru", include_str!("../real/web/config.ru")),
    ("unicorn.rb", include_str!("../real/web/unicorn.rb")),
];

/// Which server the recipe hands over: gunicorn, as it is, or Ruby's, as its settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    Gunicorn,
    Unicorn,
}

pub(crate) struct Classroom {
    pub(crate) systemd: Systemd,
    pub(crate) shop: Shop,
    served: Served,
}

impl Classroom {
    fn new() -> Result<Self, String> {
        Self::with(Served::Gunicorn)
    }

    pub(crate) fn with(served: Served) -> Result<Self, String> {
        let server = if served == Served::Gunicorn { "gunicorn" } else { "unicorn" };
        for program in [server, "git", "useradd", "curl"] {
            if !skip::has(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        let shop = Shop::new();
        shop.pipe("git init -q -b main repository").run().exits(0);
        for directory in ["root", "home"] {
            fs::create_dir(shop.path().join(directory)).expect("make a directory");
            chown(shop.path().join(directory), Some(USER), Some(USER)).expect("give it to the user");
        }
        let systemd = Self::boot(&shop, "")?;
        let classroom = Self { systemd, shop, served };
        classroom.commit("v1", "200 OK");
        Ok(classroom)
    }

    /// A machine that knows the user; `wants` starts with it.
    fn boot(shop: &Shop, wants: &str) -> Result<Systemd, String> {
        let home = shop.path().join("home").display().to_string();
        let user =
            format!("[Service]\nType=oneshot\nExecStart=/usr/sbin/useradd -u {USER} -M -d {home} -s /bin/sh pupil\n");
        let target = format!(
            "[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\n\
             Wants=pupil.service {wants}\n"
        );
        let before = "[Unit]\nAfter=pupil.service\n";
        let units = [("pupil.service", user.as_str()), ("story.target", &target)];
        for unit in ["user@.service.d", "user-runtime-dir@.service.d"] {
            let directory = shop.path().join("systemd/units").join(unit);
            fs::create_dir_all(&directory).expect("make a directory");
            fs::write(directory.join("after.conf"), before).expect("write a drop-in");
        }
        let systemd = Systemd::boot(shop, &units)?;
        systemd.pipe(shop, "id -u pupil").run().exits(0);
        Ok(systemd)
    }

    pub(crate) fn commit(&self, version: &str, status: &str) {
        let repository = self.shop.path().join("repository");
        for (name, text) in SOURCES.into_iter().chain([("version", version), ("status", status)]) {
            fs::write(repository.join(name), text).expect("write a source");
        }
        let script = format!(
            "cd repository && git add -A && git -c user.name=Ann -c user.email=ann@example.org commit -q -m {version} && \
             git tag {version} && chown -R {USER} ."
        );
        let [count, key, value] = ["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"];
        self.shop.pipe(script).env(count, "1").env(key, "safe.directory").env(value, "*").run().exits(0);
    }

    /// Puts the settings where they belong.
    pub(crate) fn settings(&self) {
        let script = format!("umask 077; mkdir -p -m 755 $ROOT/shared; echo SECRET_KEY={SECRET} >$ROOT/shared/.env");
        self.as_user(&script).run().exits(0);
    }

    pub(crate) fn as_user(&self, script: &str) -> Pipe {
        let words = ["setpriv".into(), format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()];
        let enter: Vec<String> = self.systemd.enter(&self.shop);
        let mut pipe = self.shop.pipe(script).under(words).under(enter);
        if self.served == Served::Unicorn {
            let current = self.shop.root().join("current").display().to_string();
            let server = format!("/usr/bin/unicorn -D -c {current}/unicorn.rb {current}/config.ru");
            pipe = pipe.env("SERVER", server).env("SIGNALS", "USR2,wait-new,WINCH,QUIT");
        }
        pipe.env("CUTOVER_ROOT", self.shop.root().display().to_string())
            .env("REPOSITORY", self.shop.path().join("repository").display().to_string())
            .env("HOME", self.shop.path().join("home").display().to_string())
            .env("BIND", self.bind())
            .env("WAIT", "20s")
            .env("PYTHONDONTWRITEBYTECODE", "1")
    }

    fn bind(&self) -> String {
        format!("127.0.0.1:{}", self.shop.services().port(4))
    }

    pub(crate) fn run(&self, words: &str) -> Run {
        self.as_user(&format!("{} {words}", recipe())).run()
    }

    pub(crate) fn version(&self) -> String {
        let said = self.systemd.pipe(&self.shop, format!("curl -s --max-time 2 http://{}/", self.bind())).run().stdout;
        said.split(' ').next().unwrap_or_default().to_owned()
    }

    fn under_load<T>(&self, versions: [&str; 2], act: impl FnOnce() -> T) -> (T, String) {
        asked_meanwhile(&self.systemd, &self.shop, versions, act)
    }
}

pub(crate) fn recipe() -> String {
    binaries::workspace().join("scripts/recipes/unicorn").display().to_string()
}

#[test]
fn one_main_process_hands_over_to_the_next_and_back_without_a_lost_request() {
    hands_over(Served::Gunicorn);
}

#[test]
fn unicorn_itself_hands_over_and_back_without_a_lost_request() {
    hands_over(Served::Unicorn);
}

fn hands_over(served: Served) {
    let classroom = match Classroom::with(served) {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    classroom.settings();
    classroom.run("deploy v1").exits(0);
    assert_eq!(classroom.version(), "v1");
    classroom.commit("v2", "200 OK");
    let (run, seen) = classroom.under_load(["v1", "v2"], || classroom.run("deploy v2"));
    run.exits(0);
    assert_eq!(classroom.version(), "v2", "{run}");
    lost_nothing(&format!("unicorn deploy ({served:?})"), &seen);
    let (run, seen) = classroom.under_load(["v2", "v1"], || classroom.run("rollback"));
    run.exits(0);
    assert_eq!(classroom.version(), "v1", "{run}");
    lost_nothing(&format!("unicorn rollback ({served:?})"), &seen);
    classroom.commit("v3", "500 Broken");
    let run = classroom.as_user(&format!("WAIT=5s {} deploy v3", recipe())).run();
    assert_eq!(run.exits(3).record()["error"]["blame"], "release", "{run}");
    assert_eq!(classroom.version(), "v1", "{run}");
}

#[test]
fn a_handover_that_is_killed_leaves_a_service_and_the_same_command_repairs_it() {
    let classroom = match Classroom::new() {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    classroom.settings();
    classroom.run("deploy v1").exits(0);
    classroom.commit("v2", "200 OK");
    let (run, seen) = classroom.under_load(["v1", "v2"], || {
        let deploy = classroom.as_user(&format!("{} deploy v2", recipe())).start();
        stories::running::until("both serve", || classroom.version() == "v2");
        deploy.signal_all(Signal::SIGKILL);
        drop(deploy);
        classroom.run("deploy v2")
    });
    run.exits(0);
    assert_eq!(classroom.version(), "v2", "{run}");
    lost_nothing("unicorn killed and repaired", &seen);
}

#[test]
fn settings_must_be_there_and_never_show() {
    let classroom = match Classroom::new() {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    let refused = classroom.run("deploy v1");
    assert_ne!(refused.status, 0, "{refused}");
    assert!(classroom.shop.releases().is_empty(), "{refused}");
    classroom.settings();
    let missing = classroom.as_user(&format!("REQUIRED=SECRET_KEY,DATABASE {} deploy v1", recipe())).run();
    missing.exits(1).says("DATABASE");
    let run = classroom.run("deploy v1");
    run.exits(0);
    assert!(!format!("{refused}{missing}{run}").contains(SECRET), "{run}");
    let tree = classroom.shop.root();
    let grep = format!("grep -rl {SECRET} {} --exclude-dir=shared", tree.display());
    classroom.shop.pipe(grep).run().exits(1).prints_nothing();
    let mode = fs::metadata(tree.join("shared/.env")).expect("the settings").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{run}");
}

#[test]
fn a_boot_starts_it_from_the_link_alone() {
    let classroom = match Classroom::new() {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    classroom.settings();
    classroom.run("deploy v1").exits(0);
    let unit = format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nRestart=on-failure\nRestartSec=1\n\
         Environment=PATH={}:/usr/bin:/bin CUTOVER_ROOT={} BIND={}\n\
         ExecStart={} start\n",
        binaries::directory().display(),
        classroom.shop.root().display(),
        classroom.bind(),
        recipe()
    );
    let units = classroom.shop.path().join("home/.config/systemd/user/default.target.wants");
    fs::create_dir_all(&units).expect("make the user's units");
    fs::write(units.join("../shop.service"), unit).expect("write a unit");
    std::os::unix::fs::symlink("../shop.service", units.join("shop.service")).expect("enable it");
    let Classroom { systemd, shop, served } = classroom;
    drop(systemd);
    fs::remove_file(shop.path().join("systemd/pid")).expect("forget the former machine");
    let systemd = match Classroom::boot(&shop, &format!("user@{USER}.service")) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    let classroom = Classroom { systemd, shop, served };
    stories::running::until("it serves after the boot", || classroom.version() == "v1");
    classroom.commit("v2", "200 OK");
    let (run, seen) = classroom.under_load(["v1", "v2"], || classroom.run("deploy v2"));
    run.exits(0);
    assert_eq!(classroom.version(), "v2", "{run}");
    lost_nothing("unicorn deploy after a boot", &seen);
}

/// What a boot makes of a pid file that a power cut has left: its number is another program's.
#[test]
fn a_pid_file_that_names_another_program_does_not_keep_it_from_starting() {
    let classroom = match Classroom::new() {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    classroom.settings();
    classroom.run("deploy v1").exits(0);
    let pidfile = classroom.shop.root().join("shared/server.pid").display().to_string();
    let cut = format!(
        "main=$(cat {pidfile}); kill -9 $main $(cat /proc/$main/task/$main/children); \
         while kill -0 $main 2>/dev/null; do sleep 0.01; done; \
         sleep 600 </dev/null >/dev/null 2>&1 & echo $! | tee {pidfile}"
    );
    let other = classroom.as_user(&cut).run().exits(0).stdout.clone();
    let started = classroom.run("start");
    started.exits(0);
    assert_eq!(classroom.version(), "v1", "{started}");
    classroom.as_user(&format!("kill {other}")).run().exits(0);
}

#[test]
fn its_state_is_told_when_it_changes() {
    let classroom = match Classroom::new() {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    classroom.settings();
    classroom.run("deploy v1").exits(0);
    for _ in 0..3 {
        classroom.run("status").exits(0);
    }
    let pidfile = classroom.shop.root().join("shared/server.pid");
    let pid = fs::read_to_string(&pidfile).expect("the pid file");
    classroom
        .as_user(&format!("kill {} && while kill -0 {} 2>/dev/null; do sleep 0.01; done", pid.trim(), pid.trim()))
        .run();
    for _ in 0..3 {
        classroom.run("status").exits(3);
    }
    classroom.run("start").exits(0);
    classroom.run("status").exits(0);
    let log = fs::read_to_string(classroom.shop.root().join("shared/status.log")).expect("the log");
    assert_eq!(log.lines().count(), 3, "up, down, up: {log}");
}

#[test]
fn a_full_disk_harms_nothing() {
    let classroom = match Classroom::new() {
        Ok(classroom) => classroom,
        Err(why) => skip!("{why}"),
    };
    let root = classroom.shop.root().display().to_string();
    let small = format!("mount -t tmpfs -o size=4m,uid={USER},gid={USER},mode=755 small {root}");
    classroom.systemd.pipe(&classroom.shop, small).run().exits(0);
    classroom.settings();
    classroom.run("deploy v1").exits(0);
    classroom.commit("v2", "200 OK");
    let link = classroom.as_user("readlink $ROOT/current").run().stdout;
    let (full, seen) = classroom.under_load(["v1", "v2"], || {
        classroom.as_user("dd if=/dev/zero of=$ROOT/shared/full bs=4k 2>/dev/null").run();
        for _ in 0..4 {
            assert_ne!(classroom.run("deploy v2").status, 0);
        }
        classroom.run("deploy v2")
    });
    assert_ne!(full.status, 0, "{full}");
    lost_nothing("unicorn on a full disk", &seen);
    assert!(seen.contains("v2 false"), "{seen}");
    assert_eq!(classroom.as_user("readlink $ROOT/current").run().stdout, link, "{full}");
    classroom.as_user("rm $ROOT/shared/full").run().exits(0);
    classroom.run("deploy v2").exits(0);
    assert_eq!(classroom.version(), "v2");
}
