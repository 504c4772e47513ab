//! Services that misbehave in every way we know: each is told for what it is, within the attempt's time.

#![expect(clippy::disallowed_methods, reason = "tests")]

mod support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use record::sections::HealthOutcome;
use support::{OK, Service, health};

type Answer = Box<dyn Fn(usize, &mut TcpStream) + Send + Sync>;

fn says(bytes: &'static str) -> Answer {
    Box::new(move |_, connection| drop(connection.write_all(bytes.as_bytes())))
}

fn repeats(first: &'static str, then: &'static [u8], pause: Duration) -> Answer {
    Box::new(move |_, connection| {
        let mut sent = connection.write_all(first.as_bytes());
        while sent.is_ok() {
            std::thread::sleep(pause);
            sent = connection.write_all(then);
        }
    })
}

#[test]
fn each_answer_is_told_for_what_it_is() {
    let (at_once, slowly) = (Duration::ZERO, Duration::from_millis(40));
    let rows: Vec<(&str, Answer, i32, &str)> = vec![
        ("a length", says(OK), 0, ""),
        ("chunks", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), 0, ""),
        ("up to the end", says("HTTP/1.0 200 OK\r\n\r\nok"), 0, ""),
        ("no body", says("HTTP/1.1 204 No Content\r\n\r\n"), 0, ""),
        ("an interim answer", says("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), 0, ""),
        ("500", says("HTTP/1.1 500 Internal Server Error\r\n\r\n"), 3, "500 Internal Server Error"),
        (
            "301",
            says("HTTP/1.1 301 Moved Permanently\r\nLocation: https://shop.example/?t=geheim\r\n\r\n"),
            3,
            "301 to https://shop.example/",
        ),
        ("nothing, and hangs up", says(""), 3, "the connection was closed without an answer"),
        ("half a head", says("HTTP/1.1 200 OK\r\nA: b"), 3, "the connection was closed in the head of the answer"),
        (
            "half a body",
            says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
            3,
            "200 OK, but the connection was closed in the body of the answer",
        ),
        ("garbage", says("\0\u{1}\u{2}garbage\r\n\r\n"), 3, "the answer has no HTTP/1.1 status line"),
        ("another protocol", says("SSH-2.0-OpenSSH_9.2\r\n"), 3, "the answer has no HTTP/1.1 status line"),
        ("a garbled field", says("HTTP/1.1 200 OK\r\n: x\r\n\r\n"), 3, "the head of the answer is garbled"),
        (
            "garbled chunks",
            says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            3,
            "its chunks are garbled",
        ),
        ("says nothing", Box::new(|_, _| std::thread::park()), 3, "(waiting for the head of the answer)"),
        ("a byte at a time", repeats("", b"H", slowly), 3, "(waiting for the head of the answer, "),
        ("an endless head", repeats("HTTP/1.1 200 OK\r\n", b"A: b\r\n", at_once), 3, "the head of the answer "),
        ("a dripping body", repeats("HTTP/1.1 200 OK\r\n\r\n", b"x", slowly), 3, "(reading the body, "),
        ("an endless body", repeats("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 9999], at_once), 3, "(reading the body, "),
        (
            "an endless chunk's head",
            repeats("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1", at_once),
            3,
            "its chunks are garbled",
        ),
    ];
    for (name, answer, status, reason) in rows {
        let service = Service::new(answer);
        let began = Instant::now();
        let ran = health(&[&service.url("/"), "--timeout", "400ms"]);
        assert_eq!(ran.status, status, "{name}: {ran:?}");
        assert!(ran.reason().contains(reason), "{name}: {ran:?}");
        assert!(!ran.stdout.contains("geheim") && !ran.stderr.contains("geheim"), "{name}: {ran:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{name} took {:?}", began.elapsed());
        assert_eq!(service.asked(), 1, "{name}: one attempt decides");
        if status == 3 {
            assert_eq!((ran.code().as_str(), ran.target().outcome), ("health.unhealthy", HealthOutcome::Unhealthy));
        }
    }
}

#[test]
fn a_service_that_never_starts_is_starting_until_the_deadline() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = health(&[&format!("http://{free}/"), "--wait", "300ms"]);
    assert_eq!((ran.status, ran.code().as_str()), (3, "health.deadline"), "{ran:?}");
    let target = ran.target();
    assert_eq!((target.outcome, target.reason.as_deref()), (HealthOutcome::Starting, Some("connection refused")));
    assert!(target.attempts > 10, "{target:?}");
    let blame = ran.record().error.unwrap().blame;
    assert_eq!(blame, Some(record::Blame::Release));
}

#[test]
fn one_that_hangs_is_unhealthy_at_the_deadline_though_no_attempt_has_ended() {
    let service = Service::new(|_, _| std::thread::park());
    let ran = health(&[&service.url("/"), "--wait", "300ms"]);
    assert_eq!((ran.status, ran.target().outcome), (3, HealthOutcome::Unhealthy), "{ran:?}");
    assert!(ran.reason().contains("waiting for the head"), "{ran:?}");
}

#[test]
fn a_late_one_is_noticed() {
    let service = Service::new(|number, connection| {
        let answer = if number < 7 { "HTTP/1.1 503 Starting\r\n\r\n" } else { OK };
        drop(connection.write_all(answer.as_bytes()));
    });
    let ran = health(&[&service.url("/"), "--wait", "20s"]);
    let target = ran.target();
    assert_eq!((ran.status, target.attempts, target.failures[0].times), (0, 8, 7), "{ran:?}");
    assert_eq!(target.failures[0].reason, "503 Starting");
}

#[test]
fn healthy_then_dead_within_the_window_is_not_healthy() {
    let service = Service::new(|number, connection| {
        let answer = if number < 3 { OK } else { "HTTP/1.1 500 Broken\r\n\r\n" };
        drop(connection.write_all(answer.as_bytes()));
    });
    let ran = health(&[&service.url("/"), "--wait", "1500ms", "--stable", "600ms"]);
    assert_eq!((ran.status, ran.code().as_str()), (3, "health.deadline"), "{ran:?}");
    assert_eq!((ran.target().outcome, ran.reason().as_str()), (HealthOutcome::Unhealthy, "500 Broken"));
    assert!(service.asked() > 3);
}

#[test]
fn one_that_flaps_never_convinces() {
    let service = Service::new(|number, connection| {
        let answer = if number % 3 == 2 { "HTTP/1.1 500 Broken\r\n\r\n" } else { OK };
        drop(connection.write_all(answer.as_bytes()));
    });
    let ran = health(&[&service.url("/"), "--wait", "1s", "--interval", "20ms", "--passes", "3"]);
    assert_eq!((ran.status, ran.code().as_str()), (3, "health.deadline"), "{ran:?}");
    assert!(ran.target().failures.len() > 2, "every break is told: {ran:?}");
}

#[test]
fn a_slow_attempt_is_no_outage_when_more_than_one_must_fail() {
    let service = Service::new(|number, connection| {
        if number == 1 {
            std::thread::park();
        }
        drop(connection.write_all(OK.as_bytes()));
    });
    let words = ["--timeout", "100ms", "--interval", "50ms", "--stable", "400ms", "--fails", "2", "--wait", "10s"];
    let ran = health(&[&[service.url("/").as_str()], &words[..]].concat());
    assert_eq!(ran.status, 0, "{ran:?}");
}

#[test]
fn all_must_be_healthy_at_the_same_time() {
    let dies = Service::new(|number, connection| {
        let answer = if number == 0 { OK } else { "HTTP/1.1 500 Broken\r\n\r\n" };
        drop(connection.write_all(answer.as_bytes()));
    });
    let late = Service::new(|number, connection| {
        let answer = if number < 100 { "HTTP/1.1 503 Starting\r\n\r\n" } else { OK };
        drop(connection.write_all(answer.as_bytes()));
    });
    let ran = health(&[&dies.url("/"), &late.url("/"), "--wait", "2s", "--interval", "50ms"]);
    assert_eq!((ran.status, ran.target().outcome), (3, HealthOutcome::Unhealthy), "{ran:?}");
}

#[test]
fn one_attempt_at_a_time() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let service = Service::new(|_, connection| {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(60));
        NOW.fetch_sub(1, Ordering::SeqCst);
        drop(connection.write_all(b"HTTP/1.1 500 Broken\r\n\r\n"));
    });
    let ran = health(&[&service.url("/"), "--wait", "600ms", "--interval", "10ms"]);
    assert_eq!((ran.status, MOST.load(Ordering::SeqCst)), (3, 1), "{ran:?}");
    assert!(service.asked() > 3, "{}", service.asked());
}
