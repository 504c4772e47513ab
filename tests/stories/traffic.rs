//! Traffic moves between two slots behind real proxies, and no request is lost.

use std::fs;
use std::time::Duration;

use stories::load::{Load, Tally};
use stories::real::proxies::Proxy;
use stories::services::restart_of;
use stories::{Shop, skip};

pub(crate) type Start = fn(&Shop) -> Result<Proxy, String>;

/// Traefik is a double: see [`stories::real::proxies`].
const PROXIES: [(&str, Start); 4] =
    [("nginx", Proxy::nginx), ("haproxy", Proxy::haproxy), ("caddy", Proxy::caddy), ("traefik", Proxy::traefik)];

/// A shop whose instance 1 serves v1 and whose instance 2 serves v2, each from a root of its own.
fn shop_with_two_slots() -> Shop {
    let shop = Shop::new();
    for (i, version) in [(1, "v1"), (2, "v2")] {
        shop.source(version);
        let script = restart_of(&format!("shop@{i}"))
            + &format!("release-mk --root $ROOT --from {version} | release-switch | restart --action start");
        shop.pipe(script).run().exits(0);
        assert_eq!(shop.services().version(i).as_deref(), Some(version));
    }
    shop
}

pub(crate) fn through(start: Start, story: impl Fn(&Shop, &Proxy)) {
    let shop = shop_with_two_slots();
    match start(&shop) {
        Ok(proxy) => story(&shop, &proxy),
        Err(why) => skip!("{why}"),
    }
}

/// Moves the traffic under load and tells what the clients saw.
fn moved(shop: &Shop, proxy: &Proxy) -> Tally {
    let load = Load::on(proxy.port());
    load.for_requests(50);
    let run = shop.pipe(format!("svc-route -n {} --to idle", proxy.route())).run();
    let record = run.exits(0).record();
    let stage = record.stage("svc-route");
    assert_eq!((&stage["live"], &stage["idle"]), (&"blue".into(), &"green".into()), "{run}");
    assert_eq!(stage["drained"], true, "{run}");
    assert_eq!(stage["slots"][0]["percent_before"], 100, "{run}");
    assert_eq!(stage["slots"][1]["percent_after"], 100, "{run}");
    assert!(stage["drain_ms"].is_u64(), "how long draining took is told: {run}");
    load.for_requests(100);
    let tally = load.stop();
    assert!(tally.saw("v1") && tally.saw("v2"));
    let late = Duration::from_secs(1);
    assert!(tally.answers.last().is_some_and(|(_, _, version)| version == "v2"), "the old one still answers");
    assert!(
        tally.overlap("v1", "v2").is_none_or(|overlap| overlap < late),
        "the old one answers long after the new one"
    );
    tally
}

#[test]
fn behind_haproxy_no_request_is_lost_and_the_version_changes_at_once() {
    through(Proxy::haproxy, |shop, proxy| {
        let tally = moved(shop, proxy);
        assert_eq!(tally.failures(), 0, "{:?} of {}", tally.failed, tally.sent);
        assert_eq!(tally.overlap("v1", "v2"), None);
    });
}

/// nginx keeps its old workers for a tenth of a second beside the new ones, so both versions answer that long.
#[test]
fn behind_nginx_no_request_is_lost() {
    through(Proxy::nginx, |shop, proxy| {
        let tally = moved(shop, proxy);
        assert_eq!(tally.failures(), 0, "{:?} of {}", tally.failed, tally.sent);
        skip::measured(&format!(
            "behind nginx both versions answered for {:?}",
            tally.overlap("v1", "v2").unwrap_or_default()
        ));
    });
}

#[test]
fn nginx_may_be_told_by_a_signal() {
    through(Proxy::nginx, |shop, proxy| {
        let (before, rest) = proxy.route().split_once("--reload '").expect("a reload");
        let (_, after) = rest.split_once('\'').expect("its end");
        let route = format!("{before} --reload 'kill -HUP $(cat {}/nginx.pid)' {after}", proxy.dir().display());
        let load = Load::on(proxy.port());
        shop.pipe(format!("svc-route -n {route} --to green")).run().exits(0);
        load.for_requests(100);
        let tally = load.stop();
        assert_eq!((tally.failures(), tally.saw("v2")), (0, true), "{:?} of {}", tally.failed, tally.sent);
    });
}

