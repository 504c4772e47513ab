//! A user who may start no further process or thread, as when a new release takes all that there are: who looks after the
//! machine is answered, a rollback comes through, and a build is done or fails cleanly.

use stories::{Pipe, Shop, skip};

/// Users that nobody else is, so that their limits count the tool's own threads only.
const BUILDER: u32 = 54_322;
const KEEPER: u32 = 54_323;

/// A root with three releases of a user's own, and sources of every kind beside it.
fn shop_of(user: u32) -> Option<Shop> {
    if !skip::is_root() || !skip::has("setpriv") || !skip::has("prlimit") {
        return None;
    }
    let shop = Shop::in_memory();
    shop.pipe(
        "mkdir -p root files/d && for n in $(seq 100); do echo $n >files/d/$n; done && \
         head -c 5000000 /dev/zero | tr '\\0' x >files/large && tar -cf files.tar files && tar -czf files.tgz files && \
         cp -a files repository && git -C repository init -q && git -C repository add . && \
         git -C repository -c user.name=a -c user.email=a@example.org commit -qm one && chmod -R a+rX .",
    )
    .run()
    .exits(0);
    shop.pipe(format!("chown -R {user}:{user} root repository")).run().exits(0);
    for _ in 0..3 {
        as_user(&shop, user, None, "release-mk -q --root $ROOT --from files | release-switch -q").run().exits(0);
    }
    Some(shop)
}

fn as_user(shop: &Shop, user: u32, limit: Option<u32>, script: &str) -> Pipe {
    let words = format!("setpriv --reuid {user} --regid {user} --clear-groups");
    let limit = limit.map(|limit| format!("prlimit --nproc={limit}")).unwrap_or_default();
    let path = format!("{}:/usr/bin:/bin", shop.binaries_for_all().display());
    let pipe = shop.pipe(script).env("PATH", path).env("HOME", shop.path().display().to_string());
    pipe.under(words.split(' ').chain(limit.split_whitespace()))
}

#[test]
fn the_state_is_told_and_a_rollback_comes_through() {
    let Some(shop) = shop_of(KEEPER) else { skip!("a limit for one user needs root, setpriv and prlimit") };
    let alone = |script: &str| as_user(&shop, KEEPER, Some(1), &format!("exec {script}")).run();
    let live = shop.current().expect("a link");
    alone("release-ls --root $ROOT").exits(0);
    alone(&format!("release-ls --root $ROOT --verify {live}")).exits(0);
    alone(&format!("release-pin -n -q --root $ROOT {live} --for 1day --reason trial")).exits(0);
    alone("release-switch -n -q --root $ROOT --rollback").exits(0);
    assert_ne!(shop.current(), Some(live));
    alone("release-gc -n -q --root $ROOT --keep 1").exits(0);
    assert_eq!(shop.debris(), Vec::<String>::new());
}

#[test]
fn a_build_is_done_or_fails_cleanly() {
    let Some(shop) = shop_of(BUILDER) else { skip!("a limit for one user needs root, setpriv and prlimit") };
    let sources = [
        "files",
        "files --link-unchanged",
        "files --step build=true",
        "files --if-changed --force",
        "files/large",
        "files.tar",
        "files.tar --sha256 $(cat sum)",
        "files.tgz",
        "repository --ref HEAD",
    ];
    shop.pipe("sha256sum files.tar | cut -c -64 >sum").run().exits(0);
    let sum = std::fs::read_to_string(shop.path().join("sum")).expect("read the sum");
    for source in sources {
        let source = source.replace("$(cat sum)", sum.trim());
        let mut done = Vec::new();
        for limit in [1, 2, 3, 4, 6, 9, 20] {
            let build = format!("exec release-mk -n -q --root $ROOT --from {source}");
            let run = as_user(&shop, BUILDER, Some(limit), &build).run();
            let record = run.exits_one_of(&[0, 1]).record();
            if run.status == 1 {
                assert!(record["error"]["message"].as_str().is_some_and(|text| text.contains("unavailable")), "{run}");
            }
            done.push(run.status == 0);
        }
        assert!(!done[0] && done.last() == Some(&true), "{source}: {done:?}");
    }
    as_user(&shop, BUILDER, None, "release-gc -n -q --root $ROOT --keep-failed 0").run().exits(0);
    assert_eq!(shop.debris(), Vec::<String>::new());
}
