//! What every tool has in common: the schema, the help, the version, the table of exit statuses.

use stories::{Shop, binaries};

const TOOLS: [&str; 9] = [
    "release-mk",
    "release-switch",
    "release-gc",
    "release-lock",
    "release-pin",
    "release-ls",
    "svc-health",
    "svc-restart",
    "svc-route",
];

/// The tools that are built; all of them, once all are there.
fn tools() -> Vec<&'static str> {
    TOOLS.into_iter().filter(|tool| binaries::directory().join(tool).exists()).collect()
}

#[test]
fn every_tool_prints_the_committed_schema() {
    let shop = Shop::new();
    let committed =
        std::fs::read_to_string(binaries::workspace().join("docs/record.schema.json")).expect("read the schema");
    for tool in tools() {
        let run = shop.pipe(format!("{tool} --schema")).run();
        assert_eq!(run.exits(0).stdout.trim_end(), committed.trim_end(), "{tool} --schema: generate the schema anew");
    }
}

#[test]
fn help_begins_with_two_examples() {
    let shop = Shop::new();
    for tool in tools() {
        let run = shop.pipe(format!("{tool} --help")).run();
        let lines: Vec<_> = run.exits(0).stdout.lines().take(12).collect();
        let examples = lines.iter().skip_while(|line| !line.starts_with("Examples")).skip(1);
        let examples = examples.take_while(|line| line.starts_with("  ")).filter(|line| line.contains(tool)).count();
        assert!(examples >= 2, "{tool} --help shows {examples} examples\n{run}");
    }
}

#[test]
fn every_tool_knows_its_version_and_the_shared_options() {
    let shop = Shop::new();
    for tool in tools() {
        let run = shop.pipe(format!("{tool} --version")).run();
        assert_eq!(run.exits(0).stdout.trim(), format!("{tool} {}", env!("CARGO_PKG_VERSION")));
        let help = shop.pipe(format!("{tool} --help")).run();
        for option in ["--root", "--link", "--lock-wait", "--dry-run", "--no-record", "--report", "--schema", "--color"]
        {
            assert!(help.stdout.contains(option), "{tool} lacks {option}");
        }
    }
}

#[test]
fn a_report_holds_the_whole_stage() {
    let shop = Shop::new();
    shop.source("v1");
    shop.pipe("release-mk --root $ROOT --from v1 --report report.json").run().exits(0).record();
    // Only the last stage's status is seen, so that the record tells of what an earlier one could not write.
    let run = shop.pipe("release-mk --root $ROOT --from v1 --report nowhere/r.json | release-switch").run();
    assert_eq!(run.exits(0).record()["warnings"][0]["code"], "report", "{run}");
    let report = std::fs::read_to_string(shop.path().join("report.json")).expect("read the report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("the report is JSON");
    assert_eq!(report["tool"], "release-mk");
}

#[test]
fn health_is_asked_of_all_targets_and_each_attempt_has_its_reason() {
    let shop = Shop::new();
    shop.source("v1");
    shop.pipe(stories::services::deploy("v1")).run().exits(0);
    let run = shop.pipe("svc-health -n http://127.0.0.1:${PORTS}1/ tcp://127.0.0.1:${PORTS}2 exec:true").run();
    run.exits(0).record();
    let run = shop
        .pipe("svc-health -n http://127.0.0.1:${PORTS}1/ tcp://127.0.0.1:${PORTS}4 --wait 200ms --interval 50ms")
        .run();
    run.exits(3).says("refused");
    let run = shop.pipe("svc-health -n http://127.0.0.1:${PORTS}1/ --expect-body v2 --wait 100ms").run();
    run.exits(3);
    let run = shop.pipe("svc-health -n http://127.0.0.1:${PORTS}1/ --expect-status 204").run();
    run.exits(3).says("200");
    let run = shop.pipe("svc-health -n 'exec:exit 1'").run();
    run.exits(3);
}
