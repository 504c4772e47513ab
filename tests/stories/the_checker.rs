//! The checker that the other stories trust: it says nothing about a good root, and names the promise that each damage breaks.

use stories::{Checker, Shop};

/// What is done to a root, which promise that breaks, and what the checker must say of it.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("rm root/releases/$LIVE/version", "I1", "version is missing"),
    ("echo other >root/releases/$LIVE/version", "I1", "version is"),
    ("echo more >root/releases/$LIVE/more", "I1", "more is too much"),
    ("chmod 600 root/releases/$LIVE/version", "I1", "version is"),
    ("ln -sfn elsewhere root/releases/$LIVE/assets/index", "I1", "assets/index is"),
    ("rm root/.cutover/manifests/$OLD.json", "I1", "manifest does not read"),
    ("rm root/.cutover/tree/$OLD", "I1", "listing does not read"),
    ("echo '#l more -> more' >>root/.cutover/tree/$OLD", "I1", "another digest"),
    ("mkdir root/releases/half", "I1", "half: its manifest"),
    ("rm root/current", "I2", "current is gone"),
    ("rm -r root/releases/$LIVE", "I2", "current ->"),
    ("sed -i 1d root/.cutover/history.jsonl", "I6", "changed or removed"),
    ("tail -n 1 root/.cutover/history.jsonl >>root/.cutover/history.jsonl", "I6", "line 7"),
    ("ln -sfn releases/$OLD root/new && mv -T root/new root/current", "I6", "last activation"),
    ("echo changed >canary/kept/file", "I8", "canary/kept/file"),
    ("rm canary/link", "I8", "canary/link"),
    ("touch stray", "I8", "stray"),
    ("sed 's/\"seq\":5/\"seq\":7/; s/\"intent\":4,//; 5!d' root/.cutover/history.jsonl >>root/.cutover/history.jsonl", "I12", "was live"),
    ("echo hunter2 >>root/.cutover/run.json", "I14", "secret"),
];

/// The same for what is asserted only at certain moments.
#[rustfmt::skip]
const LATER: &[(&str, &str)] = &[
    ("rm -r root/releases/$OLD root/.cutover/*/$OLD*", "I5"),
    ("mkdir root/.cutover/staging/x.1", "I7"),
    ("mkdir root/.cutover/trash/x.1", "I7"),
    ("touch root/.cutover/.run.json.abc", "I7"),
    ("ln -s releases/$OLD root/.current.abc", "I7"),
    ("cp root/.cutover/manifests/$OLD.json root/.cutover/manifests/gone.json", "I7"),
    ("touch root/.cutover/tree/$OLD", "I9"),
    ("echo x >root/shared/file", "I9"),
    ("cp -a root/releases/$OLD/version . && rm root/releases/$OLD/version && mv version root/releases/$OLD", "I9"),
];

fn damaged(damage: &str) -> (Checker, Shop) {
    let shop = Shop::in_memory();
    let old = shop.deploy_well("v1");
    let live = shop.deploy_well("v2");
    let checker = Checker::of_shop(&shop).secret("hunter2");
    checker.holds("before any damage");
    assert!(checker.is_unchanged());
    shop.pipe(damage).env("OLD", old).env("LIVE", live).run().exits(0);
    (checker, shop)
}

#[test]
fn it_names_the_promise_that_each_damage_breaks() {
    for (damage, promise, what) in TABLE {
        let (checker, _shop) = damaged(damage);
        let found = checker.violations();
        let named = found.iter().any(|violation| violation.promise == *promise && violation.what.contains(what));
        assert!(named, "{damage}: {promise} {what:?} is not among {found:?}");
    }
}

#[test]
fn it_tells_what_was_lost_what_is_left_and_what_should_not_have_changed() {
    for (damage, promise) in LATER {
        let (checker, _shop) = damaged(damage);
        let mut found = checker.debris();
        found.extend(checker.removed_although_kept(2));
        found.extend(checker.changed_besides(|_| false));
        assert!(
            found.iter().any(|violation| violation.promise == *promise),
            "{damage}: {promise} is not among {found:?}"
        );
    }
}

#[test]
fn it_says_nothing_of_what_the_tools_do() {
    let shop = Shop::in_memory();
    shop.deploy_well("v1");
    shop.source("v2");
    let checker = Checker::of_shop(&shop);
    let made = shop.deploy("v2");
    shop.pipe("release-switch --root $ROOT --rollback").run().exits(0);
    shop.pipe(format!("release-pin --root $ROOT {made} --for 1h --reason audit")).run().exits(0);
    checker.holds("after a deploy, a rollback and a pin");
    assert_eq!(checker.debris(), []);
    assert_eq!(checker.changed_besides(|id| id == made), []);
    assert!(!checker.is_unchanged());
}
