//! A double of Traefik, which no registry that the tests reach has: `shop-traefik FILE PORT ADMIN`.
//!
//! It does what Traefik's documentation says of the parts that svc-route relies on, and nothing else. FILE is a dynamic
//! configuration of the file provider, read again whenever it changes; one that cannot be read is passed over. PORT serves
//! the weighted service `shop`, connection by connection. ADMIN answers `GET /api/http/services/NAME@file` with the service
//! as it is served by then, its parts named with their provider, or with 404.
#![expect(clippy::disallowed_methods, reason = "a proxy acts on the world")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// What is served, by the names of the services.
type Services = Arc<Mutex<BTreeMap<String, Value>>>;

/// Traefik gathers what comes at once before it acts on it (`providersThrottleDuration`).
const THROTTLE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [file, port, admin] = arguments.as_slice() else { return ExitCode::from(2) };
    let services = Services::default();
    read(file, &services);
    let listen = |port: &str| TcpListener::bind(("127.0.0.1", port.parse().expect("a port"))).expect("listen");
    let (clients, admin) = (listen(port), listen(admin));
    let known = Arc::clone(&services);
    thread::spawn(move || admin.incoming().flatten().for_each(|stream| tell(stream, &known)));
    let (file, watched) = (file.clone(), Arc::clone(&services));
    thread::spawn(move || {
        loop {
            thread::sleep(THROTTLE);
            read(&file, &watched);
        }
    });
    for (turn, client) in clients.incoming().flatten().enumerate() {
        let server = chosen(&services.lock().expect("the services"), turn);
        thread::spawn(move || serve(client, server));
    }
    ExitCode::SUCCESS
}

/// Takes up what the file says; what is no JSON (real Traefik takes YAML too) or holds no services changes nothing.
fn read(file: &str, services: &Services) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    if let Some(Value::Object(found)) = value.pointer("/http/services") {
        *services.lock().expect("the services") = found.clone().into_iter().collect();
    }
}

/// The address for this turn, by the weights; a part without one weighs 1, a part of weight 0 gets nothing.
fn chosen(services: &BTreeMap<String, Value>, turn: usize) -> Option<String> {
    let parts = services.get("shop")?.pointer("/weighted/services")?.as_array()?;
    let weight = |part: &Value| usize::try_from(part["weight"].as_u64().unwrap_or(1)).unwrap_or(0);
    let total: usize = parts.iter().map(weight).sum();
    // 37 has no factor in common with 100: the turns are spread.
    let mut left = (turn * 37) % total.max(1);
    let part = parts.iter().find(|part| {
        let is_it = left < weight(part);
        left = left.saturating_sub(weight(part));
        is_it
    })?;
    let url = services.get(part["name"].as_str()?)?.pointer("/loadBalancer/servers/0/url")?.as_str()?;
    Some(url.trim_start_matches("http://").to_owned())
}

fn serve(mut client: TcpStream, server: Option<String>) {
    let Some(mut server) = server.and_then(|address| TcpStream::connect(address).ok()) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    let (mut from, mut to) = (client.try_clone().expect("a client"), server.try_clone().expect("a server"));
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

/// Answers one question about a service.
fn tell(mut stream: TcpStream, services: &Services) {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).unwrap_or(0);
    let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let name = path.strip_prefix("/api/http/services/").and_then(|name| name.strip_suffix("@file"));
    let services = services.lock().expect("the services");
    let (status, body) = match name.and_then(|name| Some((name, services.get(name)?))) {
        Some((name, service)) => ("200 OK", described(name, service)),
        None => ("404 Not Found", json!({ "message": format!("service not found: {path}") })),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
}

/// A service as the API shows it.
fn described(name: &str, service: &Value) -> Value {
    let mut shown = service.clone();
    if let Some(parts) = shown.pointer_mut("/weighted/services").and_then(Value::as_array_mut) {
        for part in parts {
            part["name"] = format!("{}@file", part["name"].as_str().unwrap_or_default()).into();
        }
    }
    shown["name"] = format!("{name}@file").into();
    shown["provider"] = "file".into();
    shown["status"] = "enabled".into();
    shown["type"] = if service.get("weighted").is_some() { "weighted" } else { "loadbalancer" }.into();
    shown
}
