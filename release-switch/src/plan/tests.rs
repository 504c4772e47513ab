//! Which release is chosen, as tables and laws.

use super::*;

fn id(text: &str) -> ReleaseId {
    text.parse().expect("a legal id")
}

fn names(release: &str, inside: Option<&str>) -> LinkState {
    let to = Target { release: id(release), inside: inside.map(PathBuf::from) };
    LinkState { name: link(), target: to.text(), release: Some(to.release), inside: to.inside, problem: None }
}

fn live(release: &str) -> Option<LinkState> {
    Some(names(release, None))
}

fn link() -> Name {
    Name::new("current").expect("legal")
}

fn seq(text: &str) -> u64 {
    u64::from(text.as_bytes()[0])
}

/// `"a+ b- c"`: a was live and good, then b and bad, then c and nobody said; `?` marks what is gone by now.
fn history(past: &str) -> History {
    let mut entries = Vec::new();
    for word in past.split_whitespace() {
        let name = word.trim_end_matches(['+', '-', '?']);
        let kinds = match &word[name.len()..] {
            "+" => vec![Kind::Done, Kind::Good],
            "-" => vec![Kind::Done, Kind::Bad],
            _ => vec![Kind::Done],
        };
        for kind in kinds {
            let line = entries.len() as u64 + 1;
            let text = serde_json::json!({"seq": line, "at": "2026-11-21T07:10:00Z", "link": "current", "kind": kind,
                "to": name, "to_seq": seq(name), "target": format!("releases/{name}")});
            entries.push(serde_json::from_value(text).expect("an entry"));
        }
    }
    History::of(entries)
}

fn choose(now: Option<LinkState>, past: &str, wish: &Wish, expected: Option<&str>) -> Result<Plan, Failure> {
    let gone: Vec<&str> = past.split_whitespace().filter_map(|word| word.strip_suffix('?')).collect();
    let present = |id: &ReleaseId, _: u64| !gone.contains(&id.as_str());
    let expected = expected.map(id);
    let situation = Situation {
        root: Path::new("/srv/shop"),
        link: &link(),
        now: now.as_ref(),
        history: &history(past),
        present: &present,
    };
    plan(&situation, wish, expected.as_ref())
}

fn named(text: &str) -> Wish {
    Wish::Named { id: id(text), verdict: Verdict::Never, file: None }
}

#[test]
fn a_rollback_takes_the_newest_good_one_that_was_active_before() {
    for (past, expected) in [
        ("a+ b+", Some("a")),
        ("a+ b", Some("a")),
        ("a+ b c", Some("a")),
        ("a+ b- c+", Some("a")),
        ("a+ b+ c+", Some("b")),
        // After a rollback that left c: on to a, never back to c.
        ("a+ b+ c- b+", Some("a")),
        ("a+ b- c- b- a+", None),
        // No good one at all: the newest that is not bad.
        ("a b c", Some("b")),
        ("a b- c", Some("a")),
        // What is gone cannot be chosen.
        ("a b? c", Some("a")),
        ("a? b+", None),
        ("a+", None),
    ] {
        let now = &past.split_whitespace().last().expect("one")[..1];
        match (choose(live(now), past, &Wish::Previous, None), expected) {
            (Ok(plan), Some(expected)) => {
                assert_eq!(plan.to, Target::release(id(expected)), "{past}");
                assert_eq!(plan.condemned, Some(id(now)), "{past}");
                assert!(plan.changed);
            }
            (Err(failure), None) => assert_eq!(failure.exit().code(), 69, "{past}"),
            (planned, _) => panic!("{past}: {planned:?}"),
        }
    }
    assert_eq!(choose(None, "", &Wish::Previous, None).expect_err("nothing").exit().code(), 69);
}

#[test]
fn a_rollback_tells_what_it_passed_over_because_it_is_gone() {
    for (past, passed_over) in [
        ("a+ c+", ""),
        ("a+ b? b+ c+", "b"),
        // Good ones are asked for first, newest first.
        ("a+ b? b+ d? d+ e? c+", "d b"),
        ("a b? e? c", "e b"),
        // Once is enough, and what is bad would not have been taken anyway.
        ("a+ b? b+ c- b+ c+", "b"),
        ("a+ b? b- c+", ""),
    ] {
        let plan = choose(live("c"), past, &Wish::Previous, None).expect("a is there");
        assert_eq!(plan.to, Target::release(id("a")), "{past}");
        let told: Vec<&str> = plan.passed_over.iter().map(ReleaseId::as_str).collect();
        assert_eq!(told.join(" "), passed_over, "{past}");
    }
}

