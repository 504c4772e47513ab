//! Every kind of target, what may be expected of it, and what it must never tell.

#![expect(clippy::disallowed_methods, reason = "tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use record::sections::{HealthOutcome, HealthSection};
use support::{OK, Ran, Service, command, health};

#[test]
fn statuses_fields_and_bodies_are_expected() {
    let answer = "HTTP/1.1 401 Unauthorized\r\nX-Release: 12\r\nContent-Length: 13\r\n\r\n{\"up\":\"geheim";
    let service = Service::saying(answer);
    for (words, status, reason) in [
        (vec![], 3, "401 Unauthorized"),
        (vec!["--expect-status", "200-299,401"], 0, ""),
        (vec!["--expect-status", "401", "--expect-body", "\"up\""], 0, ""),
        (vec!["--expect-status", "401", "--expect-body", "/^.\"up\":/"], 0, ""),
        (
            vec!["--expect-status", "401", "--expect-body", "down"],
            3,
            "401 Unauthorized, but the body is not as expected",
        ),
        (vec!["--expect-status", "401", "--expect-header", "x-release: /^12$/"], 0, ""),
        (
            vec!["--expect-status", "401", "--expect-header", "X-Release: 13"],
            3,
            "the field X-Release is not as expected",
        ),
        (vec!["--expect-status", "401", "--expect-header", "X-Other"], 3, "without the field X-Other"),
    ] {
        let url = service.url("/");
        let ran = health(&[&[url.as_str()], &words[..]].concat());
        assert_eq!(ran.status, status, "{words:?}: {ran:?}");
        assert!(ran.reason().contains(reason), "{words:?}: {ran:?}");
        assert!(!ran.stdout.contains("geheim") && !ran.stderr.contains("geheim"), "{words:?}: {ran:?}");
    }
}

#[test]
fn a_field_with_a_secret_reaches_the_service_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    std::fs::write(&secret, "Bearer geheim\n").unwrap();
    let heard = Arc::new(Mutex::new(String::new()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, hears) = (listener.local_addr().unwrap(), Arc::clone(&heard));
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        let length = connection.read(&mut bytes).unwrap();
        *hears.lock().unwrap() = String::from_utf8_lossy(&bytes[..length]).into_owned();
        connection.write_all(b"HTTP/1.1 500 Broken\r\n\r\n").unwrap();
    });
    let ran = health(&[
        &format!("http://{address}/p?q=geheim"),
        "-v",
        "--header",
        &format!("Authorization: @{}", secret.display()),
    ]);
    server.join().unwrap();
    let heard = heard.lock().unwrap();
    assert!(
        heard.starts_with("GET /p?q=geheim HTTP/1.1\r\n") && heard.contains("\r\nAuthorization: Bearer geheim\r\n")
    );
    assert_eq!(ran.status, 3);
    assert!(!ran.stdout.contains("geheim") && !ran.stderr.contains("geheim"), "{ran:?}");
}

#[test]
fn sockets_of_both_kinds_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let socket = path.to_str().unwrap();
    let target = format!("unix://{socket}");
    assert_eq!(health(&[&target]).reason(), "no such socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut request = [0; 1024];
            if connection.read(&mut request).is_ok_and(|length| length > 0) {
                drop(connection.write_all(OK.as_bytes()));
            }
        }
    });
    let over_http = format!("http+unix://{socket}:/healthz");
    let encoded = format!("http+unix://{}/healthz", socket.replace('/', "%2F"));
    let ran = health(&[&target, &over_http, &encoded]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.stage().section::<HealthSection>().unwrap().targets[2].target, over_http);
    let service = Service::saying(OK);
    assert_eq!(health(&[&format!("tcp://{}", service.address)]).status, 0);
    assert_eq!(health(&[&format!("tcp://localhost:{}", service.address.port())]).status, 0);
}

#[test]
fn commands_say_yes_no_or_nothing() {
    for (command, status, outcome, reason) in [
        ("exec:exit 0", 0, HealthOutcome::Healthy, ""),
        ("exec:test -z \"$(cat)\"", 0, HealthOutcome::Healthy, ""),
        ("exec:echo hello; exit 7", 3, HealthOutcome::Unhealthy, "the command exited with 7"),
        ("exec:kill -9 $$", 3, HealthOutcome::Unhealthy, "the command was ended by signal 9"),
        ("exec:sleep 30", 3, HealthOutcome::Unhealthy, "within 300ms"),
        ("exec:no-such-program-here", 1, HealthOutcome::Unknown, "cannot be run"),
    ] {
        let ran = health(&[command, "--timeout", "300ms"]);
        assert_eq!((ran.status, ran.target().outcome), (status, outcome), "{command}: {ran:?}");
        assert!(ran.reason().contains(reason), "{command}: {ran:?}");
        assert!(!ran.stdout.contains("hello"), "{command}: {ran:?}");
    }
    let unknown = health(&["exec:no-such-program-here"]).record().error.unwrap();
    assert_eq!((unknown.code.as_str(), unknown.blame), ("health.unknown", None));
}

