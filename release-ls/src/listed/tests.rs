use store::{History, ReleaseId};

use super::*;

fn manifest(seq: u64) -> Manifest {
    Manifest {
        id: ReleaseId::new(format!("r{seq}")).unwrap(),
        seq,
        digest: "sha256:0".into(),
        files: 1,
        bytes: 2,
        created_at: "2026-11-21T07:10:00Z".into(),
        source: None,
        source_digest: None,
        shared: Vec::new(),
        pipe: None,
        by: Some("builder".into()),
        host: None,
        tool_version: None,
    }
}

fn line(seq: u64, kind: &str, to: u64, reason: Option<&str>) -> Entry {
    let line = serde_json::json!({
        "seq": seq, "at": format!("2026-11-21T08:00:{seq:02}Z"), "link": "current", "kind": kind,
        "to": format!("r{to}"), "to_seq": to, "target": format!("releases/r{to}"), "by": "ann", "reason": reason,
    });
    serde_json::from_value(line).unwrap()
}

fn link(name: &str, to: u64) -> store::link::LinkState {
    store::link::LinkState {
        name: Name::new(name).unwrap(),
        target: format!("releases/r{to}").into(),
        release: ReleaseId::new(format!("r{to}")).ok(),
        inside: None,
        problem: None,
    }
}

#[test]
fn a_release_shows_its_marks_who_made_it_live_and_why() {
    let inventory = Inventory {
        releases: (1..=3).map(manifest).collect(),
        links: vec![link("current", 1)],
        history: History::of([
            line(1, "done", 1, None),
            line(2, "good", 1, None),
            line(3, "done", 2, None),
            line(4, "bad", 2, Some("500s")),
            line(5, "done", 1, Some("back")),
        ]),
        ..Inventory::default()
    };
    let listed = list("/srv/shop", &inventory, None, SystemTime::UNIX_EPOCH);
    let shown: Vec<_> = listed
        .releases
        .iter()
        .map(|r| (r.id.as_str(), r.verdict, r.current.len(), r.previous.len(), r.by.as_deref(), r.reason.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            ("r3", LsVerdict::Never, 0, 0, Some("builder"), None),
            ("r2", LsVerdict::Bad, 0, 0, Some("ann"), Some("500s")),
            ("r1", LsVerdict::Good, 1, 0, Some("ann"), Some("back")),
        ]
    );
    assert_eq!(listed.releases[1].stopped_at.as_deref(), Some("2026-11-21T08:00:05Z"));
    assert_eq!(listed.releases[2].stopped_at, None);
    assert!(listed.remarks.is_empty(), "{:?}", listed.remarks);
}

#[test]
fn why_a_pipe_was_taken_back_is_said_of_the_release_that_failed() {
    let in_pipe = |pipe: &str, from: u64, entry: Entry| {
        let mut line = serde_json::to_value(entry).unwrap();
        line["pipe"] = pipe.into();
        line["from"] = format!("r{from}").into();
        serde_json::from_value::<Entry>(line).unwrap()
    };
    let inventory = Inventory {
        releases: (1..=3).map(manifest).collect(),
        links: vec![link("current", 1)],
        history: History::of([
            line(1, "done", 1, None),
            line(2, "done", 2, None),
            in_pipe("b", 2, line(3, "done", 3, None)),
            // After a signal nothing is marked bad, and only this line says why.
            in_pipe("b", 3, line(4, "done", 2, Some("undo: interrupted"))),
            in_pipe("c", 2, line(5, "bad", 2, None)),
            in_pipe("c", 2, line(6, "done", 1, None)),
        ]),
        ..Inventory::default()
    };
    let listed = list("/srv/shop", &inventory, None, SystemTime::UNIX_EPOCH);
    let reasons: Vec<_> = listed.releases.iter().map(|r| (r.id.as_str(), r.reason.as_deref())).collect();
    assert_eq!(reasons, [("r3", Some("undo: interrupted")), ("r2", Some("rolled back by ann")), ("r1", None)]);
}

