//! Services nobody should deploy: each is noticed, told apart, and taken back, and the instance behind it never touched.

use stories::services::deploy;
use stories::{Run, Shop};

/// How a new release behaves, how it is asked, and what must come of it.
struct Row {
    mode: &'static str,
    gate: &'static str,
    status: i32,
    says: &'static str,
}

const ASKED: &str = "svc-health ADDRESS --wait 1s --interval 20ms --timeout 200ms";

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { mode: "ok", gate: ASKED, status: 0, says: "healthy" },
    Row { mode: "slow 300", gate: ASKED, status: 0, says: "healthy" },
    Row { mode: "500", gate: ASKED, status: 3, says: "500" },
    Row { mode: "301", gate: ASKED, status: 3, says: "301 to https://127.0.0.1/" },
    Row { mode: "silent", gate: ASKED, status: 3, says: "200ms" },
    Row { mode: "drip", gate: ASKED, status: 3, says: "waiting for the head of the answer" },
    Row { mode: "head", gate: ASKED, status: 3, says: "the head of the answer" },
    Row { mode: "body", gate: "svc-health ADDRESS --wait 1s --interval 20ms --timeout 200ms --expect-body v2", status: 3, says: "the body" },
    Row { mode: "garbled", gate: ASKED, status: 3, says: "no HTTP/1.1 status line" },
    Row { mode: "flaps", gate: "svc-health ADDRESS --wait 1s --interval 20ms --passes 3", status: 3, says: "500" },
    Row { mode: "exit", gate: ASKED, status: 3, says: "did not stay up" },
    Row { mode: "deaf", gate: ASKED, status: 3, says: "refused" },
    Row { mode: "dies 400", gate: "svc-health ADDRESS --wait 3s --interval 20ms --stable 1s", status: 3, says: "did not stay up" },
    Row { mode: "ok", gate: "svc-health ADDRESS --wait 1s --interval 20ms --expect-body v3", status: 3, says: "not as expected" },
    Row { mode: "ok", gate: "svc-health ADDRESS --wait 1s --expect-release", status: 0, says: "healthy" },
];

/// A shop with v1 live and v2 of this mode to come; the id of v1 and the pids of its instances.
fn shop(mode: &str) -> (Shop, String, [Option<i32>; 2]) {
    let shop = Shop::new();
    shop.source("v1");
    let id = shop.pipe(deploy("v1")).run().exits(0).record().id().to_owned();
    shop.source_that("v2", mode);
    let pids = [1, 2].map(|i| shop.services().pid(i));
    (shop, id, pids)
}

/// The link is back, the first instance runs v1 again and the second as ever.
fn taken_back(shop: &Shop, v1: &str, pids: [Option<i32>; 2], run: &Run) {
    assert_eq!(shop.current().as_deref(), Some(v1), "{run}");
    assert_eq!(shop.services().version(1).as_deref(), Some("v1"), "{run}");
    assert_eq!(shop.services().pid(2), pids[1], "{run}");
}

#[test]
fn every_way_to_be_unhealthy_is_noticed_told_apart_and_taken_back() {
    for Row { mode, gate, status, says } in TABLE {
        let (shop, v1, pids) = shop(mode);
        let address = format!("http://127.0.0.1:{}{{i}}/", shop.services().port(0) / 10);
        // The old release is asked only whether it answers.
        let gate = format!("case $CUTOVER_RELEASE in {v1}) exec svc-health ADDRESS --wait 3s;; *) exec {gate};; esac");
        let gate = gate.replace("ADDRESS", &address);
        let run = shop.pipe(format!("GATE=$NEW\n{}", deploy("v2"))).env("NEW", gate).run();
        assert!(run.status == *status, "{mode}, {says}: the status should be {status}\n{run}");
        let record = run.record();
        assert!(run.stderr.contains(says) || run.stdout.contains(says), "{mode}: {says:?} is not said\n{run}");
        if *status == 0 {
            assert_eq!(shop.services().version(2).as_deref(), Some("v2"), "{mode}\n{run}");
        } else {
            assert_eq!(record["error"]["blame"], "release", "{mode}\n{run}");
            assert!(shop.is_bad(record.id()), "{mode}\n{run}");
            taken_back(&shop, &v1, pids, &run);
        }
    }
}

#[test]
fn a_manager_that_says_yes_and_does_nothing_is_not_believed() {
    let (shop, v1, pids) = shop("ok");
    shop.services().refuse(1, 0);
    let run = shop.pipe(deploy("v2").replace("--via exec", "--via exec --timeout 1s")).run();
    assert_ne!(run.status, 0, "{run}");
    run.record();
    assert_eq!(shop.current(), Some(v1), "{run}");
    assert_eq!([1, 2].map(|i| shop.services().pid(i)), pids, "{run}");
}

#[test]
fn a_manager_that_hangs_is_given_up_and_blames_nobody() {
    let (shop, v1, pids) = shop("ok");
    let script = deploy("v2").replace(
        "restart='shop-manager restart {instance}'",
        "restart='[ -e back ] || { touch back; sleep 60; }; shop-manager restart {instance}'",
    );
    let script = script.replace("--via exec", "--via exec --timeout 1s");
    let run = shop.pipe(script).run();
    let record = run.exits(1).record();
    assert_eq!(record.code(), "restart.timeout", "{run}");
    assert_eq!(record["error"].get("blame"), None, "{run}");
    taken_back(&shop, &v1, pids, &run);
}

#[test]
fn a_stale_pid_file_is_told_from_a_running_instance() {
    for pid in ["1", "99999999", "garbage", "", "-1"] {
        let (shop, _, pids) = shop("ok");
        let script = format!("kill -9 {}; printf %s '{pid}' >$SERVICES/shop@1.pid", pids[0].expect("a pid"));
        shop.pipe(script).run().exits(0);
        let run = shop.pipe(deploy("v2")).run();
        run.exits(0).record();
        for i in [1, 2] {
            assert_eq!(shop.services().version(i).as_deref(), Some("v2"), "{pid:?}\n{run}");
        }
    }
}
