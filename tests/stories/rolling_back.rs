//! Going back in a moment of panic: no argument is needed, bad releases are skipped, nothing to go back to is an error.

use stories::Shop;

#[test]
fn a_rollback_needs_no_argument_and_says_from_and_to() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    let run = shop.pipe("release-switch --root $ROOT --rollback --reason 'checkout is slow'").run();
    let record = run.exits(0).record();
    let stage = record.stage("release-switch");
    assert_eq!((&stage["from"], &stage["to"]), (&v2.as_str().into(), &v1.as_str().into()), "{run}");
    assert_eq!(record.id(), v1, "the rollback fills in the release\n{run}");
    assert!(shop.is_bad(&v2), "{run}");
    assert!(shop.releases().contains(&v2), "the evidence stays\n{run}");
    assert!(shop.history().iter().any(|line| line["reason"] == "checkout is slow"), "{run}");
}

#[test]
fn a_good_b_bad_c_bad_lands_on_a() {
    let shop = Shop::new();
    let a = shop.deploy_well("v1");
    let b = shop.deploy_well("v2");
    shop.pipe("release-switch --root $ROOT --rollback").run().exits(0);
    let c = shop.deploy_well("v3");
    let run = shop.pipe("release-switch --root $ROOT --rollback").run();
    run.exits(0);
    assert_eq!(shop.current(), Some(a), "{run}");
    assert!(shop.is_bad(&b) && shop.is_bad(&c), "{run}");
}

#[test]
fn nothing_to_roll_back_to_exits_69_and_changes_nothing() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let before = shop.listing();
    let run = shop.pipe("release-switch --root $ROOT --rollback").run();
    run.exits(69);
    assert_eq!(run.record()["ok"], false);
    assert_eq!(shop.current(), Some(v1));
    before.assert_unchanged(&shop.listing(), "by a rollback without a candidate");
}

#[test]
fn after_a_change_by_hand_the_plan_says_what_the_rollback_does() {
    for hand in ["releases/{v1}", "releases/{v2}", "releases/nothing", "releases/{v3}"] {
        let shop = Shop::new();
        let [v1, v2, v3] = ["v1", "v2", "v3"].map(|name| shop.deploy_well(name));
        let hand = hand.replace("{v1}", &v1).replace("{v2}", &v2).replace("{v3}", &v3);
        shop.pipe(format!("ln -sfn {hand} $ROOT/current")).run().exits(0);
        let shown = shop.pipe("release-ls --root $ROOT --json").run();
        let shown =
            shown.exits(0).stdout.lines().find(|line| line.contains("\"previous\":[\"current\"]")).map(str::to_owned);
        let planned = shop.pipe("release-switch --root $ROOT --rollback --dry-run").run();
        let planned = planned.exits(0).record().stage("release-switch")["to"].clone();
        let run = shop.pipe("release-switch --root $ROOT --rollback").run();
        assert_eq!(run.exits(0).record().stage("release-switch")["to"], planned, "{hand}\n{run}");
        let planned = planned.as_str().expect("an id");
        assert_eq!(shop.current().as_deref(), Some(planned), "{hand}\n{run}");
        assert!(shown.is_some_and(|line| line.contains(planned)), "{hand}: release-ls marks another\n{run}");
        // Back to what somebody has just left, as nobody said that it is bad; at least it is said.
        let is_left = planned == v3 && hand != format!("releases/{v3}");
        assert_eq!(run.record()["warnings"][0]["code"] == "switch.left_by_hand", is_left, "{hand}\n{run}");
    }
}

#[test]
fn a_release_that_was_removed_by_hand_is_not_passed_over_in_silence() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    shop.deploy_well("v3");
    shop.pipe(format!("rm -r $ROOT/releases/{v2}")).run().exits(0);
    let run = shop.pipe("release-switch --root $ROOT --rollback").run();
    let warning = format!("{v2} would have come before {v1}, but is not there any more");
    assert_eq!(run.exits(0).says(&warning).record()["warnings"][0]["code"], "switch.passed_over", "{run}");
    assert_eq!(shop.current(), Some(v1), "{run}");
}

#[test]
fn a_history_that_was_lost_is_told_and_not_taken_for_a_first_deploy() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    shop.pipe("rm $ROOT/.cutover/history.jsonl").run().exits(0);
    shop.pipe("release-ls --root $ROOT").run().exits(0).says("there is no history");
    let run = shop.pipe("release-switch --root $ROOT --rollback").run();
    run.exits(69).says("the history begins at").says("what was live there before is not known");
    assert_eq!(shop.current(), Some(v2), "{run}");
}

#[test]
fn a_bad_release_may_be_chosen_by_name() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    shop.pipe("release-switch --root $ROOT --rollback").run().exits(0);
    assert!(shop.is_bad(&v2));
    shop.pipe(format!("release-switch --root $ROOT --to {v2}")).run().exits(0);
    assert_eq!(shop.current(), Some(v2));
}

#[test]
fn a_switch_that_expects_something_else_changes_nothing() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    let run = shop.pipe(format!("release-switch --root $ROOT --to {v1} --expect {v1}")).run();
    run.exits(1).fails_with("switch.expected");
    assert_eq!(shop.current(), Some(v2.clone()), "{run}");
    shop.pipe(format!("release-switch --root $ROOT --to {v1} --expect {v2}")).run().exits(0);
    assert_eq!(shop.current(), Some(v1));
}

#[test]
fn every_link_has_a_history_of_its_own() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    let other = |id: &str| {
        shop.pipe(format!("release-switch --root $ROOT --link other --to {id} | release-switch --good"))
            .run()
            .exits(0)
            .record()
    };
    other(&v2);
    other(&v1);
    shop.pipe("release-switch --root $ROOT --link other --rollback").run().exits(0);
    assert_eq!(shop.named("other"), Some(v2.clone()));
    assert_eq!(shop.current(), Some(v2));
}

#[test]
fn a_link_that_was_changed_by_hand_is_recorded_as_found() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    shop.pipe(format!("ln -sfn releases/{v1} root/by-hand && mv -T root/by-hand root/current")).run().exits(0);
    shop.pipe(format!("release-switch --root $ROOT --to {v2}")).run().exits(0);
    let kinds: Vec<_> = shop.history().iter().map(|line| line["kind"].clone()).collect();
    assert!(kinds.iter().any(|kind| kind == "found"), "{kinds:?}");
}
