//! The deploy as it is in production: units of a real systemd, restarted in turn, gated by what they answer.

use stories::real::systemd::Systemd;
use stories::{Run, Shop, skip};

use crate::real_systemd_boots::shop_unit;

/// The whole deploy of a source through systemd.
fn deploy(source: &str) -> String {
    format!(
        "restart() {{ svc-restart --via systemd shop@1 shop@2 --gate \"$GATE\" \"$@\"; }}\n\
         release-mk --root $ROOT --from {source} | release-switch | restart | release-switch --undo | restart --undo \
         | release-gc --keep 5"
    )
}

/// A shop with v1 live under systemd, and a source v2 of this mode. `Err` says why that cannot be here.
fn shop(mode: &str) -> Result<(Shop, Systemd, String), String> {
    let shop = Shop::new();
    shop.source("v1");
    shop.source_that("v2", mode);
    let systemd = Systemd::boot(&shop, &[("shop@.service", &shop_unit(&shop))])?;
    let id = systemd.pipe(&shop, deploy("v1")).run().exits(0).record().id().to_owned();
    Ok((shop, systemd, id))
}

fn answers(systemd: &Systemd, shop: &Shop, i: u32) -> String {
    let port = shop.services().port(i);
    let ask = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3");
    let run = systemd.pipe(shop, ask).shell(&["bash", "-c"]).run();
    run.stdout.split(' ').next().unwrap_or_default().to_owned()
}

fn pids(systemd: &Systemd, shop: &Shop) -> [String; 2] {
    ["shop@1", "shop@2"].map(|unit| systemd.main_pid(shop, unit))
}

#[test]
fn units_are_restarted_in_turn_and_run_the_new_release() {
    let (shop, systemd, v1) = match shop("ok") {
        Ok(shop) => shop,
        Err(why) => skip!("{why}"),
    };
    let before = pids(&systemd, &shop);
    let run = systemd.pipe(&shop, deploy("v2")).run();
    let record = run.exits(0).record();
    let after = pids(&systemd, &shop);
    assert_ne!(Some(v1), shop.current(), "{run}");
    let instances = &record.stage("svc-restart")["instances"];
    for i in [0, 1] {
        assert_ne!(before[i], after[i], "{run}");
        assert_eq!(instances[i]["outcome"], "restarted", "{run}");
        assert_eq!(instances[i]["pid_after"].to_string(), after[i], "{run}");
        assert_eq!(answers(&systemd, &shop, i as u32 + 1), "v2", "{run}");
    }
}

#[test]
fn a_unit_whose_release_answers_500_is_taken_back_and_the_next_one_never_touched() {
    let (shop, systemd, v1) = match shop("500") {
        Ok(shop) => shop,
        Err(why) => skip!("{why}"),
    };
    taken_back(&shop, &systemd, &v1, || systemd.pipe(&shop, deploy("v2")).run());
}

#[test]
fn a_unit_that_ends_at_once_is_taken_back_too() {
    let (shop, systemd, v1) = match shop("exit") {
        Ok(shop) => shop,
        Err(why) => skip!("{why}"),
    };
    taken_back(&shop, &systemd, &v1, || systemd.pipe(&shop, deploy("v2")).run());
}

fn taken_back(shop: &Shop, systemd: &Systemd, v1: &str, pipe: impl Fn() -> Run) {
    let before = pids(systemd, shop);
    let run = pipe();
    let record = run.record();
    assert_ne!(run.status, 0, "{run}");
    assert_eq!(record["error"]["blame"], "release", "{run}");
    assert_eq!(shop.current().as_deref(), Some(v1), "{run}");
    let after = pids(systemd, shop);
    assert_eq!(before[1], after[1], "the second was never touched\n{run}");
    assert_ne!(after[0], "0", "{run}");
    assert_eq!(answers(systemd, shop, 1), "v1", "{run}");
    assert!(shop.is_bad(record.id()), "{run}");
}

#[test]
fn an_unknown_unit_is_refused_before_anything_is_restarted() {
    let (shop, systemd, v1) = match shop("ok") {
        Ok(shop) => shop,
        Err(why) => skip!("{why}"),
    };
    let before = pids(&systemd, &shop);
    let run = systemd.pipe(&shop, deploy("v2").replace("shop@2", "nosuch@2")).run();
    run.exits(1);
    assert_eq!(pids(&systemd, &shop), before, "{run}");
    assert_eq!(shop.current(), Some(v1), "{run}");
    assert!(shop.releases().iter().all(|id| !shop.is_bad(id)), "{run}");
}
