//! A timer that builds only what is new: what is live already is not built again, nor what turned out bad, unless that is
//! said; and what cannot be asked is refused from the first time on.

use stories::Shop;

#[test]
fn what_made_a_bad_release_is_built_again_only_where_that_is_said() {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    let v2 = shop.deploy_well("v2");
    shop.pipe("release-switch --root $ROOT --rollback").run().exits(0);
    assert!(shop.is_bad(&v2));
    let ask = |more: &str| shop.pipe(format!("release-mk --root $ROOT --from v2 --if-changed {more}")).run();
    let refused = ask("");
    let record = refused.exits(1).record();
    assert_eq!(record.code(), "mk.bad", "{refused}");
    assert!(record["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--force")), "{refused}");
    let passed_over = ask("--skip-bad");
    let record = passed_over.exits(0).record();
    assert_eq!((&record["changed"], record.id()), (&false.into(), v1.as_str()), "{passed_over}");
    assert_eq!(shop.releases().len(), 2, "{passed_over}");
    ask("--force --skip-bad").exits(2);
    assert_eq!(ask("--force").exits(0).record()["changed"], true);
    // A pin is for the release that is made.
    let unchanged = shop.pipe("release-mk --root $ROOT --from v1 --if-changed --keep-days 9 --reason audit").run();
    assert_eq!(unchanged.exits(0).record()["changed"], false, "{unchanged}");
    assert!(!shop.root().join(format!(".cutover/pins/{v1}.json")).exists(), "{unchanged}");
}

#[test]
fn a_stream_cannot_be_asked_whether_it_is_new() {
    let shop = Shop::new();
    shop.source("v1");
    let ask = |more: &str| shop.pipe(format!("tar c v1 | release-mk --root $ROOT --from - --if-changed {more}")).run();
    ask("").exits(2);
    assert!(!shop.root().exists(), "a wrong command line makes no root");
    ask("--force").exits(0);
    ask("").exits(2);
}