/// Panics if a request failed, by anything but Caddy's own change of sockets: it opens a new listening socket for every
/// configuration and closes the old one, and a connection that waits in the old one's queue at that moment is reset,
/// unless the kernel is told to move it (`net.ipv4.tcp_migrate_req`). These are counted and printed.
fn lost_nothing_of_ours(proxy: &str, what: &str, mut tally: Tally) {
    if proxy == "caddy" {
        let reset = tally.failed.remove("ConnectionReset").unwrap_or(0);
        skip::measured(&format!("behind caddy {reset} of {} connections were reset in {what}", tally.sent));
    }
    assert_eq!(tally.failures(), 0, "{proxy}: {:?} of {}", tally.failed, tally.sent);
}

/// The double's word only: what real Traefik does to connections in a change is not tried.
#[test]
fn behind_the_double_of_traefik_no_request_is_lost() {
    through(Proxy::traefik, |shop, proxy| {
        let tally = moved(shop, proxy);
        assert_eq!(tally.failures(), 0, "{:?} of {}", tally.failed, tally.sent);
    });
}

#[test]
fn behind_caddy_no_request_fails_but_by_its_own_change_of_sockets() {
    through(Proxy::caddy, |shop, proxy| {
        lost_nothing_of_ours("caddy", "a move", moved(shop, proxy));
    });
}

#[test]
fn a_naive_restart_of_the_live_slot_loses_requests_so_the_client_can_tell() {
    through(Proxy::nginx, |shop, proxy| {
        let load = Load::on(proxy.port());
        shop.pipe(
            restart_of("shop@1")
                + "for n in 1 2 3; do restart -n --action stop >&2; restart -n --action start >&2; done",
        )
        .run();
        let tally = load.stop();
        assert!(tally.failures() > 0, "{} requests, none lost", tally.sent);
    });
}

#[test]
fn what_is_asked_for_already_is_not_done_again() {
    for (name, start) in PROXIES {
        through(start, |shop, proxy| {
            let run = shop.pipe(format!("svc-route -n {} --to blue", proxy.route())).run();
            assert_eq!(run.exits(0).record()["changed"], false, "{name}: {run}");
        });
    }
}

#[test]
fn a_share_is_given_and_read_back() {
    for (name, start) in PROXIES {
        through(start, |shop, proxy| {
            shop.pipe(format!("svc-route -n {} --to green=10", proxy.route())).run().exits(0);
            let run = shop.pipe(format!("svc-route -n {} --show", proxy.route())).run();
            let record = run.exits(0).record();
            let slots = &record.stage("svc-route")["slots"];
            assert_eq!(
                (&slots[0]["percent_before"], &slots[1]["percent_before"]),
                (&90.into(), &10.into()),
                "{name}: {run}"
            );
            assert!(run.stderr.contains("blue 90 %, green 10 %"), "{name}: {run}");
        });
    }
}

#[test]
fn a_canary_whose_gate_says_no_is_taken_back_by_the_undo() {
    for (name, start) in PROXIES {
        through(start, |shop, proxy| {
            let route = proxy.route();
            let load = Load::on(proxy.port());
            let script =
                format!("svc-route -n {route} --to green --steps 10%,100% --gate 'exit 3' | svc-route {route} --undo");
            let run = shop.pipe(script).run();
            let record = run.exits(3).record();
            assert_eq!(record["error"]["code"], "route.gate", "{name}: {run}");
            assert_eq!(record["error"]["blame"], "release", "{name}: {run}");
            assert_eq!(record["stages"][1]["undo"], true, "{name}: {run}");
            assert_eq!(record["stages"][1]["slots"][0]["percent_after"], 100, "{name}: {run}");
            let again = shop.pipe(format!("svc-route -n {route} --to blue")).run();
            assert_eq!(again.exits(0).record()["changed"], false, "{name}: {again}");
            lost_nothing_of_ours(name, "a canary taken back", load.stop());
        });
    }
}

