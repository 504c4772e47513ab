//! The timers that are shipped, as they are, under a real systemd: each fires, and its service works in its sandbox.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use stories::real::systemd::Systemd;
use stories::running::until;
use stories::{Run, Shop, binaries, skip};

use crate::real_systemd_boots::shop_unit;

/// Fires at once instead of at night; the rest of the timer, and all of the service, is what is shipped.
const AT_ONCE: &str = "[Timer]\nOnCalendar=\nOnActiveSec=0\nRandomizedDelaySec=0\nAccuracySec=1ms\n";

/// Asks five times a second, and may do so for as long as the story takes.
const OFTEN: &str =
    "[Unit]\nStartLimitIntervalSec=0\n[Timer]\nOnActiveSec=0\nOnUnitInactiveSec=200ms\nAccuracySec=1ms\n";

/// Units and tools are installed; the shop's root is /srv/shop and /home/ann/shop too, and belongs to www-data.
struct Machine {
    systemd: Systemd,
    shop: Shop,
}

impl Machine {
    fn new() -> Result<Self, String> {
        let shop = Shop::new();
        let systemd = Systemd::boot(&shop, &[("shop@.service", &shop_unit(&shop))])?;
        let machine = Self { systemd, shop };
        let prepare = format!(
            "set -e
            cp {}/* /etc/systemd/system/
            cp {tools}/release-gc {tools}/svc-health /usr/bin/
            mkdir -p $ROOT /srv/shop /home/ann/shop /etc/cutover
            chown www-data:www-data $ROOT
            mount --bind $ROOT /srv/shop
            mount --bind $ROOT /home/ann/shop",
            binaries::workspace().join("share/systemd").display(),
            tools = binaries::directory().display()
        );
        machine.inside(&prepare).exits(0);
        Ok(machine)
    }

    fn inside(&self, script: &str) -> Run {
        self.systemd.pipe(&self.shop, script).run()
    }

    /// Writes a file inside, such as a drop-in.
    fn install(&self, path: &str, text: &str) {
        self.shop.write("installed", text);
        self.inside(&format!("install -D -m 644 installed {path} && systemctl daemon-reload")).exits(0);
    }

    fn show(&self, unit: &str, property: &str) -> String {
        self.systemd.systemctl(&self.shop, &format!("show --property {property} --value {unit}"))
    }

    /// Starts the timer and waits until it has fired and the collection has ended. Returns its result and exit status.
    fn collects(&self) -> (String, String) {
        let unit = "release-gc@shop.service";
        let runs = |machine: &Self| machine.show(unit, "ExecMainExitTimestampMonotonic");
        let before = runs(self);
        self.install("/etc/systemd/system/release-gc@shop.timer.d/now.conf", AT_ONCE);
        self.inside("systemctl restart release-gc@shop.timer").exits(0);
        until("the timer has fired and the collection has ended", || {
            let now = runs(self);
            now != before && now != "0" && self.show(unit, "ActiveState") != "activating"
        });
        (self.show(unit, "Result"), self.show(unit, "ExecMainStatus"))
    }

    /// What the journal has of a unit, each line behind its priority.
    fn journal(&self, unit: &str) -> Vec<(String, String)> {
        let lines = self.inside(&format!("journalctl --sync; journalctl -q -o json _SYSTEMD_UNIT={unit}")).stdout;
        let entries = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        entries.map(|entry| (text(&entry["PRIORITY"]), text(&entry["MESSAGE"]))).collect()
    }
}

/// Whether a line of this priority contains this.
fn has(journal: &[(String, String)], priority: &str, part: &str) -> bool {
    journal.iter().any(|(p, message)| p == priority && message.contains(part))
}

#[test]
fn a_collection_at_night_keeps_what_another_users_process_still_runs_from() {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => skip!("{why}"),
    };
    // A directory that may only be removed after its mode was changed, and then without its setgid bit.
    let deep = machine.shop.source("v1").join("assets/deep");
    fs::set_permissions(&deep, fs::Permissions::from_mode(0o2555)).expect("protect a directory");
    machine.shop.source("v2");
    fs::set_permissions(machine.shop.path().join("v2"), fs::Permissions::from_mode(0o2555)).expect("protect a source");
    let ids = ["v1", "v2", "v3", "v4", "v5"].map(|source| machine.shop.deploy_well(source));
    let run_old = format!(
        "systemd-run -q --unit=old -p User=nobody -p PrivateTmp=yes -p ProtectSystem=strict \
         -p WorkingDirectory=/srv/shop/releases/{} sleep 600",
        ids[2]
    );
    machine.inside(&run_old).exits(0);
    machine.install("/etc/cutover/shop.env", "CUTOVER_ROOT=/srv/shop\nCUTOVER_KEEP=1\n");

    assert_eq!(machine.collects(), ("success".into(), "0".into()), "{:?}", machine.journal("release-gc@shop.service"));
    assert_eq!(machine.shop.releases(), ids[2..], "the third is in use, the fourth is where a rollback would go");
    assert_eq!(machine.shop.debris(), [] as [&str; 0]);
    let journal = machine.journal("release-gc@shop.service");
    assert!(has(&journal, "6", "release-gc: kept 3, removed 2"), "{journal:?}");
    let whose = machine.inside("find /srv/shop ! -user www-data -o -path '*/history.jsonl' ! -perm 644");
    assert_eq!(whose.exits(0).stdout, "", "all is the owner's, and readable as before");

    machine.inside("systemctl stop old").exits(0);
    assert_eq!(machine.collects().0, "success");
    assert_eq!(machine.shop.releases(), ids[3..], "nothing is in use any more");
}

#[test]
fn a_root_elsewhere_is_left_alone_until_the_drop_in_names_it() {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => skip!("{why}"),
    };
    let ids = ["v1", "v2", "v3"].map(|source| machine.shop.deploy_well(source));
    machine.install("/etc/cutover/shop.env", "CUTOVER_ROOT=/home/ann/shop\nCUTOVER_KEEP=1\n");
    let (result, _) = machine.collects();
    assert_eq!(result, "exit-code");
    assert_eq!(machine.shop.releases(), ids);
    let journal = machine.journal("release-gc@shop.service");
    assert!(has(&journal, "3", "Read-only file system"), "{journal:?}");

    let unit = fs::read_to_string(binaries::workspace().join("share/systemd/release-gc@.service")).expect("the unit");
    let written: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let drop_in = written.iter().skip_while(|line| **line != "[Service]").take(2).copied().collect::<Vec<_>>();
    machine.install("/etc/systemd/system/release-gc@shop.service.d/root.conf", &drop_in.join("\n"));
    assert_eq!(machine.collects().0, "success", "{:?}", machine.journal("release-gc@shop.service"));
    assert_eq!(machine.shop.releases(), ids[1..]);
}

#[test]
fn a_collection_that_finds_the_root_locked_has_not_failed() {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => skip!("{why}"),
    };
    let ids = ["v1", "v2", "v3"].map(|source| machine.shop.deploy_well(source));
    machine.install("/etc/cutover/shop.env", "CUTOVER_ROOT=/srv/shop\nCUTOVER_KEEP=1\n");
    let impatient = "[Service]\nExecStart=\nExecStart=release-gc -n --keep 1 --lock-wait 0s\n";
    machine.install("/etc/systemd/system/release-gc@shop.service.d/wait.conf", impatient);
    machine
        .inside("systemd-run -q --unit=deploying flock $ROOT/.cutover/deploy -c \"touch $PWD/locked; sleep 600\"")
        .exits(0);
    until("the lock is held", || machine.shop.path().join("locked").exists());
    assert_eq!(machine.collects(), ("success".into(), "75".into()));
    assert_eq!(machine.shop.releases(), ids);
}