#[test]
fn only_the_link_that_is_named_makes_marks_and_a_broken_one_is_remarked() {
    let mut broken = link("green", 9);
    broken.problem = Some("leads to nothing".into());
    let inventory = Inventory {
        releases: vec![manifest(1), manifest(2)],
        links: vec![link("blue", 1), link("current", 2), broken],
        history: History::of([line(1, "done", 2, None)]),
        ..Inventory::default()
    };
    let current = |only: Option<&str>| {
        let only = only.map(|name| Name::new(name).unwrap());
        let listed = list("/srv/shop", &inventory, only.as_ref(), SystemTime::UNIX_EPOCH);
        (listed.releases.into_iter().flat_map(|r| r.current).collect::<Vec<_>>(), listed.remarks.len())
    };
    assert_eq!(current(None), (vec!["current".into(), "blue".into()], 1));
    assert_eq!(current(Some("blue")), (vec!["blue".into()], 0));
}

#[test]
fn a_link_that_leads_to_nothing_comes_with_the_command_that_leads_it_to_a_release() {
    let said = |releases: &[u64], name: &str, live: &[u64]| {
        let mut broken = link(name, 9);
        broken.problem = Some("leads to nothing".into());
        let live = live.iter().chain([&9]).zip(1..).map(|(&to, seq)| {
            let mut line = serde_json::to_value(line(seq, "done", to, None)).unwrap();
            line["link"] = name.into();
            serde_json::from_value(line).unwrap()
        });
        let inventory = Inventory {
            releases: releases.iter().copied().map(manifest).collect(),
            links: vec![broken],
            history: History::of(live),
            ..Inventory::default()
        };
        list("/srv/shop", &inventory, None, SystemTime::UNIX_EPOCH).remarks.join("\n")
    };
    for (releases, name, live, next) in [
        (
            &[1, 2][..],
            "current",
            &[1, 2][..],
            "release-switch --rollback goes back to r2, release-switch --to ID to another",
        ),
        (
            &[1],
            "blue",
            &[1],
            "release-switch --rollback --link blue goes back to r1, release-switch --to ID --link blue to another",
        ),
        (&[1], "current", &[2], "release-switch --to ID leads it to a release that is there"),
        (&[], "current", &[1], "there is no release; release-mk makes one"),
    ] {
        assert_eq!(said(releases, name, live), format!("link {name} -> releases/r9 leads to nothing: {next}"));
    }
}

#[test]
fn a_link_that_is_lost_is_told_unless_the_history_knows_it_gone_and_others_are_there() {
    let gone = |seq| {
        let line = serde_json::json!({"seq": seq, "at": "2026-11-21T08:00:09Z", "link": "current", "kind": "found"});
        serde_json::from_value::<Entry>(line).unwrap()
    };
    let told = |entries: Vec<Entry>, links: Vec<store::link::LinkState>, standing: Option<&str>| {
        let inventory = Inventory { links, history: History::of(entries), ..Inventory::default() };
        lost(&inventory, &Name::new("current").unwrap(), standing).unwrap_or_default()
    };
    let live = || line(1, "done", 1, None);
    for (entries, links, standing, expected) in [
        (vec![live()], vec![], None, "the link current is missing; r1 was live"),
        (vec![live()], vec![], Some("a directory"), "current is a directory, no link; r1 was live"),
        (vec![live(), gone(2)], vec![], None, "the link current is missing; r1 was live"),
        (vec![live(), gone(2)], vec![link("blue", 1)], None, ""),
        (vec![], vec![], None, ""),
    ] {
        assert_eq!(told(entries, links, standing), expected);
    }
}

#[test]
fn a_history_that_is_lost_is_remarked_where_something_of_ours_is_live() {
    let said = |releases: Vec<Manifest>, lines: Vec<Entry>| {
        let history = History::of(lines);
        let inventory = Inventory { releases, links: vec![link("current", 1)], history, ..Inventory::default() };
        list("/srv/shop", &inventory, None, SystemTime::UNIX_EPOCH).remarks.join("; ")
    };
    let lost = "there is no history: what was live before current names what it does is not known";
    assert_eq!(said(vec![manifest(1), manifest(2)], vec![]), lost);
    assert_eq!(said(vec![manifest(1)], vec![line(1, "found", 1, None)]), "");
    // What another tool made and nobody took over yet is remarked as such.
    assert_eq!(said(vec![], vec![]), "link current names r1, which is no release of ours");
}
