//! The recipes blue-green and canary: real systemd, real nginx, a client that asks all the time.

use std::fs;
use std::time::Duration;

use stories::real::proxies::Ready;
use stories::real::systemd::Systemd;
use stories::{Run, Shop, binaries, skip};

/// A shop whose two slots are units, behind an nginx that is a unit too.
pub(crate) struct Street {
    pub(crate) systemd: Systemd,
    pub(crate) shop: Shop,
    /// What the recipe must know of another proxy than nginx.
    settings: Vec<(&'static str, String)>,
}

/// A unit whose instance `blue` or `green` runs from the link of that name, on a port of its own.
fn slot_unit(shop: &Shop) -> String {
    let service = binaries::directory().join("shop-service");
    let services = shop.services().dir().display().to_string();
    let start = format!(
        "case %i in blue) p={};; *) p={};; esac; exec {} $$p {services}/shop@%i.pid {services}/alive",
        shop.services().port(1),
        shop.services().port(2),
        service.display()
    );
    format!(
        "[Service]\nType=exec\nRestart=on-failure\nWorkingDirectory={}/%i\nExecStart=/bin/sh -c '{start}'\n",
        shop.root().display()
    )
}

/// nginx's unit, its configuration and its first upstream, with the shop's fourth port for clients.
pub(crate) fn nginx_unit(shop: &Shop) -> String {
    let dir = shop.path().join("proxy");
    fs::create_dir_all(&dir).expect("make nginx's directory");
    let dir = dir.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {dir}/{kind};"));
    let config = format!(
        "pid {dir}/nginx.pid; error_log {dir}/error.log; worker_processes 2; events {{ worker_connections 512; }}\n\
         http {{ access_log off; {} include {dir}/shop.upstream*;\n\
         server {{ listen 127.0.0.1:{}; location / {{ proxy_pass http://shop; }} }} }}\n",
        temporary.join(" "),
        shop.services().port(4)
    );
    fs::write(format!("{dir}/nginx.conf"), config).expect("write nginx's configuration");
    let first = format!("upstream shop {{ server 127.0.0.1:{} down; }}\n", shop.services().port(1));
    fs::write(format!("{dir}/shop.upstream"), first).expect("write the upstream");
    format!("[Service]\nType=exec\nExecStart={} -g 'daemon off;'\n", nginx(shop))
}

/// nginx by its full command line.
pub(crate) fn nginx(shop: &Shop) -> String {
    let dir = shop.path().join("proxy");
    format!("/usr/sbin/nginx -e {0}/error.log -c {0}/nginx.conf", dir.display())
}

impl Street {
    fn new() -> Result<Self, String> {
        if !skip::has("nginx") {
            return Err("nginx is not installed".into());
        }
        let shop = Shop::new();
        let units = [("shop@.service", slot_unit(&shop)), ("nginx.service", nginx_unit(&shop))];
        let units = units.each_ref().map(|(name, text)| (*name, text.as_str()));
        let systemd = Systemd::boot(&shop, &units)?;
        systemd.pipe(&shop, "systemctl start nginx").run().exits(0);
        Ok(Self { systemd, shop, settings: Vec::new() })
    }

    /// The same behind another proxy; nothing is deployed yet.
    pub(crate) fn behind(proxy: &'static str) -> Result<Self, String> {
        let shop = Shop::new();
        let (ready, more) = match proxy {
            "haproxy" => {
                (Ready::haproxy(&shop)?, ("SOCKET", shop.path().join("proxy/admin.sock").display().to_string()))
            }
            "caddy" => (Ready::caddy(&shop)?, ("UPSTREAM", "shop".into())),
            _ => (Ready::traefik(&shop)?, ("CONFIG", shop.path().join("proxy/shop.yml").display().to_string())),
        };
        let path = "/usr/sbin:/usr/bin:/sbin:/bin";
        let home = shop.path().join("proxy").display().to_string();
        let unit = format!(
            "[Service]\nType=exec\nEnvironment=HOME={home} PATH={path}\nExecStart=/usr/bin/env {}\n",
            ready.words.join(" ")
        );
        let units = [("shop@.service", slot_unit(&shop)), ("proxy.service", unit)];
        let systemd = Systemd::boot(&shop, &units.each_ref().map(|(name, text)| (*name, text.as_str())))?;
        let street = Self { systemd, shop, settings: Vec::new() };
        let listens = "systemctl start proxy && until curl -s http://127.0.0.1:$PORT/ >up; do sleep 0.05; done";
        street.script(listens).env("PORT", street.shop.services().port(4).to_string()).run().exits(0);
        let admin = format!("127.0.0.1:{}", street.shop.services().port(3));
        let settings = vec![("PROXY", proxy.to_owned()), ("ADMIN", admin), more];
        Ok(Self { settings, ..street })
    }

