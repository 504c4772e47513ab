//! What other tools' layouts become.

use super::super::logs;
use super::*;

fn at(text: &str) -> SystemTime {
    record::clock::parse_rfc3339(text).expect("a time")
}

fn now() -> SystemTime {
    at("2026-12-01T00:00:00Z")
}

fn directory(name: &str) -> Directory {
    Directory {
        id: name.parse().expect("legal"),
        modified: at("2026-11-01T00:00:00Z"),
        revision: None,
        bad: false,
        keep_until: Vec::new(),
        ours: false,
    }
}

fn layout(owner: Owner, names: &[&str], live: &str, log: Vec<Logged>) -> Layout {
    let releases = names.iter().map(|name| directory(name)).collect();
    Layout { owner: Some(owner), releases, log, live: Some(live.parse().expect("legal")), ..Layout::default() }
}

fn told(layout: &Layout) -> String {
    let words = plan(layout, false, now()).events.into_iter().map(|event| {
        let sign = match event.kind {
            EventKind::Live => '>',
            EventKind::Good => '+',
            EventKind::Bad => '-',
        };
        format!("{sign}{}", event.id)
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn capistranos_history_is_told_with_its_rollbacks() {
    let log = "Branch main (at aaaaaaa) deployed as release 20261101000000 by anna\n\
               Branch main (at bbbbbbb) deployed as release 20261102000000 by anna\n\
               Branch main (at ccccccc) deployed as release 20261103000000 by anna\n\
               berta rolled back to release 20261102000000\n";
    let names = ["20261103000000", "20261102000000"];
    let capistrano = layout(Owner::Capistrano, &names, "20261102000000", logs::revisions_log(log));
    assert_eq!(
        told(&capistrano),
        ">20261102000000 +20261102000000 >20261103000000 +20261103000000 -20261103000000 >20261102000000",
        "what is gone is not told of"
    );
    let adoption = plan(&capistrano, false, now());
    let order: Vec<&str> = adoption.releases.iter().map(|release| release.id.as_str()).collect();
    assert_eq!(order, ["20261102000000", "20261103000000"], "oldest first");
    assert_eq!(adoption.releases[0].revision.as_deref(), Some("bbbbbbb"));
    assert_eq!(adoption.releases[0].created_at, at("2026-11-02T00:00:00Z"));
}

#[test]
fn deployers_releases_are_in_the_order_of_numbers_and_a_bad_one_was_never_good() {
    let line = |name: &str| format!("{{\"created_at\":\"2026-11-21T07:10:00+0000\",\"release_name\":\"{name}\"}}\n");
    let log: String = ["8", "9", "10", "11"].map(line).concat();
    let mut deployer = layout(Owner::Deployer, &["10", "11", "8", "9"], "10", logs::releases_log(&log));
    deployer.releases[3].bad = true;
    assert_eq!(told(&deployer), ">8 >10 -9", "11 is newer than what is live: it never got there");
    let order: Vec<String> = plan(&deployer, false, now()).releases.iter().map(|r| r.id.to_string()).collect();
    assert_eq!(order, ["8", "9", "10", "11"]);
}

#[test]
fn what_is_live_ends_the_history_whatever_the_log_says() {
    let log = logs::releases_txt("/x/releases/2026-11-01_00.00\n/x/releases/2026-11-02_00.00\n");
    let names = ["2026-11-01_00.00", "2026-11-02_00.00"];
    let commcare = layout(Owner::Commcare, &names, "2026-11-01_00.00", log);
    let told = told(&commcare);
    assert!(told.ends_with("+2026-11-02_00.00 >2026-11-01_00.00"), "{told}");
    let plain = Layout { owner: None, log: Vec::new(), ..commcare };
    assert_eq!(self::told(&plain), ">2026-11-01_00.00");
}

#[test]
fn a_keep_until_file_becomes_a_pin_and_one_that_does_not_read_a_long_one() {
    for (dates, expected) in [
        (vec![], None),
        (vec![Ok(at("2026-11-30T00:00:00Z"))], None),
        (vec![Ok(at("2026-12-24T10:00:00Z")), Ok(at("2026-12-02T10:00:00Z"))], Some("2026-12-24T10:00:00Z")),
    ] {
        let mut one = layout(Owner::Commcare, &["a"], "a", Vec::new());
        one.releases[0].keep_until = dates;
        let until = plan(&one, false, now()).pins.first().map(|(_, until, _)| record::clock::rfc3339(*until));
        assert_eq!(until.as_deref(), expected);
    }
    let mut one = layout(Owner::Commcare, &["a"], "a", Vec::new());
    one.releases[0].keep_until = vec![Ok(at("2026-12-24T10:00:00Z")), Err("KEEP_UNTIL__soon".into())];
    let adoption = plan(&one, false, now());
    assert!(adoption.pins[0].1 > now() + Duration::from_secs(50 * 365 * 86_400));
    assert_eq!(adoption.warnings.len(), 1);
}

#[test]
fn what_was_taken_over_is_not_taken_over_again() {
    let mut one = layout(Owner::Capistrano, &["a"], "a", Vec::new());
    one.releases[0].ours = true;
    let adoption = plan(&one, true, now());
    assert!(adoption.releases.is_empty() && adoption.events.is_empty() && adoption.pins.is_empty());
}
