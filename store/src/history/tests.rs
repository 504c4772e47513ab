use std::collections::HashMap;

use dir::Name;
use proptest::prelude::*;

use super::parse::parse;
use super::{Entry, History, Kind, Verdict};
use crate::ReleaseId;

fn link() -> Name {
    Name::new("current").unwrap()
}

fn entry(seq: u64, kind: Kind, to: Option<u64>) -> Entry {
    Entry {
        seq,
        at: record::clock::rfc3339(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + seq)),
        pipe: Some("p".into()),
        link: link(),
        kind,
        from: None,
        to: to.map(|n| ReleaseId::new(format!("r{n}")).unwrap()),
        to_seq: to,
        target: to.map(|n| format!("releases/r{n}")),
        digest: None,
        by: None,
        host: None,
        reason: None,
        intent: None,
        stages: Vec::new(),
    }
}

fn history(lines: &[(Kind, u64)]) -> History {
    History::of(lines.iter().zip(1..).map(|(&(kind, to), seq)| entry(seq, kind, Some(to))))
}

fn previous(history: &History) -> Option<u64> {
    history.previous(&link(), |_, _| true).and_then(|entry| entry.to_seq)
}

use Kind::{Abort, Bad, Done, Found, Good, Intent};

#[test]
fn a_rollback_goes_to_the_newest_good_release_that_was_live_before() {
    type Story<'a> = (&'a str, &'a [(Kind, u64)], Option<u64>);
    let table: &[Story<'_>] = &[
        ("nothing was live", &[], None),
        ("only the first", &[(Done, 1), (Good, 1)], None),
        ("the one before", &[(Done, 1), (Good, 1), (Done, 2)], Some(1)),
        (
            "A good, B bad, back to A, C bad: A, not B",
            &[(Done, 1), (Good, 1), (Done, 2), (Bad, 2), (Done, 1), (Done, 3), (Bad, 3)],
            Some(1),
        ),
        (
            "a good release stays good when it is live again",
            &[(Done, 1), (Good, 1), (Done, 2), (Good, 2), (Done, 3), (Bad, 3), (Done, 2), (Done, 4)],
            Some(2),
        ),
        ("good before merely done", &[(Done, 1), (Good, 1), (Done, 2), (Done, 3)], Some(1)),
        ("without a good one the newest done", &[(Done, 1), (Done, 2), (Done, 3)], Some(2)),
        ("nothing but bad ones", &[(Done, 1), (Bad, 1), (Done, 2)], None),
        ("a bad one that was switched to again is merely done", &[(Done, 1), (Bad, 1), (Done, 1), (Done, 2)], Some(1)),
        ("a bad one that was found live stays bad", &[(Done, 1), (Bad, 1), (Found, 1), (Done, 2)], None),
        ("good clears bad", &[(Done, 1), (Bad, 1), (Good, 1), (Done, 2)], Some(1)),
        ("what was only intended does not count", &[(Done, 1), (Intent, 2), (Abort, 2), (Done, 3)], Some(1)),
        ("live again at once is not before itself", &[(Done, 1), (Good, 1), (Done, 1)], None),
    ];
    for (story, lines, expected) in table {
        assert_eq!(previous(&history(lines)), *expected, "{story}");
    }
}

#[test]
fn a_rollback_never_goes_forward_to_what_its_own_pipe_took_back() {
    let of = |seq, pipe: &str, from, to| Entry {
        pipe: Some(pipe.into()),
        from: Some(ReleaseId::new(format!("r{from}")).unwrap()),
        ..entry(seq, Done, Some(to))
    };
    let taken_back = [entry(1, Done, Some(1)), of(2, "p2", 1, 2), of(3, "p2", 2, 1)];
    assert_eq!(previous(&History::of(taken_back.clone())), None, "2 failed, whoever is to blame");
    let later = taken_back.into_iter().chain([of(4, "p4", 1, 2), of(5, "p5", 2, 3)]);
    assert_eq!(previous(&History::of(later)), Some(2), "another pipe made it live and left it so");
}

