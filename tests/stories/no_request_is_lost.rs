//! Restarts under a client that never rests: servers that take up a release at a signal, and instances taken out of a
//! real balancer one by one. Three runs each lose nothing; the naive way loses some, so the client can tell.

use stories::load::{Load, Tally};
use stories::real::proxies::Proxy;
use stories::real::servers::{self, Kind, Server};
use stories::services::restart_of;
use stories::{Shop, binaries, skip};

const VERSIONS: [&str; 3] = ["v2", "v3", "v4"];
/// So many requests a second are meant to be on their way.
const ENOUGH: f64 = 200.0;

fn nothing_was_lost(what: &str, tally: &Tally) {
    assert_eq!(tally.failures(), 0, "{what}: {:?} of {}", tally.failed, tally.sent);
    for version in VERSIONS {
        assert!(tally.saw(version), "{what}: {version} never answered");
    }
    let rate = tally.rate();
    if rate < ENOUGH {
        skip::note(&format!("{what}: only {rate:.0} requests/s on this machine, {ENOUGH:.0} are meant"));
    }
    skip::measured(&format!("{what}: three times under {rate:.0} requests/s, 0 of {} lost", tally.sent));
}

/// The server takes up three releases by these signals, one after the other.
fn taken_up(kind: Kind, what: &str, signals: &str) {
    let server = match Server::start(kind) {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let load = Load::of_a_crowd_on(server.shop().services().port(1));
    load.for_requests(30);
    for version in VERSIONS {
        server.switch(version);
        let script = format!("manage -n --signals {signals} --gate \"$(answers {version})\"");
        server.pipe(&script).run().exits(0);
        load.for_requests(30);
    }
    nothing_was_lost(what, &load.stop());
}

#[test]
fn when_gunicorn_gets_hup() {
    taken_up(servers::GUNICORN, "gunicorn, HUP", "HUP");
}

#[test]
fn when_gunicorn_hands_over() {
    taken_up(servers::GUNICORN, "gunicorn, USR2,wait-new,WINCH,TERM", "USR2,wait-new,WINCH,TERM");
}

#[test]
fn when_unicorn_hands_over() {
    taken_up(servers::UNICORN_SERVER, "unicorn, USR2,wait-new,WINCH,QUIT", "USR2,wait-new,WINCH,QUIT");
}

#[test]
fn when_puma_restarts_in_phases() {
    taken_up(servers::PUMA_SERVER, "puma, USR1", "USR1");
}

#[test]
fn when_puma_starts_itself_anew() {
    taken_up(servers::PUMA_SERVER, "puma, USR2", "USR2");
}

/// The naive way, by which the client can tell.
fn stopped_and_started(kind: Kind, what: &str) {
    let server = match Server::start(kind) {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let load = Load::on(server.shop().services().port(1));
    load.for_requests(30);
    server.pipe("manage -n --action stop | manage --action start --gate \"$(answers v1)\"").run().exits(0);
    load.for_requests(30);
    let tally = load.stop();
    assert!(tally.failures() > 0, "{} requests, none lost", tally.sent);
    skip::measured(&format!("{what}, stopped and started: {} of {} lost", tally.failures(), tally.sent));
}

#[test]
fn but_some_are_when_gunicorn_is_stopped_and_started() {
    stopped_and_started(servers::GUNICORN, "gunicorn");
}

#[test]
fn but_some_are_when_unicorn_is_stopped_and_started() {
    stopped_and_started(servers::UNICORN_SERVER, "unicorn");
}

#[test]
fn but_some_are_when_puma_is_stopped_and_started() {
    stopped_and_started(servers::PUMA_SERVER, "puma");
}

/// Takes an instance out of nginx, or puts it in again, and waits until no worker with the former configuration is left.
const NGINX: &str = r#"dir=$HOME/proxy
case $1 in out) down=' down' ;; in) down= ;; esac
sed -i "s/:${PORTS}${2#shop@}\( down\)\?;/:${PORTS}${2#shop@}$down;/" "$dir/shop.upstream"
main=$(cat "$dir/nginx.pid")
former=$(cat "/proc/$main/task/$main/children")
nginx -e "$dir/error.log" -c "$dir/nginx.conf" -s reload
for worker in $former; do
    while kill -0 "$worker" 2>/dev/null; do sleep 0.01; done
done"#;

/// A shop with three instances of v1 behind a balancer.
fn balanced(start: fn(&Shop) -> Result<Proxy, String>) -> Result<(Shop, Proxy), String> {
    let shop = Shop::new();
    std::fs::create_dir(shop.path().join("bin")).expect("make a directory for programs");
    shop.program("nginx-server", NGINX);
    shop.deploy("v1");
    shop.pipe(restart_of("shop@1 shop@2 shop@3") + "restart -n").run().exits(0);
    let proxy = start(&shop)?;
    Ok((shop, proxy))
}

/// Deploys three releases with these hooks and tells what the clients saw.
fn rolled(shop: &Shop, proxy: &Proxy, hooks: &str) -> Tally {
    let load = Load::on(proxy.port());
    load.for_requests(30);
    for version in VERSIONS {
        shop.source(version);
        let script = restart_of("shop@1 shop@2 shop@3")
            + &format!(
                "release-mk --root $ROOT --from {version} | release-switch | restart {hooks} | release-switch --undo"
            );
        let recipe = binaries::workspace().join("scripts/recipes/rolling").display().to_string();
        let admin = proxy.dir().join("admin.sock").display().to_string();
        let pipe = shop.pipe(script).env("ROLLING", recipe).env("BALANCER", admin).env("BACKEND", "shop");
        pipe.env("CUTOVER_ROOT", shop.root().display().to_string()).run().exits(0);
    }
    load.for_requests(30);
    load.stop()
}

#[test]
fn when_each_instance_is_taken_out_of_haproxy_first() {
    if !skip::has("socat") {
        skip!("socat is not installed");
    }
    let (shop, proxy) = match balanced(Proxy::haproxy_over_three) {
        Ok(balanced) => balanced,
        Err(why) => skip!("{why}"),
    };
    let hooks = "--before '$ROLLING out {i}' --after '$ROLLING in {i}'";
    nothing_was_lost("behind HAProxy", &rolled(&shop, &proxy, hooks));
    let naive = rolled(&shop, &proxy, "");
    assert!(naive.failures() > 0, "{} requests, none lost without hooks", naive.sent);
    skip::measured(&format!("behind HAProxy without hooks: {} of {} lost", naive.failures(), naive.sent));
}

#[test]
fn when_each_instance_is_taken_out_of_nginx_first() {
    let (shop, proxy) = match balanced(Proxy::nginx_over_three) {
        Ok(balanced) => balanced,
        Err(why) => skip!("{why}"),
    };
    let hooks = "--before '$HOME/bin/nginx-server out {instance}' --after '$HOME/bin/nginx-server in {instance}'";
    nothing_was_lost("behind nginx", &rolled(&shop, &proxy, hooks));
    let naive = rolled(&shop, &proxy, "");
    assert!(naive.failures() > 0, "{} requests, none lost without hooks", naive.sent);
    skip::measured(&format!("behind nginx without hooks: {} of {} lost", naive.failures(), naive.sent));
}