#[test]
fn pid_files_name_a_process_that_lives_or_they_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.pid");
    let target = format!("pidfile:{}", path.display());
    assert_eq!(health(&[&target]).reason(), "no pid file");
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(&path, format!("{}\n", child.id())).unwrap();
    assert_eq!(health(&[&target]).status, 0);
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    let ran = health(&[&target]);
    assert!(ran.status == 3 && ran.reason().contains("(sleep) began after the pid file was written"), "{ran:?}");
    std::fs::write(&path, format!("{}\n", child.id())).unwrap();
    child.kill().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // Nobody has collected it: it is there, and has ended.
    let ran = health(&[&target, "--wait", "2s"]);
    assert!(ran.status == 3 && ran.reason().contains("has ended"), "{ran:?}");
    child.wait().unwrap();
    std::fs::write(&path, "abc").unwrap();
    assert_eq!(health(&[&target]).reason(), "the pid file holds no process number");
    drop(std::fs::remove_file(&path));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(health(&[&target]).reason(), "the pid file is empty");
}

#[test]
fn whoever_answers_must_run_from_the_release() {
    let folder = tempfile::tempdir().unwrap();
    for release in ["v1", "v2"] {
        std::fs::create_dir_all(folder.path().join("releases").join(release)).unwrap();
    }
    let of = |release: &str| folder.path().join("releases").join(release);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket: OwnedFd = listener.try_clone().unwrap().into();
    let service = Service::on(listener, |_, connection| drop(connection.write_all(OK.as_bytes())));
    // The test's own process answers, from no release; a process of v1 holds the same socket.
    let mut holder = Command::new("sleep").arg("60").current_dir(of("v1")).stdin(Stdio::from(socket)).spawn().unwrap();
    let asked = |release: &str| {
        let url = service.url("/");
        Ran::of(command(&["-n", &url, "--expect-release"]).env("CUTOVER_RELEASE_PATH", of(release)).output().unwrap())
    };
    let (right, wrong) = (asked("v1"), asked("v2"));
    std::os::unix::fs::symlink("releases/v1", folder.path().join("current")).unwrap();
    let root = folder.path().to_str().unwrap();
    let by_root = health(&[&service.url("/"), "--expect-release", "--root", root]);
    let missing = health(&[&service.url("/"), "--expect-release"]);
    let pid = holder.id();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!((right.status, by_root.status), (0, 0), "{right:?} {by_root:?}");
    assert_eq!((wrong.status, wrong.target().outcome), (3, HealthOutcome::Unhealthy), "{wrong:?}");
    assert_eq!(wrong.reason(), format!("process {pid} (sleep) answers, and runs from release v1, not from v2"));
    assert_eq!((missing.status, missing.stdout.as_str()), (2, ""), "{missing:?}");
    let gone = asked("v3");
    assert_eq!((gone.status, gone.target().outcome), (1, HealthOutcome::Unknown), "{gone:?}");
}

#[test]
fn monitoring_gets_its_line_and_its_status() {
    let service = Service::saying(OK);
    let ran = health(&[&service.url("/"), "--nagios"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("HEALTH OK - 1 of 1 healthy | ") && ran.stdout.lines().count() == 1, "{ran:?}");
    let ran = health(&["tcp://127.0.0.1:1", "--nagios"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.stdout.contains("CRITICAL - 0 of 1 healthy, tcp://127.0.0.1:1: connection refused"), "{ran:?}");
    assert_eq!(health(&["exec:no-such-program-here", "--nagios"]).status, 3);
}

#[test]
fn only_changes_are_told_to_a_timer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let service = Service::new(|number, connection| {
        let answer = if number == 2 { "HTTP/1.1 500 Broken\r\n\r\n" } else { OK };
        drop(connection.write_all(answer.as_bytes()));
    });
    let url = service.url("/");
    let states: Vec<(i32, usize)> = (0..5)
        .map(|_| {
            let ran = health(&[&url, "--on-change", path.to_str().unwrap()]);
            (ran.status, std::fs::read_to_string(&path).unwrap().lines().count())
        })
        .collect();
    assert_eq!(states, [(0, 1), (0, 1), (3, 2), (0, 3), (0, 3)]);
}

#[test]
fn many_targets_are_asked_with_few_descriptors_and_little_memory() {
    let service = Service::saying(OK);
    let urls: Vec<String> = (0..1000).map(|number| format!("'{}'", service.url(&format!("/{number}")))).collect();
    let tool = env!("CARGO_BIN_EXE_svc-health");
    let script = format!("ulimit -n 40 -v 262144; exec '{tool}' -n {}", urls.join(" "));
    let ran = Ran::of(Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap());
    let counts = ran.stage().section::<HealthSection>().unwrap().counts;
    assert_eq!((ran.status, counts.healthy, service.asked()), (0, 1000, 1000), "{}", ran.stderr);
    assert!(ran.stdout.len() < 65 * 1024, "a stage is at most 64 KiB");
}
