//! The managers that can supervise a shop's three instances, each the real thing; for Upstart, which no distribution
//! packages any more, a double that prints what `initctl` printed.

use std::fs;

use crate::real::daemon::Daemon;
use crate::real::docker::Docker;
use crate::real::managed::Managed;
use crate::real::systemd::Systemd;
use crate::running::until;
use crate::{Shop, binaries, skip};

/// The command of one instance, `$1` its number: in the current release, announced in its pid file.
fn service(shop: &Shop) -> String {
    let services = shop.services().dir().display().to_string();
    format!(
        "cd {}/current && exec {} {}$1 {services}/shop@$1.pid {services}/alive",
        shop.root().display(),
        binaries::directory().join("shop-service").display(),
        shop.services().port(0) / 10,
    )
}

/// A systemd of our own, with a template unit. With TERM systemd sends CONT, so what was stopped by a signal would end: a
/// stop command waits for as long as its process is.
pub fn systemd(shop: Shop) -> Result<Managed, String> {
    let services = shop.services().dir().display().to_string();
    let unit = format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nWorkingDirectory={0}/current\n\
         ExecStart={1} {2}%i {services}/shop@%i.pid {services}/alive\n\
         ExecStop=/bin/sh -c 'while grep -q ^State:.T /proc/$MAINPID/status; do sleep 0.1; done'\n",
        shop.root().display(),
        binaries::directory().join("shop-service").display(),
        shop.services().port(0) / 10,
    );
    let systemd = Systemd::boot(&shop, &[("shop@.service", &unit)])?;
    let mut managed = Managed::new(shop, "--via systemd", ["shop@1", "shop@2", "shop@3"]);
    managed.enter = systemd.enter(managed.shop());
    managed.keeper = Some(Box::new(systemd));
    Ok(managed)
}

