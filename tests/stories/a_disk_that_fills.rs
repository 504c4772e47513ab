//! A disk that fills up in the middle of a build: what is live and its history stay as they are, and nothing is left.
//!
//! A real ext4 of 200 MB on a loop device; a build learns only while it writes that a stream or a step needs more.

use stories::{Pipe, Shop, skip};

const NAMESPACE: [&str; 3] = ["unshare", "--mount", "--propagation=private"];

/// A root on a small disk with one good release, and a script that is run there.
fn on_a_small_disk(shop: &Shop, script: &str) -> Pipe {
    let script = format!(
        "mkdir disk; truncate -s 200M image; mkfs.ext4 -q -F image && mount -o loop image disk && ln -s disk/root root || exit 99; \
         export ROOT=$PWD/disk/root; mkdir disk/root; \
         release-mk --root $ROOT --from v1 --name one | release-switch | release-switch --undo >/dev/null; cp root/.cutover/history.jsonl before\n\
         {script}"
    );
    shop.pipe(script).under(NAMESPACE)
}

const STILL: &str = "still() { [ \"$(readlink root/current)\" = releases/one ] && cmp root/.cutover/history.jsonl before && \
                     release-ls --root $ROOT --verify >/dev/null || exit 98; }\n";

#[test]
fn whatever_fills_it_the_live_release_and_its_history_stay_and_nothing_is_left() {
    if !skip::is_root() || !skip::has("mkfs.ext4") {
        skip!("a small disk needs root, loop devices and mkfs.ext4");
    }
    for (what, build, kept) in [
        (
            "a stream",
            "{ mkdir big; head -c 300M /dev/urandom >big/file; tar c big; } | release-mk --root $ROOT --from -",
            0,
        ),
        (
            "an archive",
            "{ mkdir big; head -c 300M /dev/urandom >big/file; tar cf big.tar big; }; release-mk --root $ROOT --from big.tar",
            0,
        ),
        ("a stream of many files", "python3 many.py | release-mk --root $ROOT --from -", 0),
        ("a step", "release-mk --root $ROOT --from v1 --step 'fill=head -c 300M /dev/urandom >big'", 1),
    ] {
        let shop = Shop::new();
        shop.source("v1");
        shop.source("v2");
        shop.write(
            "many.py",
            "import io, os, sys, tarfile\n\
             with tarfile.open(fileobj=sys.stdout.buffer, mode='w|') as tar:\n\
             \x20   for n in range(60000):\n\
             \x20       entry = tarfile.TarInfo(f'{n % 100}/{n}')\n\
             \x20       entry.size = 5000\n\
             \x20       tar.addfile(entry, io.BytesIO(os.urandom(5000)))\n",
        );
        let script = format!(
            "{STILL}{build} --name two >record 2>said; status=$?; still; ls root/.cutover/staging | wc -l >kept; \
             release-gc -n --root $ROOT --keep-failed 0 >/dev/null 2>&1; ls root/.cutover/staging root/.cutover/trash >left; \
             release-mk --root $ROOT --from v2 --name three | release-switch >/dev/null || exit 97; cat record; exit $status"
        );
        let run = on_a_small_disk(&shop, &script).run();
        let record = run.exits(1).record();
        let read = |name: &str| std::fs::read_to_string(shop.path().join(name)).expect("read what the script wrote");
        let full = record.code() == "mk.space" && read("said").contains("no room left");
        assert!(full || record.code() == "mk.step", "{what}: {run}");
        assert_eq!(read("kept").trim(), kept.to_string(), "{what}: builds that can be resumed");
        assert_eq!(read("left"), "root/.cutover/staging:\n\nroot/.cutover/trash:\n", "{what}");
    }
}
