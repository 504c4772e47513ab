//! The recipe primary-backup where Upstart supervises: a double of `initctl` that prints what Upstart prints, for
//! Upstart itself is in no distribution any more.

use std::fs;
use std::path::Path;

use stories::load::Load;
use stories::real::proxies::Proxy;
use stories::{Shop, binaries, skip};

use crate::primary_backup::{PYTHON, commit, recipe};

/// What `initctl` prints, word for word; the jobs are processes of the story.
const INITCTL: &str = r#"#!/bin/sh
job=$2 port=${3#PORT=}
pidfile=$JOBS/$port.pid
pid=$(cat "$pidfile" 2>/dev/null) && kill -0 "$pid" 2>/dev/null || pid=
[ "$job" = shop ] || { echo "initctl: Unknown job: $job" >&2; exit 1; }
case $1 in
start)
    [ -z "$pid" ] || { echo "initctl: Job is already running: shop ($port)" >&2; exit 1; }
    setsid /usr/bin/python3 "$CUTOVER_ROOT/shop.jar" "$port" "$ALIVE" </dev/null >/dev/null 2>&1 &
    echo $! >"$pidfile"
    echo "shop ($port) start/running, process $!" ;;
stop)
    [ -n "$pid" ] || { echo "initctl: Unknown instance: $port" >&2; exit 1; }
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    echo "shop ($port) stop/waiting" ;;
status)
    [ -n "$pid" ] || { echo "initctl: Unknown instance: $port" >&2; exit 1; }
    echo "shop ($port) start/running, process $pid" ;;
esac
"#;

#[test]
fn upstart_jobs_are_deployed_the_same_way() {
    if !["git", "make", "setsid"].into_iter().all(skip::has) || !Path::new(PYTHON).exists() {
        skip!("git, make, setsid or python3 is not installed");
    }
    let shop = Shop::new();
    let proxy = match Proxy::nginx(&shop) {
        Ok(proxy) => proxy,
        Err(why) => skip!("{why}"),
    };
    let path = |name: &str| shop.path().join(name).display().to_string();
    fs::create_dir(path("bin")).expect("make a directory for initctl");
    fs::write(path("bin/initctl"), INITCTL).expect("write initctl");
    shop.pipe("chmod +x bin/initctl && git init -q -b main repository").run().exits(0);
    commit(&shop, "v1", 200);
    let nginx = format!("nginx -e {0}/error.log -c {0}/nginx.conf", proxy.dir().display());
    let script = |words: &str| {
        let programs = binaries::directory().display().to_string();
        shop.pipe(format!("{} {words}", recipe()))
            .env("PATH", format!("{}:{programs}:/usr/sbin:/usr/bin:/sbin:/bin", path("bin")))
            .env("JOBS", path("services"))
            .env("ALIVE", path("services/alive"))
            .env("CUTOVER_ROOT", shop.root().display().to_string())
            .env("REPOSITORY", path("repository"))
            .env("VIA", "upstart")
            .env("AS", "")
            .env("PRIMARY", shop.services().port(1).to_string())
            .env("BACKUP", shop.services().port(2).to_string())
            .env("CONFIG", path("proxy/shop.upstream"))
            .env("NGINX_PID", path("proxy/nginx.pid"))
            .env("NGINX_TEST", format!("{nginx} -t -q"))
            .env("NGINX_RELOAD", format!("{nginx} -s reload"))
            .env("WAIT", "20s")
    };
    script("deploy v1").run().exits(6);
    script("promote").run().exits(0);
    commit(&shop, "v2", 200);
    let load = Load::on(proxy.port());
    load.for_requests(20);
    let held = script("deploy v2").run();
    held.exits(6);
    assert_eq!([1, 2].map(|i| shop.services().version(i)), [Some("v1".into()), Some("v2".into())], "{held}");
    let promoted = script("promote").run();
    promoted.exits(0);
    assert_eq!([1, 2].map(|i| shop.services().version(i)), [Some("v2".into()), Some("v2".into())], "{promoted}");
    load.for_requests(20);
    let tally = load.stop();
    assert_eq!(tally.failures(), 0, "{:?} of {}\n{promoted}", tally.failed, tally.sent);
    let overlap = tally.overlap("v1", "v2").unwrap_or_default().as_millis();
    skip::measured(&format!("primary-backup on Upstart's words: {tally}, both versions for {overlap} ms"));
}