/// A supervisord of our own: the group `shop`, and beside it `flop`, which never stays up, `stumble`, which is tried
/// again and again, and `nobody`, whose command
/// is not there.
pub fn supervisor(shop: Shop) -> Result<Managed, String> {
    need("supervisord")?;
    let dir = shop.path().display().to_string();
    let program = |name: &str, more: &str| format!("[program:{name}]\nautostart=false\nautorestart=false\n{more}\n");
    let config = format!(
        "[supervisord]\nnodaemon=true\nlogfile={dir}/supervisor.log\npidfile={dir}/supervisord.pid\nchildlogdir={dir}\n\
         [unix_http_server]\nfile={dir}/supervisor.sock\n[supervisorctl]\nserverurl=unix://{dir}/supervisor.sock\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n{}{}{}",
        program(
            "shop",
            &format!(
                "process_name=%(process_num)d\nnumprocs=3\nnumprocs_start=1\nstartsecs=0\nstopwaitsecs=60\n\
                 command=/bin/sh -c '{}' sh %(process_num)d",
                service(&shop)
            )
        ),
        program("flop", "startsecs=1\nstartretries=0\ncommand=/bin/false"),
        program("stumble", "startsecs=5\nstartretries=1000\ncommand=/bin/false")
            + &program("nobody", "command=/no/such/program"),
    );
    fs::write(shop.path().join("supervisord.conf"), config).expect("write supervisor's configuration");
    let mut daemon = Daemon::start(&shop, &["supervisord", "-c", &format!("{dir}/supervisord.conf")]);
    let socket = format!("{dir}/supervisor.sock");
    until("supervisord answers", || {
        assert!(
            daemon.runs(),
            "supervisord ended: {}",
            fs::read_to_string(format!("{dir}/supervisord.log")).unwrap_or_default()
        );
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    let mut managed = Managed::new(shop, format!("--via supervisor --socket {socket}"), ["shop:1", "shop:2", "shop:3"]);
    managed.keeper = Some(Box::new(daemon));
    Ok(managed)
}

/// A Docker engine of our own and a compose project of three services. The release is a bind mount of the link.
pub fn compose(shop: Shop) -> Result<Managed, String> {
    let docker = Docker::start(&shop)?;
    let dir = shop.path().display().to_string();
    let file = format!("{dir}/compose.yml");
    fs::write(&file, compose_project(&shop, 3, |i| format!("shop{i}"))).expect("write the project");
    let options = format!("--via compose --compose-file {file} --project shop");
    let mut managed = Managed::new(shop, options, ["shop1", "shop2", "shop3"]);
    managed.enter = docker.enter(managed.shop());
    managed.environment.insert("DOCKER_HOST".into(), docker.host());
    managed.keeper = Some(Box::new(docker));
    Ok(managed)
}

/// A compose file of so many services: each a shop-service on a port of the shop, in the release that the link named
/// when its container was made.
pub fn compose_project(shop: &Shop, instances: u32, name: impl Fn(u32) -> String) -> String {
    let (services, binaries) =
        (shop.services().dir().display().to_string(), binaries::directory().display().to_string());
    let entry = |i: u32| {
        format!(
            "  '{}':\n    image: {}\n    network_mode: host\n    pid: host\n    stop_grace_period: 30s\n    \
             volumes: ['/usr:/usr:ro', '{binaries}:{binaries}:ro', '{services}:{services}', '{root}/current:/release:ro']\n    \
             working_dir: /release\n    command: ['{binaries}/shop-service', '{port}', '{services}/shop@{i}.pid', '{services}/alive']\n",
            name(i),
            Docker::IMAGE,
            root = shop.root().display(),
            port = shop.services().port(i),
        )
    };
    format!("version: '2.4'\nservices:\n{}", (1..=instances).map(entry).collect::<String>())
}

/// Commands for every action, here those of shop-manager.
pub fn exec(shop: Shop) -> Managed {
    let command = |action: &str| format!(" --command {action}='shop-manager {action} {{instance}}'");
    let options = format!("--via exec{}", ["start", "stop", "restart", "status"].map(command).concat());
    Managed::new(shop, options, ["shop@1", "shop@2", "shop@3"])
}

/// A double of Upstart's `initctl` with one job `shop` that has instances by the variable `N`.
pub fn upstart(shop: Shop) -> Managed {
    fs::create_dir_all(shop.path().join("bin")).expect("make a directory for programs");
    shop.program("initctl", INITCTL);
    let path =
        format!("{}/bin:{}:/usr/sbin:/usr/bin:/sbin:/bin", shop.path().display(), binaries::directory().display());
    let mut managed = Managed::new(shop, "--via upstart --instance-key N", ["shop@1", "shop@2", "shop@3"]);
    managed.environment.insert("PATH".into(), path);
    managed
}

/// What Upstart 1.x prints, word for word.
const INITCTL: &str = r#"
verb=$1 job=$2 i=${3#N=}
[ "$job" = shop ] || { echo "initctl: Unknown job: $job" >&2; exit 1; }
pid=$(shop-manager status "shop@$i") || pid=
case $verb:${pid:+up} in
status:up) echo "shop ($i) start/running, process $pid" ;;
status: | stop: | reload:) echo "initctl: Unknown instance: $i" >&2; exit 1 ;;
start:up) echo "initctl: Job is already running: shop ($i)" >&2; exit 1 ;;
start:)
    shop-manager start "shop@$i"
    pid=$(shop-manager status "shop@$i") || { echo "initctl: Job failed to start" >&2; exit 1; }
    echo "shop ($i) start/running, process $pid" ;;
stop:up) shop-manager stop "shop@$i"; echo "shop stop/waiting" ;;
reload:up) kill -HUP "$pid" ;;
*) echo "initctl: unknown command: $verb" >&2; exit 1 ;;
esac"#;

/// Three gunicorns that a signal has start their successors. `--command start` is what starts one that is down.
pub fn gunicorn(shop: Shop) -> Result<Managed, String> {
    need("gunicorn")?;
    let start = "cd $ROOT/current && PWD=$ROOT/current PORT=${PORTS}{i} exec gunicorn -D -w 1 -b 127.0.0.1:${PORTS}{i} \
         -p $SERVICES/shop@{i}.pid --log-file $SERVICES/shop@{i}.log app:app";
    let options = format!(
        "--via signal --pidfile {}/shop@{{i}}.pid --signals USR2,wait-new,WINCH,TERM --command 'start={start}'",
        shop.services().dir().display()
    );
    let mut managed = Managed::new(shop, options, ["shop@1", "shop@2", "shop@3"]);
    managed.keeper = Some(Box::new(()));
    Ok(managed)
}

fn need(program: &str) -> Result<(), String> {
    if skip::has(program) { Ok(()) } else { Err(format!("{program} is not installed")) }
}