#[test]
fn a_rollback_skips_what_is_no_longer_there() {
    let history = history(&[(Done, 1), (Good, 1), (Done, 2), (Good, 2), (Done, 3)]);
    let of =
        |present: &[u64]| history.previous(&link(), |_, seq| present.contains(&seq)).and_then(|entry| entry.to_seq);
    assert_eq!(of(&[1, 2, 3]), Some(2));
    assert_eq!(of(&[1, 3]), Some(1));
    assert_eq!(of(&[3]), None);
}

#[test]
fn a_release_stops_when_the_link_goes_on_to_another() {
    let history = history(&[(Done, 1), (Done, 1), (Done, 2), (Done, 3)]);
    assert_eq!(history.stopped_at(1), record::clock::parse_rfc3339(&history.entries()[2].at));
    assert_eq!(history.stopped_at(2), record::clock::parse_rfc3339(&history.entries()[3].at));
    assert_eq!(history.stopped_at(3), None);
    assert_eq!(history.spans(&link()).iter().filter(|span| span.ended.is_none()).count(), 1);
}

#[test]
fn a_link_that_vanished_has_no_current_release_but_a_previous_one() {
    let mut lines = vec![entry(1, Done, Some(1)), entry(2, Good, Some(1))];
    lines.push(Entry { target: None, ..entry(3, Found, None) });
    let history = History::of(lines);
    assert_eq!(history.current(&link()), None);
    assert_eq!(previous(&history), Some(1));
}

fn bytes_of(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(serde_json::to_vec(entry).unwrap());
        bytes.push(b'\n');
    }
    bytes
}

#[test]
fn a_history_cut_at_any_byte_is_the_history_of_its_whole_lines() {
    let entries: Vec<Entry> = (1..=4).map(|seq| entry(seq, Done, Some(seq))).collect();
    let bytes = bytes_of(&entries);
    for cut in 0..=bytes.len() {
        let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count();
        let (history, end) = parse(&bytes[..cut]);
        assert_eq!(history.entries(), &entries[..whole], "cut at {cut}");
        assert!(history.problems.is_empty(), "cut at {cut}: {:?}", history.problems);
        assert_eq!(history.torn_bytes, cut as u64 - end, "cut at {cut}");
        // Where the file had grown before its data reached the disk, zeros follow, and may end in data again.
        for zeros in [1, 7, 4096] {
            let mut grown = bytes[..cut].to_vec();
            grown.resize(cut + zeros, 0);
            for tail in [&b""[..], b"\n", b"\":1}\n"] {
                let torn = [&grown[..], tail].concat();
                let (history, end) = parse(&torn);
                assert_eq!(history.entries(), &entries[..whole], "cut at {cut}, {zeros} zeros");
                assert!(history.problems.is_empty() && end <= cut as u64, "cut at {cut}, {zeros} zeros");
            }
        }
    }
}

#[test]
fn damage_in_the_middle_is_said_and_a_kind_of_tomorrow_is_not_damage() {
    let entries: Vec<Entry> = (1..=3).map(|seq| entry(seq, Done, Some(seq))).collect();
    let mut bytes = bytes_of(&entries[..1]);
    bytes.extend(b"garbage\n");
    bytes.extend(bytes_of(&entries[1..]));
    assert_eq!(parse(&bytes).0.problems.len(), 1);

    // What is told mends it: the line's number is missing, or it was given to the next line, or there is none after it.
    let [one, two, three] = [0, 1, 2].map(|at| serde_json::to_string(&entries[at]).unwrap() + "\n");
    for (text, remove) in [
        (format!("{one}garbage\n{three}"), false),
        (format!("{one}garbage\n{two}{three}"), true),
        (format!("{one}{two}garbage\n"), true),
    ] {
        let problem = parse(text.as_bytes()).0.problems.concat();
        assert!(problem.contains(".cutover/history.jsonl") && problem.contains("release-ls --history"), "{problem}");
        assert_eq!(problem.contains("remove that line"), remove, "{problem}");
        let filler = problem.split_once("replace that line by ").map(|(_, rest)| rest.split_once("},").unwrap().0);
        let mended = text.replace("garbage\n", &filler.map_or_else(String::new, |filler| format!("{filler}}}\n")));
        assert_eq!(parse(mended.as_bytes()).0.problems, Vec::<String>::new(), "{problem}");
    }

    let gap = format!("{one}{three}");
    let problem = parse(gap.as_bytes()).0.problems.concat();
    let filler = problem.split_once("put before it ").map(|(_, rest)| rest.split_once("},").unwrap().0).unwrap();
    let mended = gap.replace(&three, &format!("{filler}}}\n{three}"));
    assert_eq!(parse(mended.as_bytes()).0.problems, Vec::<String>::new(), "{problem}");
    let twice = parse(format!("{one}{two}{two}{three}").as_bytes()).0.problems.concat();
    assert!(twice.contains("line 3") && twice.contains("remove the one of the two lines"), "{twice}");

    let text = String::from_utf8(bytes_of(&entries[..1])).unwrap().replace("\"done\"", "\"frozen\",\"until\":\"x\"");
    let (history, _) = parse(text.as_bytes());
    assert!(history.problems.is_empty());
    assert_eq!(history.entries()[0].kind, Kind::Unknown);
}

