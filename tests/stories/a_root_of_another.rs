//! A root used in turn by root (a timer) and by its owner (a person) stays the owner's.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use stories::{Pipe, Shop, skip};

const OWNER: u32 = 65534;

/// A script as another user.
fn as_user(shop: &Shop, uid: u32, script: &str) -> Pipe {
    let words = format!("setpriv --reuid {uid} --regid {uid} --clear-groups");
    let path = format!("{}:/usr/bin:/bin", shop.binaries_for_all().display());
    shop.pipe(script).env("PATH", path).under(words.split(' '))
}

/// A shop with a source, and an empty root that is the owner's.
fn owned() -> Shop {
    let shop = Shop::new();
    shop.source("v1");
    std::fs::create_dir(shop.root()).expect("make the root");
    chown(shop.root(), Some(OWNER), Some(OWNER)).expect("give it away");
    shop
}

fn all_is_the_owners(shop: &Shop, when: &str) {
    let listing = shop.listing();
    for path in listing.paths().into_iter().chain([Path::new("")]) {
        let uid = shop.root().join(path).symlink_metadata().expect("stat").uid();
        assert_eq!(uid, OWNER, "{} {when}", path.display());
    }
}

#[test]
fn what_root_makes_in_somebodys_root_is_theirs() {
    if !skip::is_root() || !skip::has("setpriv") {
        skip!("acting as several users needs root and setpriv");
    }
    let shop = owned();
    let deploy = "release-mk --root $ROOT --from v1 | release-switch --report $ROOT/shared/report.json | release-switch --undo | release-gc --keep 2";
    for turn in 0..3 {
        shop.pipe(deploy).run().exits(0).record();
        all_is_the_owners(&shop, &format!("after root, turn {turn}"));
        as_user(&shop, OWNER, deploy).run().exits(0).record();
        all_is_the_owners(&shop, &format!("after the owner, turn {turn}"));
    }
    as_user(&shop, OWNER, "release-switch --root $ROOT --rollback").run().exits(0).record();
    shop.pipe("release-lock --root $ROOT -- release-switch --rollback --root $ROOT").run().exits_one_of(&[0, 69]);
    all_is_the_owners(&shop, "after a rollback of each");
    assert_eq!(shop.debris(), [] as [&str; 0]);
}

#[test]
fn what_the_owner_may_not_read_is_told_before_and_while_it_is_copied() {
    if !skip::is_root() {
        skip!("acting as another user needs root");
    }
    let shop = owned();
    shop.pipe("release-mk --root $ROOT --from v1 --name v1").run().exits(0);
    let closed = "mkdir v1/d && install -m 600 /dev/null v1/d/key && install -m 600 /dev/null v1/token";
    shop.pipe(closed).run().exits(0);
    // A limit in bytes has every file looked at beforehand.
    for options in ["--dry-run", "--max-bytes 1G", ""] {
        let run = shop.pipe(format!("release-mk --root $ROOT --from v1 {options}")).run();
        run.fails_with("mk.source").says("d/key in ").says("(and 1 more)");
        assert_eq!(run.record()["error"]["detail"], "d/key may not be read; token may not be read", "{run}");
    }
    assert_eq!(shop.debris(), [] as [&str; 0]);
    // Neither a root nor a shared directory is made for what is refused.
    shop.pipe("mkdir new").run().exits(0);
    for root in ["new", "root"] {
        chown(shop.path().join(root), Some(OWNER), Some(OWNER)).expect("give it away");
        shop.pipe(format!("release-mk --root {root} --from v1 --share log/")).run().fails_with("mk.source");
    }
    shop.pipe("rmdir new && [ ! -e root/shared/log ]").run().exits(0);
}