#[test]
fn a_history_that_begins_in_the_middle_does_not_say_that_nothing_was_live_before() {
    for (kind, said) in [(Kind::Found, "begins at 2026-11-21T07:10:00Z"), (Kind::Done, "no other release was live")] {
        let line = serde_json::json!({"seq": 1, "at": "2026-11-21T07:10:00Z", "link": "current", "kind": kind,
            "to": "a", "to_seq": 1, "target": "releases/a"});
        let history = History::of([serde_json::from_value(line).expect("an entry")]);
        let now = live("a");
        let situation = Situation {
            root: Path::new("/srv/shop"),
            link: &link(),
            now: now.as_ref(),
            history: &history,
            present: &|_, _| true,
        };
        let refusal = plan(&situation, &Wish::Previous, None).expect_err("nowhere to go");
        assert!(refusal.to_string().contains(said), "{refusal}");
    }
}

#[test]
fn a_rollback_repeated_never_lands_on_what_it_left() {
    let (mut past, mut now, mut left) = ("a+ b c+ d+".to_owned(), "d".to_owned(), Vec::new());
    while let Ok(plan) = choose(live(&now), &past, &Wish::Previous, None) {
        // What apply does: the one that is left becomes bad, then the other is live.
        past = format!("{past} {now}- {}", plan.to.release);
        left.push(now);
        now = plan.to.release.to_string();
        assert!(!left.contains(&now), "{now} was left before: {left:?}");
    }
    assert_eq!((left.join(" "), now.as_str()), ("d c a".to_owned(), "b"), "good ones first, then what is left");
}

#[test]
fn nothing_changes_when_the_link_names_the_release_already() {
    let absolute = LinkState { target: "/srv/shop/releases/b".into(), ..names("b", None) };
    for now in [live("b"), Some(absolute)] {
        let plan = choose(now, "a+ b", &named("b"), None).expect("nothing to do is no error");
        assert!(!plan.changed);
        assert_eq!(plan.condemned, None);
    }
}

#[test]
fn an_expectation_that_is_not_met_changes_nothing() {
    for (now, expected, met) in [(live("a"), "a", true), (live("b"), "a", false), (None, "a", false)] {
        match choose(now, "a", &named("c"), Some(expected)) {
            Ok(_) => assert!(met),
            Err(failure) => assert_eq!((failure.code(), failure.exit().code(), met), ("switch.expected", 1, false)),
        }
    }
}

#[test]
fn a_link_that_leads_elsewhere_is_refused_whatever_is_asked() {
    for wish in [named("a"), Wish::Previous] {
        let now = LinkState { target: "/etc".into(), release: None, ..names("a", None) };
        assert_eq!(choose(Some(now), "b a", &wish, None).expect_err("refused").exit().code(), 77);
    }
}

#[test]
fn a_link_to_a_file_keeps_naming_a_file() {
    let jar = names("b", Some("app-b.jar"));
    let mut entries = history("a+ b+").entries().to_vec();
    for (entry, target) in entries.iter_mut().zip(["/srv/shop/releases/a/app-a.jar", "", "releases/b/app-b.jar", ""]) {
        entry.target = Some(target.to_owned());
    }
    let (history, link) = (History::of(entries), link());
    let choose = |wish: &Wish| {
        plan(
            &Situation {
                root: Path::new("/srv/shop"),
                link: &link,
                now: Some(&jar),
                history: &history,
                present: &|_, _| true,
            },
            wish,
            None,
        )
    };
    let to_a = Target { release: id("a"), inside: Some("app-a.jar".into()) };
    assert_eq!(choose(&Wish::Previous).expect("a is good").to, to_a, "the older file's own name");
    assert_eq!(choose(&named("a")).expect("it was named before").to, to_a);
    assert_eq!(choose(&named("c")).expect_err("which file of c?").code(), "switch.link_path");
    let wish = Wish::Named { id: id("c"), verdict: Verdict::Never, file: Some("app-c.jar".into()) };
    assert_eq!(choose(&wish).expect("said").to.text(), PathBuf::from("releases/c/app-c.jar"));
}