#[test]
fn the_journal_hears_once_when_health_changes() {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => skip!("{why}"),
    };
    machine.shop.deploy_well("v1");
    let target = format!("http://127.0.0.1:{}/", machine.shop.services().port(1));
    machine.install("/etc/cutover/shop.env", &format!("HEALTH={target}\nHEALTH_2=systemd:shop@1\nHEALTH_FAILS=1\n"));
    machine.install("/etc/systemd/system/svc-health@shop.timer.d/often.conf", OFTEN);
    machine.install("/etc/systemd/system/svc-health@shop.service.d/often.conf", "[Unit]\nStartLimitIntervalSec=0\n");
    let unit = "svc-health@shop.service";
    let becomes = |state: &str, times: usize| {
        let line = format!("svc-health: {target} is now {state}");
        let said = || machine.journal(unit).iter().filter(|(_, message)| message.starts_with(&line)).count();
        until(&format!("{target} is {state}"), || said() >= times);
        assert_eq!(said(), times, "{:?}", machine.journal(unit));
    };
    machine.inside("systemctl start shop@1 svc-health@shop.timer").exits(0);
    becomes("healthy", 1);
    machine.inside("systemctl stop shop@1").exits(0);
    becomes("unhealthy", 1);
    until("the unit has failed", || machine.show(unit, "ActiveState") == "failed");
    machine.inside("systemctl start shop@1").exits(0);
    becomes("healthy", 2);
    let journal = machine.journal(unit);
    assert!(
        has(&journal, "6", "is now healthy") && has(&journal, "3", "2 of 2 targets are not healthy"),
        "{journal:?}"
    );
}

#[test]
fn the_units_verify_and_are_sandboxed() {
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => skip!("{why}"),
    };
    for tool in ["release-gc", "svc-health"] {
        let verified =
            machine.inside(&format!("systemd-analyze verify --man=no {tool}@shop.service {tool}@shop.timer 2>&1"));
        let about_ours = verified.stdout.lines().filter(|line| line.contains(tool)).collect::<Vec<_>>();
        assert_eq!(about_ours, [] as [&str; 0], "{verified}");
        let judged =
            machine.inside(&format!("systemd-analyze security --offline=true --threshold=20 {tool}@shop.service"));
        judged.exits(0);
    }
}
