//! A build that was killed, wherever that was: `--resume` finishes it, or there is nothing of it to resume and the same
//! command makes it anew.

use std::collections::BTreeMap;
use std::fs;

use stories::faults::{CHANGING, Tier, can_inject};
use stories::{Checker, Pipe, Shop, skip};

/// Everything that a build can have before its release is visible.
const OPTIONS: &str = "--from source --share log/ --share settings --stamp STAMP --keep-days 3 --reason audit \
                       --step 'one=mkdir -p out && cp f out/one' --step 'two=cp out/one out/two' --artifact out";

fn build(shop: &Shop, before: &str, id: &str) -> Pipe {
    shop.pipe(format!("exec {before} release-mk -q --root $ROOT {id} {OPTIONS}")).awaited()
}

/// The calls that change something, each with its number among those of its name.
fn places(shop: &Shop) -> Vec<(String, usize)> {
    let trace = fs::read_to_string(shop.path().join("calls")).expect("read the trace");
    let names = trace.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let changing = names.filter(|(name, _)| CHANGING.contains(name));
    changing
        .map(|(name, _)| {
            let count = counts.entry(name).or_default();
            *count += 1;
            (name.to_owned(), *count)
        })
        .collect()
}

fn content(shop: &Shop) -> String {
    shop.pipe("cd root/releases/one && find . -printf '%y %p -> %l\\n' | sort && cat out/*")
        .run()
        .exits(0)
        .stdout
        .clone()
}

#[test]
fn wherever_a_build_is_killed_it_is_resumed_or_made_anew() {
    if !can_inject() {
        skip!("strace cannot inject signals here");
    }
    let shop = Shop::in_memory();
    shop.deploy_well("v1");
    let prepare = "mkdir -p source/d && echo f >source/f && echo g >source/d/g && echo 1 >root/shared/settings && cp -a root template";
    shop.pipe(prepare).run().exits(0);
    build(&shop, "strace -f -qq -o calls", "--name one").run().exits(0);
    let (whole, places) = (content(&shop), places(&shop));
    assert!(whole.contains("./out/two") && whole.contains("./STAMP") && !whole.contains("./f "), "{whole}");
    let step = places.len().div_ceil(Tier::asked().of(24, 150, places.len())).max(1);
    let (mut tried, mut killed, mut resumed) = (0, 0, 0);
    // Not always the same ones of those that are too many.
    for (call, n) in places.iter().skip(std::process::id() as usize % step).step_by(step) {
        shop.pipe("rm -rf root && cp -a template root").run().exits(0);
        let inject = format!("strace -f -qq -o calls -e trace={call} -e inject={call}:signal=KILL:when={n}");
        let first = build(&shop, &inject, "--name one").run();
        tried += 1;
        killed += usize::from(first.status == 137);
        let second = build(&shop, "", "--resume one").run();
        resumed += usize::from(second.status == 0);
        if second.status != 0 {
            assert_eq!(second.record().code(), "mk.no_build", "{call} {n}: {first}{second}");
            build(&shop, "", "--name one").run().exits(0);
        }
        assert_eq!(content(&shop), whole, "{call} {n}: {first}{second}");
        shop.pipe("release-gc -q -n --root $ROOT --keep-failed 0 --keep-unused 0s").awaited().run().exits(0);
        let checker = Checker::of_shop(&shop);
        let wrong = [checker.violations(), checker.debris()].concat();
        assert!(wrong.is_empty(), "{call} {n}: {wrong:?}\n{first}{second}");
    }
    skip::measured(&format!("{killed} of {tried} builds were killed, {resumed} resumed"));
    assert!(killed > 9 && resumed > 9, "{killed} were killed, {resumed} resumed");
}

#[test]
fn a_build_from_a_stream_that_was_read_already_is_resumed_at_a_terminal() {
    let shop = Shop::new();
    shop.source("v1");
    shop.pipe("tar -C v1 -c . | release-mk --root $ROOT --from - --name one --step last=false").run().exits(1);
    let at_terminal = |what: &str| {
        shop.pipe(format!(r#"script -qec "release-mk --root $ROOT --from - {what}" /dev/null </dev/null"#)).run()
    };
    let run = at_terminal("--resume one --step last=true");
    assert!(run.status == 0 && shop.root().join("releases/one").is_dir(), "{run}");
    shop.pipe(
        "mkfifo f; release-mk --root $ROOT --from - --name half <f & made=$!; exec 3>f
               until ls -d $ROOT/.cutover/staging/half.*; do sleep 0.01; done; kill -9 $made; wait $made; exec 3>&-",
    )
    .run();
    for what in ["--name two", "--resume half"] {
        let run = at_terminal(what);
        assert!(run.status == 2 && run.stdout.contains("stdin is a terminal"), "{run}");
    }
    // What the refusal did not touch.
    shop.pipe("tar -C v1 -c . | release-mk --root $ROOT --from - --resume half").run().exits(0);
}
