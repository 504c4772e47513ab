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
    let named = ["config/a", "c"].map(|path| format!("shared/{path} is not what {first} was built with"));
    for options in ["--dry-run", ""] {
        let run = shop.pipe(format!("release-switch --root $ROOT --rollback {options}")).run();
        assert_eq!(run.record().id(), first, "{run}");
        assert_eq!(told(&run), named, "{run}");
    }
    shop.pipe("echo 1 >root/shared/config/a && echo 1 >elsewhere/c").run().exits(0);
    for (other, is_told) in [("mkfifo", true), ("ln -s /dev/zero", true), ("truncate -s 17M", false)] {
        forth();
        shop.pipe(format!("rm root/shared/b && {other} root/shared/b")).run().exits(0);
        let run = back();
        let says = told(&run);
        assert!(says.len() == usize::from(is_told) && says.iter().all(|one| one.contains("shared/b")), "{run}");
    }
}

#[test]
fn an_undo_onto_other_configuration_names_what_is_another() {
    let shop = Shop::new();
    shop.source("v1");
    shop.pipe("mkdir -p root/shared && echo 1 >root/shared/a").run().exits(0);
    let deploy = "release-mk --root $ROOT --from v1 --share a | release-switch";
    let first = shop.pipe(deploy).run().exits(0).record().id().to_owned();
    shop.pipe("echo 2 >root/shared/a").run().exits(0);
    let ask = "svc-health http://127.0.0.1:1/ --timeout 100ms";
    let run = shop.pipe(format!("{deploy} | {ask} | release-switch --undo")).run();
    assert_eq!(run.exits(3).record()["warnings"][0]["code"], "switch.configuration", "{run}");
    run.says(&format!("shared/a is not what {first} was built with"));
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
