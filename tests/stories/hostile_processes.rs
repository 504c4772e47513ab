//! Surroundings nobody should start a tool in: closed descriptors, full devices, masks, empty environments.

use std::fs::OpenOptions;

use stories::Shop;

fn shop() -> (Shop, String) {
    let shop = Shop::new();
    let v1 = shop.deploy_well("v1");
    shop.deploy_well("v2");
    shop.source("v3");
    (shop, v1)
}

#[test]
fn a_record_that_cannot_be_written_after_the_effect_exits_4() {
    let (shop, v1) = shop();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("open /dev/full");
    let run = shop.pipe(format!("exec release-switch --root $ROOT --to {v1}")).run_into(full);
    run.exits(4);
    assert_eq!(shop.current(), Some(v1), "{run}");
}

#[test]
fn with_closed_descriptors_the_status_tells_the_truth() {
    for close in [">&-", "<&- >&-", "<&- >&- 2>&-"] {
        let (shop, v1) = shop();
        let before = shop.current();
        let run = shop.pipe(format!("exec release-switch --root $ROOT --to {v1} {close}")).run();
        // A closed descriptor is /dev/null to a Rust program, so the record may count as written.
        let expected = if [0, 4].contains(&run.status) { Some(v1) } else { before };
        assert_eq!(shop.current(), expected, "{close}\n{run}");
        shop.pipe("release-gc --root $ROOT -n").run().exits(0);
    }
}

#[test]
fn a_reader_that_is_gone_stops_the_pipe_before_its_first_effect() {
    let (shop, v1) = shop();
    let before = shop.listing();
    let script = format!(
        "{{ until [ -e gone ]; do sleep 0.01; done; release-switch --root $ROOT --to {v1}; echo $? >status; }} | {{ exec <&-; touch gone; }}"
    );
    let run = shop.pipe(script).run();
    assert_eq!(std::fs::read_to_string(shop.path().join("status")).expect("a status"), "1\n", "{run}");
    run.says("release-switch");
    before.assert_unchanged(&shop.listing(), "although nobody reads the record");
}

#[test]
fn closed_descriptors_are_not_taken_for_files_of_ours() {
    let (shop, _) = shop();
    let run = shop.pipe("release-mk --root $ROOT --from v3 --name three 2>&-").run();
    run.exits(0).record();
    let run = shop.pipe("release-mk --root $ROOT --from v3 --name four <&-").run();
    run.exits(0).record();
    let listing = shop.pipe("grep -rlE 'release-mk:|cutover.record' root/releases root/.cutover/manifests").run();
    listing.prints_nothing();
}

#[test]
fn the_mask_decides_nothing() {
    for mask in ["0", "0777"] {
        let (shop, v1) = shop();
        let before = shop.pipe("stat -c '%a %n' root root/releases root/shared root/.cutover root/.cutover/*").run();
        let script = format!(
            "umask {mask}; release-mk --root $ROOT --from v3 | release-switch | release-switch --undo | release-gc"
        );
        shop.pipe(script).run().exits(0).record();
        let after = shop.pipe("stat -c '%a %n' root root/releases root/shared root/.cutover root/.cutover/*").run();
        assert_eq!(before.stdout, after.stdout, "umask {mask}");
        let run = shop.pipe("find root/releases root/.cutover ! -type l -perm /022").run();
        run.exits(0).prints_nothing();
        let id = shop.current().expect("a link");
        let modes =
            |id: &str| shop.pipe(format!("cd root/releases/{id} && find . -printf '%m %p\\n' | sort")).run().stdout;
        assert_eq!(modes(&v1), modes(&id), "umask {mask}");
    }
}

#[test]
fn an_empty_environment_is_enough() {
    let (shop, v1) = shop();
    let tools = stories::binaries::directory().display();
    let root = shop.root();
    let root = root.display();
    let script = format!(
        "env -i {tools}/release-mk --root {root} --from v3 | env -i {tools}/release-switch \
         | env -i {tools}/release-switch --undo | env -i {tools}/release-gc && env -i {tools}/release-switch --root {root} --to {v1}"
    );
    let run = shop.pipe(script).run();
    run.exits(0);
    assert_eq!(shop.current(), Some(v1), "{run}");
}

#[test]
fn few_descriptors_are_enough_or_refused() {
    for limit in [8, 12, 16, 24, 64] {
        let (shop, v1) = shop();
        let before = shop.current();
        let run = shop.pipe(format!("ulimit -n {limit}; exec release-switch --root $ROOT --to {v1}")).run();
        match run.status {
            0 => assert_eq!(shop.current(), Some(v1), "{run}"),
            _ => assert_eq!(shop.current(), before, "{limit} descriptors\n{run}"),
        }
        let run = shop.pipe(format!("ulimit -n {limit}; exec release-mk --root $ROOT --from v3 --name three")).run();
        assert_eq!(run.status == 0, shop.releases().contains(&"three".to_owned()), "{limit} descriptors\n{run}");
        assert!(!run.stderr.contains("the source changed"), "{limit} descriptors\n{run}");
        assert_eq!(shop.debris(), [] as [&str; 0], "{limit} descriptors\n{run}");
    }
}

#[test]
fn a_file_larger_than_allowed_fails_the_build_with_a_word_and_leaves_nothing() {
    let (shop, _) = shop();
    std::fs::write(shop.path().join("v3/large"), vec![b'x'; 3 << 20]).expect("write a source");
    let run = shop.pipe("ulimit -f 1024; release-mk --root $ROOT --from v3 --name three").run();
    assert_eq!(run.exits(1).says("File too large").record()["ok"], false, "{run}");
    assert_eq!(shop.debris(), [] as [&str; 0], "{run}");
}

#[test]
fn a_relative_root_means_the_same_wherever_the_stages_run() {
    let (shop, _) = shop();
    let script = "release-mk --root root --from v3 | ( cd / && release-switch | release-switch --undo | release-gc )";
    let run = shop.pipe(script).run();
    let record = run.exits(0).record();
    assert_eq!(shop.current().as_deref(), Some(record.id()), "{run}");
    assert!(record["root"].as_str().is_some_and(|root| root.starts_with('/')), "{run}");
}

#[test]
fn no_secret_reaches_a_record_a_log_or_a_state_file() {
    let (shop, _) = shop();
    let secret = "hunter2-very-secret";
    let command =
        format!("--command restart='true {secret}' --command start='true {secret}' --command status='true {secret}'");
    let script = format!(
        "export PASSWORD={secret}; release-mk --root $ROOT --from v3 | release-switch \
         | svc-restart --via exec {command} --gate 'echo {secret}; exit 3' shop@1 | release-switch --undo"
    );
    let run = shop.pipe(script).run();
    assert!(!run.stdout.contains(secret), "{run}");
    let found = shop.pipe(format!("grep -rl {secret} root")).run();
    found.prints_nothing();
}