#[test]
fn what_root_could_read_and_the_owner_cannot_is_said_to_have_been_tried_as_the_owner() {
    if !skip::is_root() || !skip::has("setpriv") {
        skip!("acting as several users needs root and setpriv");
    }
    let shop = owned();
    shop.pipe("mkdir -p closed/v1 && chmod 700 closed").run().exits(0);
    let owner = "the tools act as nobody, who owns the root, and not as uid 0";
    let run = shop.pipe("release-mk --root $ROOT --from v1 --require-env $PWD/closed/env:KEY").run();
    run.exits(1).says("closed/env").says(owner);
    assert!(run.record()["error"]["hint"].as_str().is_some_and(|hint| hint.contains("nobody")), "{run}");
    // To the owner himself it is no riddle.
    let run = as_user(&shop, OWNER, "release-mk --root $ROOT --from v1 --require-env $PWD/closed/env:KEY").run();
    assert!(!run.exits(1).to_string().contains("not as uid 0"), "{run}");
}

#[test]
fn a_step_that_root_started_runs_as_the_owner_at_home() {
    if !skip::is_root() {
        skip!("acting as another user needs root");
    }
    let shop = owned();
    let script = "release-mk --root $ROOT --from v1 --name v1 --step 'who=echo $(id -un) $USER $HOME > who'";
    shop.pipe(script).env("HOME", "/root").run().exits(0).record();
    let who = std::fs::read_to_string(shop.root().join("releases/v1/who")).expect("read what the step wrote");
    assert_eq!(who, "nobody nobody /nonexistent\n");
}

#[test]
fn any_other_user_is_refused_with_the_command_that_works() {
    if !skip::is_root() || !skip::has("setpriv") {
        skip!("acting as several users needs root and setpriv");
    }
    let shop = Shop::new();
    std::fs::create_dir(shop.root()).expect("make the root");
    chown(shop.root(), Some(OWNER), Some(OWNER)).expect("give it away");
    let id = shop.deploy_well("v1");
    let before = shop.listing();
    for line in [
        "release-mk --root $ROOT --from v1".to_owned(),
        format!("release-switch --root $ROOT --to {id}"),
        "release-switch --root $ROOT --rollback".to_owned(),
        "release-gc --root $ROOT -n".to_owned(),
        format!("release-pin --root $ROOT {id} --for 10days --reason test"),
        "release-lock --root $ROOT -- true".to_owned(),
    ] {
        let run = as_user(&shop, 1, &line).run();
        run.exits(77).says("sudo -u nobody");
        before.assert_unchanged(&shop.listing(), &line);
    }
}

/// What root does not notice: compilers and package managers close directories, and configuration may be another's.
#[test]
fn an_ordinary_owners_build_opens_what_it_closed_and_asks_first_what_it_may_not_read() {
    if !skip::is_root() || !skip::has("setpriv") {
        skip!("acting as several users needs root and setpriv");
    }
    let shop = Shop::new();
    let prepare = "mkdir -p root/shared source/kept source/gone && touch source/kept/a source/kept/b source/gone/c && \
                   chmod 555 source/kept source/gone && echo secret >root/shared/secret && chown -R 65534:65534 root source && \
                   chown 0 root/shared/secret && chmod 600 root/shared/secret";
    shop.pipe(prepare).run().exits(0);
    let build = |more: &str| as_user(&shop, OWNER, &format!("release-mk --root $ROOT --from source {more}")).run();
    let run = build("--share secret --step 'one=touch $RELEASE_ROOT/ran'");
    assert_eq!(run.exits(1).record().code(), "mk.share", "{run}");
    assert!(!shop.root().join("ran").exists(), "a step was run first: {run}");

    let kept = "--step 'one=mkdir -p pkg/mod && touch pkg/mod/f && chmod 555 pkg/mod pkg' --artifact 'kept/a'";
    build(&format!("--name one {kept}")).exits(0);
    let left = shop.pipe("cd root/releases/one && find . -mindepth 1 -printf '%m %p\\n' | sort").run();
    assert_eq!(left.stdout, "555 ./kept\n644 ./kept/a\n");

    // As a build that was killed right before its source was known to be whole.
    build("--name two --step one=false").exits(1);
    shop.pipe("rm root/.cutover/staging/two.*/state.json").run().exits(0);
    build("--resume two --step one=true").exits(0);
}
