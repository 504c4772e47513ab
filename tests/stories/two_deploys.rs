//! Two pipes at once: under release-lock one after the other; without it the one that was overtaken touches nothing.

use stories::Shop;
use stories::services::{deploy, deploy_with_a_pause, locked};

/// A shop with v1 live and v2, v3 to deploy.
fn shop() -> (Shop, String) {
    let shop = Shop::new();
    shop.source("v1");
    let id = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source("v2");
    shop.source("v3");
    (shop, id)
}

#[test]
fn the_second_waits_for_the_first() {
    let (shop, _) = shop();
    let first = shop.pipe(locked(&deploy_with_a_pause("v2"))).start();
    first.reaches(shop.path().join("asked"));
    let second = shop.pipe(locked(&deploy("v3")).replace("deploy.sh", "second.sh")).start();
    // It has come to its lock when it says so or waits; either way nothing of it is there.
    second.pids_of("release-lock");
    assert_eq!(shop.releases().len(), 2, "only v1 and v2");
    shop.write("go", "");
    let first = first.wait();
    let second = second.wait();
    first.exits(0);
    assert_eq!(shop.current().as_deref(), Some(second.exits(0).record().id()), "{second}");
    assert_eq!(shop.services().version(2).as_deref(), Some("v3"));
    let links: Vec<_> =
        shop.history().iter().filter(|line| line["kind"] == "done").map(|line| line["to"].clone()).collect();
    assert_eq!(links.len(), 3);
}

#[test]
fn or_it_gets_75_with_the_holder_named() {
    let (shop, v1) = shop();
    let first = shop.pipe(locked(&deploy_with_a_pause("v2"))).start();
    first.reaches(shop.path().join("asked"));
    let second = shop.pipe("release-lock --lock-wait 0s --root $ROOT -- touch ran").run();
    second.exits(75).says("release-lock").says("pid");
    assert!(!shop.path().join("ran").exists(), "{second}");
    let third = shop.pipe(format!("release-switch --root $ROOT --to {v1} --lock-wait 0s")).run();
    third.exits(75).fails_with("lock.busy");
    assert_ne!(shop.current(), Some(v1), "{third}");
    shop.write("go", "");
    first.wait().exits(0);
}

/// Deploys v2 by this script until its gate is asked, ends it as the hint to another deploy says, and finds it taken back.
fn is_ended_by_the_hint(wrapped: impl Fn(&str) -> String) {
    let (shop, v1) = shop();
    let first = shop.pipe(wrapped(&locked(&deploy_with_a_pause("v2")))).start();
    first.reaches(shop.path().join("asked"));
    let second = shop.pipe("release-lock --lock-wait 0s --root $ROOT -- true").run();
    let hint = second.exits(75).stderr.lines().find(|line| line.starts_with("hint: ")).expect("a hint").to_owned();
    let (_, command) = hint.split_once("still run): ").expect("a command");
    shop.pipe(command).run().exits(0);
    // The shell itself dies of it; the stages that take the deploy back hold the lock until they are done.
    assert_ne!(first.wait().status, 0, "{hint}");
    shop.pipe("release-lock --lock-wait 30s --root $ROOT -- true").run().exits(0);
    assert!(!shop.path().join("go").exists(), "nobody has let the gate go on");
    assert_eq!(shop.current(), Some(v1), "{hint}");
    for i in [1, 2] {
        assert_eq!(shop.services().version(i).as_deref(), Some("v1"), "instance {i}\n{hint}");
    }
    let v2 = shop.releases().into_iter().find(|id| Some(id) != shop.current().as_ref()).expect("v2");
    assert!(!shop.is_bad(&v2), "an interrupt marks no release bad\n{hint}");
}

#[test]
fn a_deploy_with_its_restart_in_a_shell_function_is_ended_by_the_hint_and_taken_back() {
    is_ended_by_the_hint(|script| format!("{script}\nexit $?"));
}

#[test]
fn so_is_one_that_leads_a_group_and_one_with_its_stages_below_other_programs() {
    is_ended_by_the_hint(|script| script.replace("\nrelease-lock ", "\nexec release-lock "));
    is_ended_by_the_hint(|script| script.replace("{ svc-restart ", "{ timeout 60 svc-restart "));
}

