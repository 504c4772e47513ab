//! The recipe blue-green where something is otherwise: another proxy, an old slot that stays or crashes, two runs at once.

use std::fs;

use nix::sys::signal::Signal;
use stories::halts::Halt;
use stories::running::until;
use stories::skip;

use crate::blue_green::{Street, lost_nothing, street};

/// Behind HAProxy the version changes once for everybody; Caddy's own change of sockets aside, no request fails.
#[test]
fn behind_every_other_proxy_it_is_the_same_recipe() {
    for proxy in ["haproxy", "caddy", "traefik"] {
        let street = match Street::behind(proxy) {
            Ok(street) => street,
            Err(why) => skip!("{why}"),
        };
        street.shop.source("v1");
        street.script("RECIPES/blue-green v1").run().exits(0);
        street.shop.source("v2");
        let (run, seen) = street.under_load("RECIPES/blue-green v2", "v1", "v2");
        run.exits(0);
        assert!(seen.contains("v1 true v2 true"), "{proxy}: {seen}\n{run}");
        if proxy == "haproxy" {
            assert!(seen.contains(" overlap 0 "), "the version changes at once: {seen}");
        }
        match seen.lines().next().and_then(|line| line.split_once(" ConnectionReset x ")) {
            Some((counts, reset)) if proxy == "caddy" => {
                assert!(counts.ends_with(&format!(" {reset}")), "{seen}");
                skip::measured(&format!("behind caddy {reset} connections were reset in a blue-green: {seen}"));
            }
            _ => lost_nothing(&format!("blue-green behind {proxy}"), &seen),
        }
        let again = street.script("RECIPES/blue-green v2").run();
        again.exits(0).says("is live in");
        street.shop.source_that("v3", "500");
        let bad = street.script("WAIT=3s RECIPES/blue-green v3").run();
        assert_eq!(bad.exits(3).record()["error"]["blame"], "release", "{proxy}: {bad}");
    }
}

/// Drained is the point of no return: the traffic has moved, so the release stays.
#[test]
fn an_old_slot_that_cannot_be_stopped_is_a_warning() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    let refuse = "mkdir -p /run/systemd/system/shop@blue.service.d && \
                  printf '[Unit]\\nRefuseManualStop=yes\\n' >/run/systemd/system/shop@blue.service.d/stays.conf && \
                  systemctl daemon-reload";
    street.script(refuse).run().exits(0);
    street.shop.source("v2");
    let old = street.pid("blue");
    let run = street.script("RECIPES/blue-green v2").run();
    let record = run.exits(0).record();
    assert_eq!(record["ok"], true, "{run}");
    assert!(record["warnings"].to_string().contains("shop@blue"), "{run}");
    assert_eq!(street.pid("blue"), old, "{run}");
    assert!(street.upstream_is("green"), "{run}");
    assert!(street.shop.kinds_of(record.id()).iter().any(|kind| kind == "good"), "{run}");
}

#[test]
fn of_two_runs_at_once_the_second_waits() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    street.shop.source("v2");
    street.shop.source("v3");
    let mut first = street.script("RECIPES/blue-green v2").env("STABLE", "8s").start();
    stories::running::until("the first is at work", || street.pid("green") != "0");
    assert!(first.is_running());
    let second = street.script("RECIPES/blue-green v3").run();
    assert!(!first.is_running(), "the second did not wait: {second}");
    second.exits(0).says("waiting for the deploy lock");
    first.wait().exits(0);
    let live = fs::read_to_string(street.shop.root().join("blue/version")).expect("the version");
    assert_eq!((live.as_str(), street.upstream_is("blue")), ("v3", true), "{second}");
}

/// Each slot has a link of its own, so what systemd starts again is what the slot ran.
#[test]
fn a_crash_of_the_old_slot_in_mid_deploy_starts_the_old_release_again() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    let v1 = street.shop.named("blue").expect("v1 is live");
    street.shop.source("v2");
    let gate = Halt::before("svc-health");
    let deploy = gate.set(&street.shop, street.script("RECIPES/blue-green v2")).start();
    deploy.reaches(street.shop.path().join("halts/reached"));
    let crashed = street.pid("blue");
    street.script(&format!("kill -KILL {crashed}")).run().exits(0);
    until("systemd has started it again", || !["0", crashed.as_str()].contains(&street.pid("blue").as_str()));
    let runs = street.script(&format!("readlink /proc/{}/cwd", street.pid("blue"))).run().stdout;
    assert!(runs.trim().ends_with(&format!("/{v1}")), "the old slot runs {runs}");
    assert_ne!(street.shop.named("green").as_deref(), Some(v1.as_str()), "the new release has the other link");
    deploy.signal_all(Signal::SIGKILL);
}