#[test]
fn a_dry_run_says_what_would_be_and_touches_nothing() {
    for (name, start) in PROXIES {
        through(start, |shop, proxy| {
            let run = shop.pipe(format!("svc-route -n {} --to idle --dry-run", proxy.route())).run();
            let record = run.exits(0).record();
            assert_eq!(record["changed"], true, "{name}: {run}");
            assert_eq!(record["stages"][0]["plan"][0]["action"], "route", "{name}: {run}");
            let run = shop.pipe(format!("svc-route -n {} --to blue", proxy.route())).run();
            assert_eq!(run.exits(0).record()["changed"], false, "{name}: {run}");
        });
    }
}

#[test]
fn a_slot_that_takes_no_connections_gets_no_traffic() {
    through(Proxy::nginx, |shop, proxy| {
        let before = fs::read(proxy.dir().join("shop.upstream")).expect("read the upstream");
        shop.pipe(restart_of("shop@2") + "restart -n --action stop").run().exits(0);
        let run = shop.pipe(format!("svc-route -n {} --to idle", proxy.route())).run();
        assert_eq!(run.exits(1).record()["error"]["code"], "route.silent", "{run}");
        assert_eq!(fs::read(proxy.dir().join("shop.upstream")).expect("read the upstream"), before);
    });
}

#[test]
fn what_nginx_refuses_leaves_the_file_byte_for_byte_and_says_why() {
    through(Proxy::nginx, |shop, proxy| {
        let file = proxy.dir().join("shop.upstream");
        let broken =
            fs::read_to_string(&file).expect("read the upstream").replace("{ server", "{ no_such_directive on; server");
        fs::write(&file, &broken).expect("break the upstream");
        let run = shop.pipe(format!("svc-route -n {} --to idle", proxy.route())).run();
        let record = run.exits(1).record();
        assert_eq!(record["error"]["code"], "route.refused", "{run}");
        assert!(record["error"]["message"].as_str().is_some_and(|text| text.contains("no_such_directive")), "{run}");
        assert_eq!(fs::read_to_string(&file).expect("read the upstream"), broken);
        let left = fs::read_dir(proxy.dir())
            .expect("list")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(!left.into_iter().any(|name| name.ends_with(".former")), "a former file is left");
    });
}

#[test]
fn a_proxy_that_is_not_there_is_said_to_be_unreachable_with_the_option_that_names_it() {
    let shop = Shop::new();
    for (proxy, option) in [
        ("--via haproxy --socket gone.sock --backend shop", "--socket"),
        ("--via caddy --admin 127.0.0.1:1 --handler shop", "--admin"),
        ("--via caddy --admin unix:/gone.sock --handler shop", "--admin"),
    ] {
        let run =
            shop.pipe(format!("svc-route -n {proxy} --slot a=127.0.0.1:8001 --slot b=127.0.0.1:8002 --show")).run();
        let record = run.exits(1).record();
        assert_eq!(record["error"]["code"], "route.unreachable", "{run}");
        assert!(record["error"]["hint"].as_str().is_some_and(|hint| hint.starts_with(option)), "{run}");
    }
}

#[test]
fn options_of_another_proxy_and_unknown_slots_are_usage_errors() {
    let shop = Shop::new();
    for wrong in [
        "--via nginx --slot a=h:1 --show",
        "--via nginx --config f --upstream u --socket s --slot a=h:1 --show",
        "--via haproxy --socket s --backend b --slot a=h:1 --slot a=h:2 --show",
        "--via haproxy --socket s --backend b --slot 'a;b=h:1' --show",
        "--via haproxy --socket s --backend b --slot a=h:1",
        "--via haproxy --socket s --backend b --slot a=h:1 --to a=0",
        "--via haproxy --socket s --backend b --slot a=h:1 --to a --steps 50%,10%",
    ] {
        let run = shop.pipe(format!("svc-route -n {wrong}")).run();
        assert_eq!(run.exits(2).stdout, "", "{wrong}");
    }
}
