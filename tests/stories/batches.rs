//! How many instances are taken at a time, in which order, and with what between them.

use std::time::Duration;

use stories::services::restart_of;
use stories::{Run, Shop};

const FOUR: &str = "shop@1 shop@2 shop@3 shop@4";

/// A shop whose four instances run v1, with v2 live.
fn shop() -> Shop {
    let shop = Shop::new();
    shop.deploy("v1");
    shop.pipe(restart_of(FOUR) + "restart -n").run().exits(0);
    shop.deploy("v2");
    shop
}

/// Commands and gates that note when they begin and end.
const NOTE: &str = "note() { echo \"$@\" >>$HOME/noted; }; ";

fn restarted(shop: &Shop, options: &str) -> (Run, String) {
    let command = format!("{NOTE}note begin {{i}}; shop-manager restart {{instance}}; note end {{i}}");
    let gate = format!("{NOTE}note gate");
    let script = format!(
        "svc-restart -n --root $ROOT --via exec {FOUR} --stable 0s --command restart='{command}' \
         --command start='shop-manager start {{instance}}' --command status='shop-manager status {{instance}}' \
         --gate '{gate}' {options}"
    );
    let run = shop.pipe(script).run();
    let noted = std::fs::read_to_string(shop.path().join("noted")).unwrap_or_default();
    (run, noted.lines().collect::<Vec<_>>().join(", "))
}

#[test]
fn each_batch_is_taken_in_order_and_gated_the_last_included() {
    let one = |i: u32| format!("begin {i}, end {i}");
    for (options, expected) in [
        ("", format!("{}, gate, {}, gate, {}, gate, {}, gate", one(1), one(2), one(3), one(4))),
        ("--batch 2", format!("{}, {}, gate, {}, {}, gate", one(1), one(2), one(3), one(4))),
        ("--batch 75%", format!("{}, {}, {}, gate, {}, gate", one(1), one(2), one(3), one(4))),
        ("--batch 25%,100%", format!("{}, gate, {}, {}, {}, gate", one(1), one(2), one(3), one(4))),
    ] {
        let shop = shop();
        let (run, noted) = restarted(&shop, options);
        let record = run.exits(0).record();
        assert_eq!(noted, expected, "{options}\n{run}");
        let batches = expected.matches("gate").count();
        assert_eq!(record["stages"][0]["gates"].as_array().map(Vec::len), Some(batches), "{run}");
        let versions = [1, 2, 3, 4].map(|i| shop.services().version(i));
        assert_eq!(versions, [1, 2, 3, 4].map(|_| Some("v2".to_owned())), "{run}");
    }
}

#[test]
fn those_of_a_batch_may_be_taken_at_the_same_time() {
    let shop = shop();
    let (run, noted) = restarted(&shop, "--batch 2 --parallel");
    run.exits(0);
    let at =
        |word: &str| noted.split(", ").position(|noted| noted == word).unwrap_or_else(|| panic!("{word}: {noted}"));
    assert!(at("gate") == 4 && at("begin 3").min(at("begin 4")) > 4, "the batches still come in turn: {noted}");
    // Two that wait for each other come through only together.
    let wait = |i: u32, other: u32| format!("{i}) touch met.{i}; until [ -e met.{other} ]; do sleep 0.01; done;;");
    let script = format!(
        "svc-restart -n --via exec a@1 a@2 --batch 2 --parallel --timeout 30s --command restart='case {{i}} in {} {} esac'",
        wait(1, 2),
        wait(2, 1)
    );
    shop.pipe(script).run().exits(0);
}

#[test]
fn there_is_a_pause_between_batches_and_none_behind_the_last() {
    let shop = shop();
    let (run, _) = restarted(&shop, "--batch 2 --pause 700ms");
    run.exits(0);
    let pause = Duration::from_millis(700);
    let record = run.record();
    let others = record["stages"][0]["instances"].as_array().into_iter().flatten();
    let acts: u64 = others.filter_map(|instance| instance["elapsed_ms"].as_u64()).sum();
    assert!(run.elapsed >= pause, "{run}");
    let elapsed = record["stages"][0]["elapsed_ms"].as_u64().unwrap_or(0);
    assert!(elapsed >= 700 && elapsed.saturating_sub(acts) >= 690, "one pause beside {acts} ms of work\n{run}");
    let planned =
        shop.pipe(format!("svc-restart -n --via exec {FOUR} --batch 2 --pause 1s --command restart=true --dry-run"));
    let planned = planned.run();
    let plan = planned.exits(0).says("would restart shop@1, restart shop@2").record()["stages"][0]["plan"].clone();
    let pauses = plan.as_array().into_iter().flatten().filter(|step| step["action"] == "pause").count();
    assert_eq!(pauses, 1, "{planned}");
}

#[test]
fn the_record_of_a_gate_is_part_of_the_stages() {
    let shop = shop();
    let gate = "svc-health http://127.0.0.1:${PORTS}{i}/ --wait 30s";
    let run = shop
        .pipe(format!("{}svc-restart -n --root $ROOT --via exec shop@1 --command restart=true --gate '{gate}'", ""))
        .run();
    let embedded = run.exits(0).record()["stages"][0]["gates"][0].clone();
    assert_eq!(
        (&embedded["ok"], &embedded["instance"], &embedded["exit"]),
        (&true.into(), &"shop@1".into(), &0.into()),
        "{run}"
    );
    assert_eq!(embedded["record"]["stages"][0]["tool"], "svc-health", "{run}");
    assert_eq!(embedded["record"]["stages"][0]["targets"][0]["outcome"], "healthy", "{run}");
}

#[test]
fn a_prefix_comes_before_the_commands_of_the_manager_only() {
    let shop = Shop::new();
    let script = "svc-restart -n --via exec a --as 'env WITH=prefix' --command restart='echo \"command $WITH\" >>told' \
                  --before 'echo \"hook ${WITH-none}\" >>told' --gate 'echo \"gate ${WITH-none}\" >>told'";
    shop.pipe(script).run().exits(0);
    let told = std::fs::read_to_string(shop.path().join("told")).expect("read what was told");
    assert_eq!(told, "hook none\ncommand prefix\ngate none\n");
}