    pub(crate) fn script(&self, text: &str) -> stories::Pipe {
        let shop = &self.shop;
        let address = |i| format!("127.0.0.1:{}", shop.services().port(i));
        let proxy = shop.path().join("proxy").display().to_string();
        let recipes = binaries::workspace().join("scripts/recipes").display().to_string();
        let pipe = self
            .systemd
            .pipe(shop, text.replace("RECIPES", &recipes))
            .env("CUTOVER_ROOT", shop.root().display().to_string())
            .env("BLUE", address(1))
            .env("GREEN", address(2))
            .env("CONFIG", format!("{proxy}/shop.upstream"))
            .env("NGINX", nginx(shop).replace("/usr/sbin/", ""))
            .env("NGINX_PID", format!("{proxy}/nginx.pid"))
            .env("STABLE", "200ms")
            .env("WAIT", "20s")
            .env("PAUSE", "200ms");
        self.settings.iter().fold(pipe, |pipe, (name, value)| pipe.env(name, value.as_str()))
    }

    /// Runs a command while a client asks nginx all the time; the second is what the client tells.
    pub(crate) fn under_load(&self, command: &str, old: &str, new: &str) -> (Run, String) {
        asked_meanwhile(&self.systemd, &self.shop, [old, new], || self.script(command).run())
    }

    pub(crate) fn pid(&self, slot: &str) -> String {
        self.systemd.main_pid(&self.shop, &format!("shop@{slot}"))
    }

    /// Whether nginx's file gives this slot all of the traffic.
    pub(crate) fn upstream_is(&self, live: &str) -> bool {
        let text = self.upstream();
        text.contains(&format!("weight=100; # {live}")) && text.matches("down; # ").count() == 1
    }

