//! A pre-fork server answers by any of its workers, on TCP or on a unix socket: all of them must run from the release.

use stories::real::servers::{self, Server};
use stories::skip;

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
