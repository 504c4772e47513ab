//! Configuration in `shared/` outlives releases: what a release was built with is known, and told on the way back.

use stories::{Run, Shop};

/// What a run says of configuration.
fn told(run: &Run) -> Vec<String> {
    let record = run.exits(0).record();
    let warnings = record["warnings"].as_array().cloned().unwrap_or_default();
    let ours = warnings.iter().filter(|warning| warning["code"] == "switch.configuration");
    ours.map(|warning| warning["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_rollback_onto_other_configuration_names_what_is_another() {
    let shop = Shop::new();
    shop.source("v1");
    let prepare = "mkdir -p root/shared/config elsewhere && echo 1 >root/shared/config/a && echo 1 >root/shared/b && \
                   echo 1 >elsewhere/c && ln -s ../../elsewhere/c root/shared/c";
    shop.pipe(prepare).run().exits(0);
    let deploy = "release-mk --root $ROOT --from v1 --share config/a --share b --share c --share log/ | \
                  release-switch | release-switch --undo";
    let [first, second] = [0; 2].map(|_| {
        let run = shop.pipe(deploy).run();
        assert_eq!(told(&run), [""; 0], "{run}");
        run.record().id().to_owned()
    });
    let back = || shop.pipe(format!("release-switch --root $ROOT --to {first}")).run();
    let forth = || shop.pipe(format!("release-switch --root $ROOT --to {second}")).run();
    assert_eq!(told(&back()), [""; 0], "nothing is another");
    forth();
    shop.pipe("echo 2 >root/shared/config/a && echo 2 >elsewhere/c && echo 2 >root/shared/log/l").run().exits(0);
    let run = shop.pipe("release-switch --root $ROOT --rollback").run();
    assert_eq!(run.record().id(), first, "{run}");
    let named = ["config/a", "c"].map(|path| format!("shared/{path} is not what {first} was built with"));
    assert_eq!(told(&run), named, "{run}");
    forth();
    shop.pipe("echo 1 >root/shared/config/a && echo 1 >elsewhere/c && rm root/shared/b && mkfifo root/shared/b")
        .run()
        .exits(0);
    let run = back();
    assert!(matches!(&told(&run)[..], [one] if one.contains("shared/b")), "{run}");
}

#[test]
fn what_is_shared_and_is_no_file_of_bytes_is_linked_and_not_waited_for() {
    let shop = Shop::new();
    shop.source("v1");
    shop.pipe("mkdir -p root/shared && mkfifo root/shared/queue").run().exits(0);
    let run = shop.pipe("release-mk --root $ROOT --from v1 --name one --share queue").run();
    run.exits(0);
    let target = std::fs::read_link(shop.root().join("releases/one/queue")).expect("a link");
    assert_eq!(target.to_str(), Some("../../shared/queue"), "{run}");
}
