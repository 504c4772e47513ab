//! What each proxy is promised: HAProxy's state outlives it, and nobody's change of Caddy's is written over.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use stories::real::proxies::Ready;
use stories::{Shop, skip};

/// The shares of blue and green as `--show` says them.
fn shown(shop: &Shop, route: &str) -> String {
    let run = shop.pipe(format!("svc-route -n {route} --show")).run();
    run.exits(0).stderr.clone()
}

#[test]
fn what_haproxy_was_told_outlives_it_by_its_state_file() {
    let shop = Shop::new();
    let ready = match Ready::haproxy(&shop) {
        Ok(ready) => ready,
        Err(why) => skip!("{why}"),
    };
    let script = stories::services::restart_of("shop@1 shop@2")
        + "release-mk --root $ROOT --from v1 | release-switch | restart --action start";
    shop.source("v1");
    shop.pipe(script).run().exits(0);
    let file = shop.path().join("proxy/haproxy.cfg");
    let state = shop.path().join("proxy/state").display().to_string();
    let remember = || {
        let config = std::fs::read_to_string(&file).expect("read the configuration");
        let config = config
            .replace("global\n", &format!("global\n  server-state-file {state}\n"))
            .replace("defaults\n", "defaults\n  load-server-state-from-file global\n");
        std::fs::write(&file, config).expect("write the configuration");
    };
    remember();
    let route = ready.route.clone();
    let proxy = ready.start().expect("start HAProxy");
    shop.pipe(format!("svc-route -n {route} --state-file {state} --to green")).run().exits(0);
    assert!(shown(&shop, &route).contains("blue 0 %, green 100 %"));
    drop(proxy);
    let again = Ready::haproxy(&shop).expect("set it up");
    remember();
    let _proxy = again.start().expect("start HAProxy again");
    let now = shown(&shop, &route);
    assert!(now.contains("blue 0 %, green 100 %"), "what was told is forgotten: {now}");
}

/// A double of the admin API, for no real one can be made to change between two requests at will: it tells the handler
/// with an ETag, and answers 412 to a change, as Caddy does where somebody else was faster.
#[test]
fn a_change_of_caddy_by_somebody_else_is_not_written_over() {
    let shop = Shop::new();
    let (listener, slots) =
        (TcpListener::bind("127.0.0.1:0").expect("listen"), [1, 2].map(|i| shop.services().port(i)));
    let admin = listener.local_addr().expect("an address").to_string();
    let handler =
        format!(r#"{{"@id":"shop","handler":"reverse_proxy","upstreams":[{{"dial":"127.0.0.1:{}"}}]}}"#, slots[0]);
    // Green takes connections.
    let _green = TcpListener::bind(("127.0.0.1", slots[1])).expect("listen");
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let answer = if request.starts_with("GET") {
                format!("HTTP/1.0 200 OK\r\nEtag: \"/id/shop abc\"\r\n\r\n{handler}")
            } else {
                "HTTP/1.0 412 Precondition Failed\r\n\r\n{\"error\":\"hash mismatch\"}".to_owned()
            };
            let _ = tell.send(request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let route = format!(
        "--via caddy --admin {admin} --handler shop --slot blue=127.0.0.1:{} --slot green=127.0.0.1:{}",
        slots[0], slots[1]
    );
    let run = shop.pipe(format!("svc-route -n {route} --to green")).run();
    assert_eq!(run.exits(75).record()["error"]["code"], "route.changed", "{run}");
    let changes: Vec<String> = told.try_iter().filter(|request| !request.starts_with("GET")).collect();
    assert_eq!(changes.len(), 1, "asked once and not again: {changes:?}");
    assert!(changes[0].contains("If-Match: \"/id/shop abc\""), "{}", changes[0]);
}
