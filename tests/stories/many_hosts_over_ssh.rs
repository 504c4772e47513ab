//! The rolls over ssh of docs/fleet.md, as they stand there: again and again in one directory, over six hosts that are roots.

use std::collections::BTreeMap;
use std::fs;

use stories::{Run, Shop, binaries, skip};

const HOSTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// An ssh whose hosts are roots here. The host that `FAILS` names refuses every release; those behind it wait until
/// the roll has seen that, so that the last one is never reached.
const SSH: &str = r#"
[ "$1" != -n ] || { shift; exec </dev/null; }
host=$1 what=$3
shift 3
export CUTOVER_ROOT="$SHOP/$host"
mkdir -p "$CUTOVER_ROOT"
case $what$FAILS$host in makeb[c-f])
    until [ -e "$SHOP/failed" ]; do sleep 0.05; done
    sleep 1
esac
case $what in
make) release-mk --step "try=test $host != '$FAILS'" "$@" | release-switch | release-switch --undo ;;
back) release-switch --rollback "$@" | release-switch --undo ;;
esac
status=$?
[ "$host" != "$FAILS" ] || : >"$SHOP/failed"
exit "$status""#;

/// The scripts of the page by their names.
fn scripts() -> BTreeMap<String, String> {
    let page = fs::read_to_string(binaries::workspace().join("docs/fleet.md")).expect("read the page");
    let marked = page.split("\n```sh file=").skip(1).filter_map(|part| part.split_once("\n```")?.0.split_once('\n'));
    marked.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// One roll of a release; `fails` is the host that refuses it.
fn roll(shop: &Shop, script: &str, name: &str, fails: &str) -> Run {
    let hosts = HOSTS.join(" ");
    let line = format!(
        "mkdir -p hosts-{script}; rm -f hosts-{script}/failed; export SHOP=$PWD/hosts-{script} FAILS={fails} PATH=$PWD/bin:$PATH
        sh ./{script} {name} build {hosts}"
    );
    shop.pipe(line).run()
}

/// What is live on each host; "" where nothing is.
fn live(shop: &Shop, script: &str) -> Vec<String> {
    let current = |host| fs::read_link(shop.path().join(format!("hosts-{script}/{host}/current")));
    let name = |host| current(host).map(|to| to.file_name().unwrap_or_default().display().to_string());
    HOSTS.iter().map(|host| name(host).unwrap_or_default()).collect()
}

#[test]
fn a_roll_takes_back_who_was_reached_whatever_an_earlier_one_left() {
    let shop = Shop::in_memory();
    shop.source("build");
    fs::create_dir_all(shop.path().join("bin")).expect("make a folder for programs");
    shop.program("ssh", SSH);
    let scripts = scripts();
    for script in ["roll", "roll-parallel"] {
        if script == "roll-parallel" && !skip::has("parallel") {
            skip!("parallel is not installed");
        }
        shop.write(script, &scripts[script]);
        // On a first release there is nothing to go back to, and the roll says so.
        let run = roll(&shop, script, "v1", "b");
        assert_ne!(run.status, 0, "{run}");
        run.says("nothing to roll").says("nobody goes back");
        assert_eq!(live(&shop, script)[..2], ["v1", ""], "{run}");

        roll(&shop, script, "v2", "").exits(0);
        assert_eq!(live(&shop, script), ["v2"; 6]);

        let run = roll(&shop, script, "v3", "b");
        assert_ne!(run.status, 0, "{run}");
        assert_eq!(live(&shop, script), ["v2"; 6], "{run}");
        assert!(!run.stderr.contains("nobody goes back"), "{run}");
        // Who was not reached has nothing to tell, nor does what it did in the roll before.
        assert!(shop.path().join("a.json").exists() && !shop.path().join("f.json").exists(), "{run}");
    }
}
