//! svc-restart reads what a real systemd tells: a unit that changed on disk, one that names a release instead of the link,
//! one that ends over and over, one that runs to its end; and the caller's own units.

use stories::real::systemd::Systemd;
use stories::{Run, Shop, skip};

use crate::real_systemd_boots::shop_unit;

const LOOPS: &str = "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n";
const ONE_SHOT: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
const NEVER_READY: &str = "[Service]\nType=notify\nExecStart=/bin/sleep 300\nTimeoutStartSec=60\n";

struct Machine {
    systemd: Systemd,
    shop: Shop,
}

impl Machine {
    fn boot() -> Result<Self, String> {
        let shop = Shop::new();
        shop.source("v1");
        shop.pipe("release-mk --root $ROOT --from v1 --name v1 | release-switch").run().exits(0);
        let root = shop.root().display().to_string();
        let pinned = format!("[Service]\nWorkingDirectory={root}/releases/v1\nExecStart=/bin/sleep 300\n");
        let shop_unit = shop_unit(&shop);
        let units = [
            ("shop@.service", shop_unit.as_str()),
            ("loops.service", LOOPS),
            ("once.service", ONE_SHOT),
            ("never.service", NEVER_READY),
            ("pinned.service", pinned.as_str()),
        ];
        let systemd = Systemd::boot(&shop, &units)?;
        Ok(Self { systemd, shop })
    }

    fn run(&self, script: &str) -> Run {
        self.systemd.pipe(&self.shop, script).run()
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.systemd.systemctl(&self.shop, &format!("show --value --property {name} {unit}"))
    }
}

#[test]
fn units_are_read_and_their_answers_told() {
    let machine = match Machine::boot() {
        Ok(machine) => machine,
        Err(why) => skip!("{why}"),
    };
    a_unit_that_changed_is_read_anew(&machine);
    one_that_names_a_release_is_warned_of(&machine);
    what_ends_or_never_gets_ready_is_the_releases_own_no(&machine);
    one_that_runs_to_its_end_is_well(&machine);
    and_those_of_the_caller(&machine);
}

fn a_unit_that_changed_is_read_anew(machine: &Machine) {
    machine.run("svc-restart -n --via systemd shop@1").exits(0);
    let change = "echo Environment=CHANGED=yes >>\"$(systemctl show --value --property FragmentPath shop@1)\"";
    machine.run(change).exits(0);
    assert_eq!(machine.property("shop@1", "NeedDaemonReload"), "yes");
    let planned = machine.run("svc-restart -n --via systemd shop@1 --dry-run");
    assert_eq!(planned.exits(0).record()["stages"][0]["plan"][0]["action"], "daemon-reload", "{planned}");
    let run = machine.run("svc-restart -n --via systemd shop@1");
    run.exits(0);
    assert_eq!(machine.property("shop@1", "NeedDaemonReload"), "no", "{run}");
    assert!(machine.property("shop@1", "Environment").contains("CHANGED=yes"), "{run}");
}

fn one_that_names_a_release_is_warned_of(machine: &Machine) {
    let run = machine.run("svc-restart -n --root $ROOT --via systemd pinned");
    let record = run.exits(0).says("instead of the link").record();
    assert_eq!(record["warnings"][0]["code"], "restart.pinned_unit", "{run}");
    let run = machine.run("svc-restart -n --root $ROOT --via systemd shop@1");
    assert!(!run.exits(0).stderr.contains("instead of the link"), "{run}");
}

fn what_ends_or_never_gets_ready_is_the_releases_own_no(machine: &Machine) {
    for (unit, code, says) in [
        ("loops", "restart.down", "exited with 1"),
        ("never --timeout 2s", "restart.not_ready", "was not ready in time"),
    ] {
        let run = machine.run(&format!("svc-restart -n --via systemd {unit}"));
        let record = run.exits(3).says(says).record();
        assert_eq!((record.code(), &record["error"]["blame"]), (code, &"release".into()), "{run}");
    }
    machine.run("systemctl stop loops never").exits(0);
    // Started again at once, though systemd counts its failures.
    let run = machine
        .run("for n in 1 2 3 4 5 6 7; do svc-restart -n -q --stable 0s --via systemd shop@1 >/dev/null || exit; done");
    run.exits(0);
}

fn one_that_runs_to_its_end_is_well(machine: &Machine) {
    let run = machine.run("svc-restart -n --via systemd once");
    assert_eq!(run.exits(0).record()["stages"][0]["instances"][0]["outcome"], "started", "{run}");
}

fn and_those_of_the_caller(machine: &Machine) {
    let start = "mkdir -p /etc/systemd/user; printf '[Service]\\nExecStart=/bin/sleep 300\\n' >/etc/systemd/user/mine.service; \
                 systemctl start user@0 && [ -S /run/user/0/systemd/private ]";
    let started = machine.run(start);
    if started.status != 0 {
        skip!("no user manager here: {}", started.stderr.trim());
    }
    let user = "export XDG_RUNTIME_DIR=/run/user/0; ";
    let run = machine.run(&format!("{user}svc-restart -n --via systemd --user mine"));
    assert_eq!(run.exits(0).record()["stages"][0]["instances"][0]["outcome"], "started", "{run}");
    let run = machine.run(&format!("{user}svc-restart -n --via systemd --user mine"));
    let instance = run.exits(0).record()["stages"][0]["instances"][0].clone();
    let pid =
        machine.run(&format!("{user}systemctl --user show --value --property MainPID mine")).stdout.trim().to_owned();
    assert_eq!((&instance["outcome"], instance["pid_after"].to_string()), (&"restarted".into(), pid), "{run}");
    machine.run(&format!("{user}svc-health -n systemd+user:mine")).exits(0);
    machine.run(&format!("{user}svc-restart -n --via systemd mine")).exits(1).fails_with("restart.unknown");
}
