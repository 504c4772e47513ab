//! Real proxies in front of a shop's instances: nginx, HAProxy, Caddy; for Traefik, which no registry that the tests
//! reach has, a double that reads its file and answers as its documentation says. Each listens on the shop's fourth port.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::running::until;
use crate::{Shop, binaries, skip};

/// A running proxy; ended when dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    dir: PathBuf,
    port: u16,
    route: String,
}

/// A proxy that is set up and not started: how it is, and what svc-route must know of it.
#[derive(Debug)]
pub struct Ready {
    /// Its command line, in the foreground.
    pub words: Vec<String>,
    /// The options of svc-route for it and its slots.
    pub route: String,
    dir: PathBuf,
    port: u16,
}

/// The instances 1 and 2 as slots `blue` and `green`.
fn slots(shop: &Shop) -> String {
    let port = |i| shop.services().port(i);
    format!("--slot blue=127.0.0.1:{} --slot green=127.0.0.1:{}", port(1), port(2))
}

impl Proxy {
    /// nginx with an empty include file for the upstream; 503 until there is one.
    pub fn nginx(shop: &Shop) -> Result<Self, String> {
        need("nginx")?;
        let (dir, port) = place(shop);
        let config = format!(
            "daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log; worker_processes 2;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
             fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
             include {dir}/shop.upstream; server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://shop; }} }} }}\n",
            dir = dir.display()
        );
        fs::write(dir.join("nginx.conf"), config).expect("write nginx's configuration");
        let first = format!(
            "upstream shop {{ server 127.0.0.1:{}; server 127.0.0.1:{} down; }}\n",
            shop.services().port(1),
            shop.services().port(2)
        );
        fs::write(dir.join("shop.upstream"), first).expect("write the upstream");
        let nginx = format!("nginx -e {dir}/error.log -c {dir}/nginx.conf", dir = dir.display());
        let route = format!(
            "--via nginx --config {dir}/shop.upstream --upstream shop --pidfile {dir}/nginx.pid --test '{nginx} -t -q' --reload '{nginx} -s reload' {}",
            slots(shop),
            dir = dir.display()
        );
        let words: Vec<String> = nginx.split(' ').map(str::to_owned).collect();
        Self::start(words, dir, port, route)
    }

    /// HAProxy with the servers blue, up, and green, in maintenance.
    pub fn haproxy(shop: &Shop) -> Result<Self, String> {
        Ready::haproxy(shop)?.start()
    }

    /// Caddy with a reverse_proxy handler `shop` that has blue as its upstream.
    pub fn caddy(shop: &Shop) -> Result<Self, String> {
        Ready::caddy(shop)?.start()
    }

    /// The double of Traefik, with blue as the only slot in its file.
    pub fn traefik(shop: &Shop) -> Result<Self, String> {
        Ready::traefik(shop)?.start()
    }

    /// HAProxy over the instances `shop@1` to `shop@3` as its servers `1` to `3`. It tries nothing twice, so that whatever is lost shows.
    pub fn haproxy_over_three(shop: &Shop) -> Result<Self, String> {
        need("haproxy")?;
        let (dir, port) = place(shop);
        let server = |i| format!("  server {i} 127.0.0.1:{}\n", shop.services().port(i));
        let config = format!(
            "global\n  stats socket {dir}/admin.sock level admin mode 600\ndefaults\n  mode http\n  retries 0\n  \
             timeout connect 2s\n  timeout client 10s\n  timeout server 10s\nlisten shop\n  bind 127.0.0.1:{port}\n{}",
            (1..=3).map(server).collect::<String>(),
            dir = dir.display()
        );
        fs::write(dir.join("haproxy.cfg"), config).expect("write haproxy's configuration");
        let words = ["haproxy", "-db", "-f", &format!("{}/haproxy.cfg", dir.display())].map(str::to_owned).to_vec();
        Self::start(words, dir, port, String::new())
    }

    /// nginx over the same, by `shop.upstream`; it tries nothing twice either.
    pub fn nginx_over_three(shop: &Shop) -> Result<Self, String> {
        need("nginx")?;
        let (dir, port) = place(shop);
        let server = |i| format!(" server 127.0.0.1:{};", shop.services().port(i));
        let upstream = format!("upstream shop {{{} }}\n", (1..=3).map(server).collect::<String>());
        fs::write(dir.join("shop.upstream"), upstream).expect("write the upstream");
        let config = format!(
            "daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log; worker_processes 2;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
             fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
             proxy_next_upstream off; include {dir}/shop.upstream;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://shop; }} }} }}\n",
            dir = dir.display()
        );
        fs::write(dir.join("nginx.conf"), config).expect("write nginx's configuration");
        let words = format!("nginx -e {dir}/error.log -c {dir}/nginx.conf", dir = dir.display());
        Self::start(words.split(' ').map(str::to_owned).collect(), dir, port, String::new())
    }