#[test]
fn the_hint_ends_nobody_when_the_shell_has_ended_and_its_stages_go_on() {
    let (shop, _) = shop();
    let first = shop.pipe(locked(&deploy_with_a_pause("v2"))).start();
    first.reaches(shop.path().join("asked"));
    let second = shop.pipe("release-lock --lock-wait 0s --root $ROOT -- true").run();
    let (_, holder) = second.exits(75).stderr.split_once("(pid ").expect("the holder");
    let (holder, _) = holder.split_once(')').expect("its number");
    shop.pipe(format!("kill -KILL {holder}")).run().exits(0);
    let third = shop.pipe("release-lock --lock-wait 0s --root $ROOT -- true").run();
    third.exits(75).says("has ended, but not all that it started");
    assert!(!third.stderr.contains("kill"), "{third}");
    shop.write("go", "");
    shop.pipe("release-lock --lock-wait 30s --root $ROOT -- true").run().exits(0);
    first.wait();
}

#[test]
fn an_undo_that_was_overtaken_touches_nothing_and_says_so() {
    let (shop, _) = shop();
    let pause = "{ cat >held; touch reached; until [ -e go ]; do sleep 0.01; done; cat held; }";
    let script = format!(
        "release-mk --root $ROOT --from v2 | release-switch | {pause} | svc-health tcp://127.0.0.1:1 | release-switch --undo"
    );
    let first = shop.pipe(script).start();
    first.reaches(shop.path().join("reached"));
    let second = shop.pipe(deploy("v3")).run();
    let v3 = second.exits(0).record().id().to_owned();
    shop.write("go", "");
    let first = first.wait();
    assert_ne!(first.status, 0, "{first}");
    first.record();
    assert!(first.stdout.contains("superseded"), "the record says superseded\n{first}");
    assert_eq!(shop.current(), Some(v3), "{first}");
}

#[test]
fn the_lock_goes_with_its_last_process_however_it_ends() {
    let (shop, _) = shop();
    let first = shop.pipe(locked(&deploy_with_a_pause("v2"))).start();
    first.reaches(shop.path().join("asked"));
    drop(first); // Kills the whole group.
    shop.write("go", "");
    shop.pipe("release-lock --lock-wait 5s --root $ROOT -- true").run().exits(0);
}

#[test]
fn services_that_outlive_the_pipe_do_not_keep_the_lock() {
    let (shop, _) = shop();
    shop.pipe(locked(&deploy("v2"))).run().exits(0);
    assert_eq!(shop.services().version(1).as_deref(), Some("v2"));
    shop.pipe("release-lock --lock-wait 0s --root $ROOT -- true").run().exits(0);
}

#[test]
fn the_command_gets_the_lock_and_its_exit_status_is_the_answer() {
    let (shop, v1) = shop();
    let script = format!(
        "release-lock --root $ROOT -- dash -c '[ \"$CUTOVER_ROOT\" = \"$ROOT\" ] && [ \"$CUTOVER_DEPLOY_FD\" ] \
         && release-switch --to {v1} --lock-wait 0s >/dev/null && exit 42'"
    );
    shop.pipe(script).run().exits(42).prints_nothing();
}

#[test]
fn the_locks_of_two_roots_nest() {
    let (shop, v1) = shop();
    let inner = format!("release-switch --root $ROOT --to {v1} --lock-wait 0s >/dev/null");
    let script = format!(
        "release-lock --root $ROOT -- release-lock --root other -- release-lock --root $ROOT -- dash -c '{inner} \
         && release-mk --root other --from v1 --name one --lock-wait 0s >/dev/null'"
    );
    shop.pipe(script).run().exits(0);
    // The outer lock is held as long as the inner command runs.
    let script = "release-lock --root $ROOT -- release-lock --root other -- \
                  env -u CUTOVER_DEPLOY_FD release-switch --root $ROOT --rollback --lock-wait 0s";
    assert_eq!(shop.pipe(script).run().exits(75).record().code(), "lock.busy");
}

#[test]
fn twenty_makers_of_one_id_have_one_winner() {
    let shop = Shop::new();
    shop.source("v1");
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
                  { release-mk --root $ROOT --from v1 --name one >/dev/null 2>&1; echo $?; } & done; wait";
    let run = shop.pipe(script).run();
    let won = run.exits(0).stdout.lines().filter(|status| *status == "0").count();
    assert_eq!(won, 1, "{run}");
    assert_eq!(run.stdout.lines().count(), 20, "{run}");
    assert_eq!(shop.releases(), ["one"]);
    assert_eq!(shop.debris(), [] as [&str; 0]);
}
