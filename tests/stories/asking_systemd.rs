//! svc-health and a real systemd: every state of a unit is told for what it is, and whose process answers is proven.

use serde_json::Value;
use stories::real::systemd::Systemd;
use stories::{Shop, skip};

use crate::real_systemd_boots::shop_unit;

const FAILS: &str = "[Service]\nType=exec\nExecStart=/bin/false\n";
const LOOPS: &str = "[Service]\nType=exec\nExecStart=/bin/false\nRestart=always\nRestartSec=60\n";
const ONE_SHOT: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";

fn release(shop: &Shop, name: &str) {
    let releases = shop.root().join("releases");
    std::fs::create_dir_all(&releases).expect("make a root");
    std::fs::rename(shop.source(name), releases.join(name)).expect("make a release");
}

#[test]
fn a_units_state_is_told_and_its_process_is_proven() {
    let shop = Shop::new();
    release(&shop, "v1");
    release(&shop, "v2");
    std::os::unix::fs::symlink("releases/v1", shop.root().join("current")).expect("make a link");
    let shop_unit = shop_unit(&shop);
    let units = [
        ("shop@.service", shop_unit.as_str()),
        ("fails.service", FAILS),
        ("loops.service", LOOPS),
        ("once.service", ONE_SHOT),
    ];
    let systemd = match Systemd::boot(&shop, &units) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    systemd.pipe(&shop, "systemctl start shop@1 once loops; systemctl start fails; true").run();
    let asked = |words: &str| {
        let run = systemd.pipe(&shop, format!("svc-health -n {words}")).run();
        let target = run.record()["stages"][0]["targets"][0].clone();
        (run.status, target["outcome"].as_str().unwrap_or_default().to_owned(), target["reason"].clone())
    };
    for (words, status, outcome, reason) in [
        ("systemd:shop@1", 0, "healthy", None),
        ("systemd:once.service", 0, "healthy", None),
        ("systemd:fails --wait 500ms", 3, "unhealthy", Some("the unit is failed (failed): exit-code")),
        ("systemd:loops --wait 500ms", 3, "unhealthy", Some("the unit is activating (auto-restart): exit-code")),
        ("systemd:shop@2", 3, "unhealthy", Some("the unit is inactive (dead)")),
        ("systemd:nobody", 3, "unhealthy", Some("there is no such unit")),
    ] {
        assert_eq!(asked(words), (status, outcome.to_owned(), reason.map_or(Value::Null, Value::from)), "{words}");
    }
    let root = shop.root();
    let port = shop.services().port(1);
    for target in ["systemd:shop@1".to_owned(), format!("tcp://127.0.0.1:{port}")] {
        let of = |release: &str| {
            let path = root.join("releases").join(release);
            let script = format!("CUTOVER_RELEASE_PATH={} svc-health -n {target} --expect-release", path.display());
            systemd.pipe(&shop, script).run()
        };
        let (right, wrong) = (of("v1"), of("v2"));
        right.exits(0);
        let pid = systemd.main_pid(&shop, "shop@1");
        wrong.exits(3).fails_with("health.unhealthy");
        let said = wrong.record()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(
            said.contains(&format!("process {pid} ("))
                && said.ends_with("answers, and runs from release v1, not from v2"),
            "{said}"
        );
    }
}