    fn start(words: Vec<String>, dir: PathBuf, port: u16, route: String) -> Result<Self, String> {
        let log = fs::File::create(dir.join("log")).expect("open the log");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("HOME", &dir).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log).process_group(0);
        let child = command.spawn().map_err(|error| format!("start {}: {error}", words[0]))?;
        let proxy = Self { child, dir, port, route };
        until(&format!("{} listens", words[0]), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Ok(proxy)
    }

    /// Where clients ask.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The options of svc-route for this proxy and its slots.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The directory of its files.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }
}

impl Ready {
    /// HAProxy with the servers blue, up, and green, in maintenance.
    pub fn haproxy(shop: &Shop) -> Result<Self, String> {
        need("haproxy")?;
        let (dir, port) = place(shop);
        let server = |name: &str, i: u32, more: &str| {
            format!("  server {name} 127.0.0.1:{} check inter 100ms {more}\n", shop.services().port(i))
        };
        let config = format!(
            "global\n  stats socket {dir}/admin.sock level admin mode 600\ndefaults\n  mode http\n  timeout connect 2s\n  \
             timeout client 10s\n  timeout server 10s\nlisten shop\n  bind 127.0.0.1:{port}\n{}{}",
            server("blue", 1, ""),
            server("green", 2, "disabled"),
            dir = dir.display()
        );
        fs::write(dir.join("haproxy.cfg"), config).expect("write haproxy's configuration");
        let route =
            format!("--via haproxy --socket {dir}/admin.sock --backend shop {}", slots(shop), dir = dir.display());
        let words = ["haproxy", "-db", "-f", &format!("{}/haproxy.cfg", dir.display())].map(str::to_owned).to_vec();
        Ok(Self { words, route, dir, port })
    }

    /// Caddy with a reverse_proxy handler `shop` that has blue as its upstream.
    pub fn caddy(shop: &Shop) -> Result<Self, String> {
        need("caddy")?;
        let (dir, port) = place(shop);
        let admin = shop.services().port(3);
        let config = serde_json::json!({
            "admin": { "listen": format!("127.0.0.1:{admin}") },
            "apps": { "http": { "servers": { "shop": {
                "listen": [format!("127.0.0.1:{port}")],
                "automatic_https": { "disable": true },
                "routes": [{ "handle": [{
                    "@id": "shop", "handler": "reverse_proxy",
                    "upstreams": [{ "dial": format!("127.0.0.1:{}", shop.services().port(1)) }]
                }] }]
            } } } }
        });
        fs::write(dir.join("caddy.json"), config.to_string()).expect("write caddy's configuration");
        let route = format!("--via caddy --admin 127.0.0.1:{admin} --handler shop {}", slots(shop));
        let words = ["caddy", "run", "--config", &format!("{}/caddy.json", dir.display())].map(str::to_owned).to_vec();
        Ok(Self { words, route, dir, port })
    }

    /// The double of Traefik, with blue as the only slot in its file.
    pub fn traefik(shop: &Shop) -> Result<Self, String> {
        let (dir, port) = place(shop);
        let admin = shop.services().port(3);
        let blue = format!("http://127.0.0.1:{}", shop.services().port(1));
        let first = serde_json::json!({ "http": { "services": {
            "shop": { "weighted": { "services": [{ "name": "shop-blue", "weight": 100 }] } },
            "shop-blue": { "loadBalancer": { "servers": [{ "url": blue }] } }
        } } });
        fs::write(dir.join("shop.yml"), first.to_string()).expect("write the provider's file");
        let file = dir.join("shop.yml").display().to_string();
        let route = format!("--via traefik --config {file} --upstream shop --admin 127.0.0.1:{admin} {}", slots(shop));
        let double = binaries::directory().join("shop-traefik").display().to_string();
        Ok(Self { words: vec![double, file, port.to_string(), admin.to_string()], route, dir, port })
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Result<Proxy, String> {
        Proxy::start(self.words, self.dir, self.port, self.route)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0));
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn need(program: &str) -> Result<(), String> {
    if skip::has(program) { Ok(()) } else { Err(format!("{program} is not installed")) }
}

fn place(shop: &Shop) -> (PathBuf, u16) {
    let dir = shop.path().join("proxy");
    fs::create_dir_all(&dir).expect("make the proxy's directory");
    (dir, shop.services().port(4))
}
