//! Targets as they are typed, and what is shown of them.

use super::*;

#[test]
fn targets_are_read_and_shown() {
    for (given, shown) in [
        ("http://127.0.0.1:8001/healthz", "http://127.0.0.1:8001/healthz"),
        ("http://localhost", "http://localhost/"),
        ("HTTP://localhost:80/", "http://localhost/"),
        ("http://shop.example?token=geheim", "http://shop.example/"),
        ("http://h/p?token=geheim#part", "http://h/p"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("https://shop.example/healthz", "https://shop.example/healthz"),
        ("https://shop.example:8443/", "https://shop.example:8443/"),
        ("http+unix://%2Frun%2Fapp.sock/healthz", "http+unix:///run/app.sock:/healthz"),
        ("http+unix:///run/app.sock:/healthz", "http+unix:///run/app.sock:/healthz"),
        ("http+unix:///run/app.sock", "http+unix:///run/app.sock:/"),
        ("tcp://db:5432", "tcp://db:5432"),
        ("tcp://[::1]:5432/", "tcp://[::1]:5432"),
        ("unix:///run/app.sock", "unix:///run/app.sock"),
        ("unix:/run/app.sock", "unix:///run/app.sock"),
        ("systemd:shop@1", "systemd:shop@1"),
        ("systemd+user:shop.service", "systemd+user:shop.service"),
        ("pidfile:/run/shop.pid", "pidfile:/run/shop.pid"),
        ("exec:/usr/lib/check-db --password geheim", "exec:/usr/lib/check-db"),
        ("exec:TOKEN=geheim check", "exec:…"),
    ] {
        let target: Target = given.parse().unwrap_or_else(|reason| panic!("{given}: {reason}"));
        assert_eq!(target.label(), shown, "{given}");
        assert!(!target.label().contains("geheim"));
    }
}

#[test]
fn a_request_keeps_the_query_and_the_right_host() {
    let of = |text: &str| match text.parse() {
        Ok(Target::Http(url)) => (url.host, url.path),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(of("http://h:8080/p?q=1#f"), ("h:8080".into(), "/p?q=1".into()));
    assert_eq!(of("http://h?q"), ("h".into(), "/?q".into()));
    assert_eq!(of("https://h:80/"), ("h:80".into(), "/".into()));
    assert_eq!(of("http://[::1]/"), ("[::1]".into(), "/".into()));
    assert_eq!(of("http+unix:///run/a.sock:/p?q"), ("localhost".into(), "/p?q".into()));
}

#[test]
fn what_is_no_target_is_refused_with_a_reason() {
    let long = format!("unix:///{}", "x".repeat(200));
    for (given, reason) in [
        ("", "begins with http://"),
        ("localhost", "begins with http://"),
        ("localhost:8080/healthz", "did you mean http://localhost:8080/healthz?"),
        ("shop.example/x?token=1", "did you mean http://shop.example/x?"),
        ("ftp://h/", "begins with http://"),
        ("http:/h", "followed by //"),
        ("http://", "is no host"),
        ("http://user:pass@h/", "no user or password"),
        ("http://h:0/", "is no port"),
        ("http://h:99999/", "is no port"),
        ("http://::1/", "is no port"),
        ("http://[::1/", "ends with ]"),
        ("http://[1.2.3.4]/", "is no IPv6 address"),
        ("http://h/a b", "write it as %XX"),
        ("http://h/\r\nX: 1", "no control characters"),
        ("http://$(id)/", "is no host"),
        ("tcp://h", "HOST:PORT"),
        ("unix://app.sock", "absolute path"),
        (long.as_str(), "at most 107 bytes"),
        ("http+unix://%2/x", "two hexadecimal digits"),
        ("http+unix://%00/x", "two hexadecimal digits"),
        ("exec:", "needs a command"),
        ("exec:  ", "needs a command"),
        ("systemd:", "no name of a unit"),
        ("systemd:a b", "no name of a unit"),
        ("systemd:--help", "no name of a unit"),
        ("pidfile:shop.pid", "absolute path"),
    ] {
        let refusal = given.parse::<Target>().expect_err(given);
        assert!(refusal.contains(reason), "{given}: {refusal}");
    }
}
