//! Disks nobody should deploy to: full of bytes, full of inodes, read-only, with mounts inside, deeper than any path.
//!
//! Each script has a mount namespace of its own, so that its mounts are gone when it ends.

use stories::{Pipe, Shop, skip};

const NAMESPACE: [&str; 3] = ["unshare", "--mount", "--propagation=private"];

/// A script in a mount namespace; `None` where that cannot be had.
fn mounting(shop: &Shop, script: &str) -> Option<Pipe> {
    let possible = skip::succeeds(&[&NAMESPACE[..], &["mount", "-t", "tmpfs", "tmpfs", "/mnt"]].concat());
    possible.then(|| shop.pipe(script).under(NAMESPACE))
}

macro_rules! mounting {
    ($shop:expr, $script:expr) => {
        match mounting($shop, $script) {
            Some(pipe) => pipe,
            None => skip!("mounts cannot be made here"),
        }
    };
}

#[test]
fn a_disk_too_small_for_the_release_is_refused_before_the_build() {
    for (options, says) in [("size=256k", "the disk has 262 kB"), ("size=4m,nr_inodes=30", "inodes")] {
        let shop = Shop::new();
        let source = shop.source("v1");
        for n in 0..60 {
            std::fs::write(source.join(format!("f{n}")), "x".repeat(9000)).expect("write a source");
        }
        let script = format!(
            "mkdir root; mount -t tmpfs -o mode=755,{options} tmpfs root; release-mk --root $ROOT --from v1; status=$?; \
             find root -mindepth 2 -not -path 'root/.cutover/*' >left; find root/.cutover -mindepth 2 >>left 2>/dev/null; exit $status"
        );
        let run = mounting!(&shop, &script).run();
        assert_eq!(run.exits(1).record()["ok"], false, "{options}");
        run.says(says);
        let left = std::fs::read_to_string(shop.path().join("left")).expect("read what is left");
        assert_eq!(left, "", "{options}: something is left\n{run}");
    }
}

#[test]
fn on_a_full_disk_a_switch_is_done_or_not_done_and_says_which() {
    let shop = Shop::new();
    shop.source("v1");
    let script = "mkdir root; mount -t tmpfs -o mode=755,size=1m tmpfs root; set -e; \
                  release-mk --root $ROOT --from v1 --name one | release-switch | release-switch --undo >/dev/null; \
                  release-mk --root $ROOT --from v1 --name two | release-switch >/dev/null; set +e; \
                  dd if=/dev/zero of=root/filler bs=1k 2>/dev/null; \
                  release-switch --root $ROOT --to one >/dev/null; echo $? $(readlink root/current); rm root/filler; \
                  release-switch --root $ROOT --to two >/dev/null; echo $? $(readlink root/current)";
    let run = mounting!(&shop, script).run();
    let lines: Vec<_> = run.exits(0).stdout.lines().collect();
    assert!(["1 releases/two", "0 releases/one", "4 releases/one"].contains(&lines[0]), "{run}");
    assert_eq!(lines[1], "0 releases/two", "{run}");
}

#[test]
fn on_a_read_only_disk_nothing_is_done_and_nothing_else_breaks() {
    let shop = Shop::new();
    shop.source("v1");
    let script = "mkdir root; mount -t tmpfs -o mode=755 tmpfs root; set -e; \
                  release-mk --root $ROOT --from v1 --name one | release-switch | release-switch --undo >/dev/null; \
                  release-mk --root $ROOT --from v1 --name two | release-switch >/dev/null; set +e; \
                  mount -o remount,ro root; \
                  for line in 'release-switch --to one' 'release-mk --from v1' 'release-gc -n --keep 1'; do \
                  $line --root $ROOT >/dev/null; echo $? $(readlink root/current); done; release-ls --root $ROOT >/dev/null; echo $?";
    let run = mounting!(&shop, script).run();
    // The lock is not to blame, nor its mode.
    assert_eq!(run.stderr.matches("hint: the file system is read-only").count(), 3, "{run}");
    let expected = ["1 releases/two", "1 releases/two", "1 releases/two", "0"];
    assert_eq!(run.exits(0).stdout.lines().collect::<Vec<_>>(), expected, "{run}");
}

#[test]
fn a_collection_stops_at_a_mount_inside_a_release() {
    let shop = Shop::new();
    shop.source("v1");
    let script = "for n in one two three four; do mkdir -p v1/mnt; \
                  release-mk --root $ROOT --from v1 --name $n | release-switch | release-switch --undo >/dev/null; done; \
                  mount --bind canary root/releases/one/mnt; release-gc --root $ROOT -n --keep 1";
    let pipe = mounting!(&shop, script);
    let Some(pipe) = pipe.seeing_all_processes() else { skip!("there are processes here that may not be looked at") };
    let around = shop.surroundings();
    let run = pipe.run();
    run.exits_one_of(&[0, 1]).record();
    assert!(shop.path().join("canary/kept/file").exists(), "what was mounted is gone\n{run}");
    around.assert_unchanged(&shop.surroundings().without("v1/mnt"), "outside the root");
    assert!(!shop.releases().contains(&"two".to_owned()), "the rest goes\n{run}");
}

#[test]
fn a_tree_deeper_than_any_path_is_built_and_removed() {
    let shop = Shop::new();
    shop.source("v1");
    // Three times 1,400 directories, put into each other: no path that the shell names is too long.
    let script = "set -e; deep=$(printf 'd/%.0s' $(seq 1400)); mkdir -p a/$deep b/$deep c/$deep; echo bottom >a/${deep}file; \
                  mv a b/$deep; mv b c/$deep; mv c v1; \
                  release-mk --root $ROOT --from v1 --name deep >made; release-mk --root $ROOT --from canary --name flat | release-switch >made; \
                  release-gc --root $ROOT -n --keep 1 --keep-unused 0s >gone; ls root/releases";
    let run = shop.pipe(script).run();
    assert_eq!(run.exits(0).stdout, "flat\n", "what was never live goes\n{run}");
    // Not left to the end of the story, which would want a descriptor for every level.
    shop.pipe("rm -rf v1").run().exits(0);
}

#[test]
fn a_deploy_that_filled_the_disk_is_taken_back_on_the_full_disk() {
    let shop = Shop::new();
    shop.source("v1");
    let restart = "svc-restart --via exec a@1 a@2 --command 'restart=readlink root/current >>ran'";
    let script = format!(
        "mkdir root; mount -t tmpfs -o mode=755,size=1m tmpfs root; set -e; \
         release-mk --root $ROOT --from v1 --name one | release-switch | release-switch --undo >/dev/null; set +e; \
         release-mk --root $ROOT --from v1 --name two | release-switch | \
         {restart} --gate 'dd if=/dev/zero of=root/filler bs=1k 2>/dev/null; exit 3' | release-switch --undo | {restart} --undo; \
         status=$?; readlink root/current >&2; cat ran >&2; exit $status"
    );
    let run = mounting!(&shop, &script).run();
    let record = run.exits(3).record();
    assert_eq!(record.stage("release-switch")["link"], shop.root().join("current").display().to_string(), "{run}");
    assert!(run.stderr.ends_with("releases/one\nreleases/two\nreleases/one\n"), "the link, then each restart: {run}");
}
