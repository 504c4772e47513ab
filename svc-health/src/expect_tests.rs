//! Heads and bodies, and what is said about them.

use super::*;

fn expecting(statuses: &str, fields: &[&str], bodies: &[&str]) -> Expectations {
    Expectations {
        statuses: statuses.parse().unwrap(),
        fields: fields.iter().map(|text| text.parse().unwrap()).collect(),
        bodies: bodies.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

#[test]
fn heads_are_judged() {
    let to: &[(&str, &[u8])] = &[("Location", b"https://u:geheim@shop.example/x?t=geheim")];
    let typed: &[(&str, &[u8])] = &[("content-type", b"text/html"), ("Content-Type", b"application/json")];
    for (statuses, fields, status, words, sent, verdict) in [
        ("200-299", &[] as &[&str], 200, "OK", &[] as &[(&str, &[u8])], Ok(())),
        ("200-299", &[], 500, "Internal Server Error", &[], Err("500 Internal Server Error")),
        ("200-299", &[], 599, "", &[], Err("599")),
        ("200-299", &[], 301, "Moved Permanently", to, Err("301 to https://shop.example/x")),
        ("200-299,401", &[], 401, "Unauthorized", &[], Ok(())),
        ("301", &[], 301, "Moved", to, Ok(())),
        ("200", &["Content-Type: json"], 200, "OK", typed, Ok(())),
        ("200", &["Content-Type: /^text/"], 200, "OK", typed, Ok(())),
        ("200", &["Content-Type: xml"], 200, "OK", typed, Err("200 OK, but the field Content-Type is not as expected")),
        ("200", &["X-Release"], 200, "OK", typed, Err("200 OK, without the field X-Release")),
    ] {
        let head = Head { status, words, fields: sent.to_vec() };
        let said = expecting(statuses, fields, &[]).judge_head(&head);
        assert_eq!(said, verdict.map_err(str::to_owned), "{statuses} {fields:?} {status}");
    }
}

#[test]
fn bodies_are_judged() {
    for (pattern, body, passes) in [
        ("ok", "all ok here", true),
        ("ok", "", false),
        ("/^\\{\"ok\":true/", "{\"ok\":true}", true),
        ("/^ok$/", "not ok", false),
        ("/", "a/b", true),
    ] {
        let expected = expecting("200", &[], &[pattern]);
        assert_eq!(expected.judge_body("200 OK", body.as_bytes(), true).is_ok(), passes, "{pattern} in {body}");
    }
}

#[test]
fn wrong_expectations_are_refused() {
    for statuses in ["", "abc", "99", "600", "299-200", "200-", "200,,201"] {
        assert!(statuses.parse::<Statuses>().is_err(), "{statuses}");
    }
    assert!("/(/".parse::<Pattern>().is_err());
    assert!("a b: c".parse::<Field>().is_err());
}
