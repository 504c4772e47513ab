//! A project that deploys with GNU make: five variables, an include, four targets.

use stories::{Run, Shop, binaries, skip};

/// A Makefile as a project would have it, for two instances; `source` is what is deployed.
fn project(shop: &Shop, source: &str) {
    let command = |action: &str| format!("--command {action}='shop-manager {action} {{instance}}'");
    let commands = ["start", "stop", "restart", "status"].map(command).join(" ");
    let port = shop.services().port(0) / 10;
    let text = format!(
        "CUTOVER_ROOT    = {}\n\
         CUTOVER_FROM    = {source}\n\
         CUTOVER_RESTART = --via exec {commands} shop@1 shop@2\n\
         CUTOVER_GATE    = svc-health 'http://127.0.0.1:{port}{{i}}/' --wait 3s --interval 20ms\n\
         CUTOVER_KEEP    = 1\n\
         include {}/share/cutover.mk\n\
         deploy: build\n\
         build:\n\t@echo building >&2\n",
        shop.root().display(),
        binaries::workspace().display()
    );
    shop.write("Makefile", &text);
}

fn make(shop: &Shop, target: &str) -> Run {
    shop.pipe(format!("make --no-print-directory {target}")).run()
}

fn versions(shop: &Shop) -> [Option<String>; 2] {
    [1, 2].map(|i| shop.services().version(i))
}

fn both(version: &str) -> [Option<String>; 2] {
    [Some(version.to_owned()), Some(version.to_owned())]
}

#[test]
fn make_deploys_takes_back_goes_back_tells_and_collects() {
    if !skip::has("make") {
        skip!("make is not installed");
    }
    let shop = Shop::new();
    for version in ["v1", "v2", "v3"] {
        shop.source(version);
    }
    shop.source_that("broken", "500");
    for version in ["v1", "v2"] {
        project(&shop, version);
        make(&shop, "deploy").exits(0).says("building").record();
        assert_eq!(versions(&shop), both(version));
    }

    project(&shop, "broken");
    let refused = make(&shop, "deploy");
    refused.exits(2).says("Error 3");
    assert!(refused.stdout.contains("\"blame\":\"release\""), "{refused}");
    assert_eq!(versions(&shop), both("v2"), "{refused}");

    let back = make(&shop, "rollback");
    back.exits(0).record();
    assert_eq!(versions(&shop), both("v1"), "{back}");
    let status = make(&shop, "status");
    assert!(status.exits(0).stdout.contains("bad"), "{status}");

    project(&shop, "v3");
    make(&shop, "deploy").exits(0);
    let idle = shop.pipe("release-mk --root $ROOT --from v2").run();
    let unused = idle.exits(0).record().id().to_owned();
    let collected = make(&shop, "gc");
    let record = collected.exits(0).record();
    let kept = &record.stage("release-gc")["kept"];
    assert!(kept.as_array().is_some_and(|kept| kept.iter().any(|entry| entry["id"] == unused)), "{collected}");
}

#[test]
fn make_n_prints_the_pipe_and_a_missing_variable_is_named() {
    if !skip::has("make") {
        skip!("make is not installed");
    }
    let shop = Shop::new();
    shop.source("v1");
    shop.deploy("v1");
    project(&shop, "v1");
    let before = shop.listing();
    let printed = make(&shop, "-n cutover-deploy");
    assert!(printed.exits(0).stdout.contains("release-mk --from v1 | release-switch"), "{printed}");
    before.assert_unchanged(&shop.listing(), "make -n");
    make(&shop, "deploy CUTOVER_ROOT=").exits(2).says("set CUTOVER_ROOT to the directory of the application");
    make(&shop, "deploy CUTOVER_FROM=").exits(2).says("set CUTOVER_FROM to what is deployed");
}
