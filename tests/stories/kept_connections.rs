//! Clients that keep their connections, as browsers do: what moving the traffic and a rolling restart cost them.
//!
//! A GET that fails before its first byte on a connection that was used is asked once more, as every client does; a POST
//! is not. So a lost POST is what a proxy did not hold. HAProxy holds all of them; of the others it is measured.

use stories::load::{Load, Tally};
use stories::real::proxies::Proxy;
use stories::skip;

use crate::rolling::{BALANCED, Farm};
use crate::traffic::{Start, through};

const MOVES: usize = 6;

/// Moves the traffic there and back while clients keep their connections.
fn moved(start: Start, judge: fn(&Tally)) {
    through(start, |shop, proxy| {
        let load = Load::keeping(proxy.port());
        load.for_requests(50);
        for _ in 0..MOVES {
            shop.pipe(format!("svc-route -n {} --to idle", proxy.route())).run().exits(0);
            load.for_requests(80);
        }
        let tally = load.stop();
        assert!(tally.saw("v1") && tally.saw("v2"));
        judge(&tally);
    });
}

fn told(what: &str, tally: &Tally) {
    skip::measured(&format!(
        "{what}, connections kept: {tally}, {} of the failed POST, {} GETs asked again",
        tally.failures_of("POST"),
        tally.retried
    ));
}

#[test]
fn behind_haproxy_none_is_lost_when_the_traffic_moves() {
    moved(Proxy::haproxy, |tally| {
        told("haproxy, 6 moves", tally);
        assert_eq!(tally.failures(), 0, "{:?} of {}", tally.failed, tally.sent);
    });
}

/// A reload closes the idle connections of the old workers: what is on its way at that moment gets no answer.
#[test]
fn behind_nginx_no_get_is_lost_and_lost_posts_are_counted() {
    moved(Proxy::nginx, |tally| {
        told("nginx, 6 moves", tally);
        assert_eq!(tally.failures_of("GET"), 0, "{:?} of {}", tally.failed, tally.sent);
        assert!(tally.failures() * 50 < tally.sent, "more than a few: {:?} of {}", tally.failed, tally.sent);
    });
}

/// The same, and Caddy's change of listening sockets, which may reset the second try too.
#[test]
fn behind_caddy_lost_requests_are_counted() {
    moved(Proxy::caddy, |tally| {
        told("caddy, 6 moves", tally);
        let kinds = ["ConnectionReset", "BrokenPipe", "UnexpectedEof"];
        let known = |reason: &String| kinds.iter().any(|kind| reason.ends_with(kind));
        assert!(tally.failed.keys().all(known), "{:?} of {}", tally.failed, tally.sent);
        assert!(tally.failures() * 50 < tally.sent, "more than a few: {:?} of {}", tally.failed, tally.sent);
    });
}

#[test]
fn none_is_lost_when_instances_are_drained_by_haproxy_and_restarted() {
    let farm = match Farm::new() {
        Ok(farm) => farm,
        Err(why) => skip!("{why}"),
    };
    farm.commit("v2", "ok");
    let load = Load::keeping(farm.shop.services().port(BALANCED));
    load.for_requests(50);
    let run = farm.script("ROLLING deploy v2").run();
    run.exits(0);
    load.for_requests(50);
    let tally = load.stop();
    told("rolling", &tally);
    assert_eq!(farm.versions(), ["v2"; 5], "{run}");
    assert_eq!(tally.failures(), 0, "{:?} of {}\n{run}", tally.failed, tally.sent);
}

/// The control: without taking them out first, requests are lost, so that the client can tell.
#[test]
fn but_some_are_lost_when_the_live_one_is_stopped_and_started() {
    through(Proxy::haproxy, |shop, proxy| {
        let load = Load::keeping(proxy.port());
        load.for_requests(30);
        let restart = stories::services::restart_of("shop@1");
        shop.pipe(format!("{restart} restart -n --action stop")).run().exits(0);
        load.for_requests(30);
        shop.pipe(format!("{restart} restart -n --action start")).run().exits(0);
        let tally = load.stop();
        assert!(tally.failures() > 0, "{} requests, none lost", tally.sent);
    });
}