proptest! {
    /// Whatever happened, rolling back again and again, each time with what was left marked bad, meets every
    /// release at most once, never a bad one, and ends.
    #[test]
    fn repeated_rollbacks_never_land_on_a_bad_release(
        lines in proptest::collection::vec((prop_oneof![Just(Done), Just(Good), Just(Bad), Just(Found), Just(Intent), Just(Abort)], 1u64..8), 0..60),
    ) {
        let mut history = history(&lines);
        let mut seen: HashMap<u64, u32> = HashMap::new();
        for _ in 0..20 {
            if let Some(left) = history.newest(&link()).and_then(|newest| newest.to_seq) {
                history.push(entry(history.next_line(), Bad, Some(left)));
            }
            let Some(landed) = previous(&history) else { return Ok(()) };
            prop_assert_ne!(history.verdict(landed), Verdict::Bad);
            *seen.entry(landed).or_default() += 1;
            prop_assert_eq!(seen[&landed], 1, "landed on {} twice", landed);
            history.push(entry(history.next_line(), Done, Some(landed)));
        }
        prop_assert!(false, "it does not end");
    }

    /// Previous was live on the link before, is not what it names now, and is good where any good one is.
    #[test]
    fn previous_agrees_with_the_lines(
        lines in proptest::collection::vec((prop_oneof![Just(Done), Just(Good), Just(Bad), Just(Found)], 1u64..6), 0..40),
    ) {
        let history = history(&lines);
        let activated: Vec<u64> = lines.iter().filter(|(kind, _)| matches!(kind, Done | Found)).map(|&(_, to)| to).collect();
        let current = activated.last().copied();
        prop_assert_eq!(history.current(&link()).map(ToString::to_string), current.map(|n| format!("r{n}")));
        let candidates: Vec<u64> = activated.iter().copied().filter(|&n| Some(n) != current && history.verdict(n) != Verdict::Bad).collect();
        let good: Vec<u64> = candidates.iter().copied().filter(|&n| history.verdict(n) == Verdict::Good).collect();
        let expected = good.last().or(candidates.last()).copied();
        prop_assert_eq!(previous(&history), expected);
    }
}

#[test]
fn what_a_repair_leaves_is_torn_nowhere() {
    let line = |seq| serde_json::to_string(&entry(seq, Kind::Done, Some(seq))).unwrap() + "\n";
    let zeros = line(2).replace("current", "cur\0\0\0\0");
    // A line with zeros in it, and half a line behind that: whoever cuts off the half must cut off the zeros too, or
    // the next one does, and takes a line away that was called damaged before.
    let torn = format!("{}{zeros}{}", line(1), &line(3)[..20]);
    let (history, end) = parse(torn.as_bytes());
    assert_eq!((history.entries().len(), history.problems.len()), (1, 0));
    assert_eq!(end as usize, line(1).len());
    // Before a whole line it is damage, not the end of what was written.
    let (history, end) = parse(format!("{}{zeros}{}", line(1), line(3)).as_bytes());
    assert_eq!((history.entries().len(), history.problems.len(), history.torn_bytes), (2, 1, 0));
    assert!(end > 0);
}
