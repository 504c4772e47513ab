//! A pre-fork server answers by any of its workers, on TCP or on a unix socket: all of them must run from the release. So
//! must a service in a network namespace of its own, as a container's.

use stories::real::servers::{self, Server};
use stories::{Shop, skip};

/// Asks whether the answers at `target` come from the release in this directory; the exit status and stderr.
fn asked(server: &Server, target: &str, release: &std::path::Path) -> stories::Run {
    let script = format!("CUTOVER_RELEASE_PATH={} svc-health -n {target} --expect-release", release.display());
    server.pipe(&script).run()
}

fn proven(server: &Server, target: &str) {
    let v1 = std::fs::canonicalize(server.shop().root().join("current")).expect("resolve the link");
    asked(server, target, &v1).exits(0);
    let v2 = server.switch("v2");
    let stale = asked(server, target, &v2);
    let name = v1.file_name().expect("a name").to_string_lossy().into_owned();
    stale.exits(3).says(&format!("answers, and runs from release {name}"));
    let script = "manage -n --signals USR2,wait-new,WINCH,TERM";
    server.pipe(script).run().exits(0);
    asked(server, target, &v2).exits(0);
    asked(server, target, &v1).exits(3);
}

#[test]
fn the_workers_of_a_real_gunicorn() {
    match Server::start(servers::GUNICORN) {
        Ok(server) => proven(&server, "http://127.0.0.1:${PORTS}1/"),
        Err(why) => skip!("{why}"),
    }
}

#[test]
fn the_workers_of_a_real_gunicorn_on_a_unix_socket() {
    match Server::start(servers::GUNICORN_ON_A_UNIX_SOCKET) {
        Ok(server) => proven(&server, "http+unix://$SERVICES/web.sock:/"),
        Err(why) => skip!("{why}"),
    }
}

/// Listens in a network of its own, on a unix socket and on every address, and says when it does.
const APART: &str = r#"cd $ROOT/current && exec unshare --net python3 -c '
import select, socket, sys
unix, web = socket.socket(socket.AF_UNIX), socket.socket()
unix.bind(sys.argv[1])
web.bind(("0.0.0.0", 8080))
unix.listen()
web.listen()
open(sys.argv[2], "w").close()
while True:
    for ready in select.select([unix, web], [], [])[0]:
        ready.accept()[0].close()
' $HOME/app.sock $HOME/listens"#;

#[test]
fn a_service_in_a_network_namespace_of_its_own() {
    let shop = Shop::new();
    let tools = ["unshare", "nsenter", "ip", "python3"];
    if !skip::is_root() || !tools.into_iter().all(skip::has) {
        skip!("a network of its own needs root, unshare, nsenter, ip and python3");
    }
    let [v1, v2] = ["v1", "v2"].map(|version| shop.root().join("releases").join(shop.deploy(version)));
    shop.pipe(format!("release-switch -n --root $ROOT --to {}", v1.file_name().expect("a name").display()))
        .run()
        .exits(0);
    let service = shop.pipe(APART).start();
    service.reaches(shop.path().join("listens"));
    let pid = service.pids_of("python3")[0];
    // A subnet that no other story has; the link goes with the service.
    let number = u32::from(shop.services().port(0)) / 10;
    let (link, net) = (format!("story{number}"), format!("10.{}.{}", 100 + number / 250, number % 250));
    let plug = format!(
        "ip link add {link} type veth peer name inside netns {pid} && ip addr add {net}.1/30 dev {link} && ip link set {link} up \
         && nsenter -t {pid} -n ip addr add {net}.2/30 dev inside && nsenter -t {pid} -n ip link set inside up"
    );
    let plugged = shop.pipe(plug).run();
    let mut targets = vec![format!("unix://{}/app.sock", shop.path().display())];
    if plugged.status == 0 {
        targets.push(format!("tcp://{net}.2:8080"));
    } else {
        skip::note(&format!("no link into a network of its own: {}", plugged.stderr.trim()));
    }
    for target in targets {
        let asked = |release: &std::path::Path| {
            let wait = "--wait 20s --interval 50ms";
            shop.pipe(format!(
                "CUTOVER_RELEASE_PATH={} svc-health -n {target} {wait} --expect-release",
                release.display()
            ))
            .run()
        };
        asked(&v1).exits(0);
        let wrong = format!("CUTOVER_RELEASE_PATH={} svc-health -n {target} --expect-release", v2.display());
        let name = v1.file_name().expect("a name").to_string_lossy().into_owned();
        shop.pipe(wrong).run().exits(3).says(&format!("answers, and runs from release {name}"));
    }
}