    fn upstream(&self) -> String {
        fs::read_to_string(self.shop.path().join("proxy/shop.upstream")).expect("read the upstream")
    }
}

/// Does something while a client inside asks the shop's fourth port all the time; the second is what the client tells.
pub(crate) fn asked_meanwhile<T>(
    systemd: &Systemd,
    shop: &Shop,
    versions: [&str; 2],
    act: impl FnOnce() -> T,
) -> (T, String) {
    asked_where(&systemd.enter(shop), shop, versions, act)
}

/// The same, where these words before a command lead.
pub(crate) fn asked_where<T>(
    enter: &[String],
    shop: &Shop,
    [old, new]: [&str; 2],
    act: impl FnOnce() -> T,
) -> (T, String) {
    let stop = shop.path().join("stop");
    let _ = fs::remove_file(&stop);
    let client = format!("shop-client {} {} {old} {new}", shop.services().port(4), stop.display());
    let client = shop.pipe(client).under(enter.iter().cloned()).deadline(Duration::from_secs(300)).start();
    client.pids_of("shop-client");
    let result = act();
    fs::write(&stop, "").expect("stop the client");
    (result, client.wait().exits(0).stdout.clone())
}

pub(crate) fn street() -> Result<Street, String> {
    let street = Street::new()?;
    street.shop.source("v1");
    let first = street.script("RECIPES/blue-green v1").run();
    first.exits(0);
    assert!(street.shop.named("blue").is_some(), "{first}");
    assert_ne!(street.pid("blue"), "0", "{first}");
    Ok(street)
}

/// Panics unless the version changed once for who asks: nginx serves by both configurations for a tenth of a second.
pub(crate) fn changed_once(seen: &str) {
    let overlap = seen.split(" overlap ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let overlap: u64 = overlap.and_then(|word| word.parse().ok()).expect("an overlap");
    assert!(overlap < 1000, "both versions answered for {overlap} ms");
}

/// Panics if what a shop-client said tells of a lost request, else prints how many were sent.
pub(crate) fn lost_nothing(what: &str, seen: &str) {
    let mut words = seen.split_whitespace();
    let sent: usize = words.next().and_then(|word| word.parse().ok()).expect("a count");
    let failed = words.next().expect("a count");
    let after = |mark| seen.split(mark).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("0");
    let (overlap, rate) = (after(" overlap "), after(" rate "));
    skip::measured(&format!("{what}: {sent} requests, {failed} failed, {rate}/s, both versions for {overlap} ms"));
    assert!(sent >= 100, "only {sent} requests were sent");
    assert_eq!(failed, "0", "{what}: requests were lost: {seen}");
}

#[test]
fn the_idle_slot_takes_over_without_a_lost_request_and_the_old_one_ends() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    street.shop.source("v2");
    let (run, seen) = street.under_load("RECIPES/blue-green v2", "v1", "v2");
    let record = run.exits(0).record();
    lost_nothing("blue-green", &seen);
    changed_once(&seen);
    assert!(seen.contains("v1 true v2 true"), "{seen}");
    assert_eq!(street.pid("blue"), "0", "{run}");
    assert_ne!(street.pid("green"), "0", "{run}");
    assert_eq!(street.shop.named("green").as_deref(), Some(record.id()), "{run}");
}

#[test]
fn the_same_source_twice_does_nothing() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    let (pid, upstream) = (street.pid("blue"), street.upstream());
    let run = street.script("RECIPES/blue-green v1").run();
    run.exits(0);
    assert!(run.stderr.contains("is live in blue already"), "{run}");
    assert_eq!((street.pid("blue"), street.upstream(), street.pid("green")), (pid, upstream, "0".into()), "{run}");
}

#[test]
fn a_bad_version_leaves_the_old_process_and_the_proxy_as_they_were() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    street.shop.source_that("v2", "500");
    let (pid, upstream) = (street.pid("blue"), street.upstream());
    let (run, seen) = street.under_load("WAIT=3s RECIPES/blue-green v2", "v1", "v2");
    let record = run.exits(3).record();
    lost_nothing("blue-green with a bad version", &seen);
    assert!(seen.contains("v1 true v2 false"), "{seen}");
    assert_eq!(record["error"]["blame"], "release", "{run}");
    assert_eq!((street.pid("blue"), street.upstream(), street.pid("green")), (pid, upstream, "0".into()), "{run}");
    assert_eq!(street.shop.kinds_of(record.id()).last().map(String::as_str), Some("bad"), "{run}");
}

#[test]
fn a_deploy_that_is_killed_leaves_a_service_and_the_same_command_repairs_it() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    street.shop.source("v2");
    let ((), seen) = asked_meanwhile(&street.systemd, &street.shop, ["v1", "v2"], || {
        let deploy = street.script("RECIPES/blue-green v2").start();
        stories::running::until("the idle slot runs", || street.pid("green") != "0");
        deploy.signal_all(nix::sys::signal::Signal::SIGKILL);
        drop(deploy);
        assert_ne!(street.pid("blue"), "0");
        let run = street.script("RECIPES/blue-green v2").run();
        run.exits(0);
        assert_ne!(street.pid("green"), "0", "{run}");
        assert_eq!(street.pid("blue"), "0", "{run}");
    });
    lost_nothing("blue-green killed and repaired", &seen);
    changed_once(&seen);
    assert!(seen.contains("v1 true v2 true"), "{seen}");
}

#[test]
fn a_canary_gets_its_share_step_by_step() {
    let street = match street() {
        Ok(street) => street,
        Err(why) => skip!("{why}"),
    };
    street.shop.source("v2");
    let (run, seen) = street.under_load("RECIPES/canary v2", "v1", "v2");
    run.exits(0);
    lost_nothing("canary", &seen);
    for share in ["blue 90 %, green 10 %", "blue 50 %, green 50 %", "blue 0 %, green 100 %"] {
        assert!(run.stderr.contains(share), "{share} is missing: {run}");
    }
}
