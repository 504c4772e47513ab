use record::Source;
use record::sections::PinEntry;

use super::*;

fn look(width: Option<usize>) -> Look {
    let now = record::clock::parse_rfc3339("2026-11-21T09:10:00Z").unwrap();
    Look { clock: Clock::Utc, colored: false, width, now }
}

fn shown(id: &str) -> LsRelease {
    LsRelease {
        id: id.into(),
        size_bytes: 914_332_160,
        created_at: "2026-11-21T07:10:00Z".into(),
        by: Some("ann".into()),
        ..LsRelease::default()
    }
}

#[test]
fn a_table_says_what_is_live_what_was_and_what_went_wrong() {
    let git = Source {
        kind: "git".into(),
        reference: Some("v1.4".into()),
        revision: Some("0123456789abcdef".into()),
        ..Source::default()
    };
    let pin = PinEntry {
        id: "v2".into(),
        keeps: true,
        until_at: Some("2026-12-01T00:00:00Z".into()),
        owner: Some("bob".into()),
        reason: Some("trial".into()),
        unreadable: None,
    };
    let activated_at = Some("2026-11-21T08:10:00Z".to_owned());
    let listed = Listed {
        releases: vec![
            LsRelease { current: vec!["current".into()], source: Some(git), activated_at, ..shown("v3") },
            LsRelease { verdict: LsVerdict::Bad, reason: Some("500s".into()), pin: Some(pin), ..shown("v2") },
            LsRelease { previous: vec!["current".into()], ..shown("v1") },
        ],
        builds: vec![Build { id: "v4".into(), liveness: Liveness::Live, since: None, by: Some("ann".into()) }],
        remarks: Vec::new(),
    };
    assert_eq!(
        releases(&listed, &look(None)),
        [
            "    RELEASE  ACTIVATED             AGE  SIZE  SOURCE           BY   NOTE",
            "…   v4                                                         ann  being built",
            "*   v3       2026-11-21T08:10:00Z  2h   871M  v1.4 0123456789  ann",
            "!P  v2       never                 2h   871M                   ann  bad: 500s; pinned until 2026-12-01T00:00:00Z: trial (bob)",
            "<   v1       never                 2h   871M                   ann",
        ]
    );
}

#[test]
fn nothing_in_a_name_reaches_the_terminal_raw() {
    let hostile = LsRelease { reason: Some("\u{1b}[2J\n\u{202e}".into()), by: Some("a\tb".into()), ..shown("v1") };
    let listed = Listed { releases: vec![hostile], builds: Vec::new(), remarks: Vec::new() };
    for line in releases(&listed, &look(None)) {
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
}

#[test]
fn a_note_that_does_not_fit_gets_a_line_of_its_own() {
    let noted = LsRelease { reason: Some("checkout is slow".into()), ..shown("v1") };
    let listed = Listed { releases: vec![noted, shown("v2")], builds: Vec::new(), remarks: Vec::new() };
    assert_eq!(
        releases(&listed, &look(Some(45))),
        [
            "RELEASE  ACTIVATED  AGE  SIZE  BY",
            "v1       never      2h   871M  ann",
            "      checkout is slow",
            "v2       never      2h   871M  ann",
        ]
    );
    assert_eq!(releases(&listed, &look(Some(52))).len(), 3);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let long = LsRelease { reason: Some("word ".repeat(100)), ..shown(&"x".repeat(128)) };
    let listed = Listed { releases: vec![long], builds: Vec::new(), remarks: Vec::new() };
    for width in [1, 40, 80, 200] {
        for line in releases(&listed, &look(Some(width))) {
            assert!(line.chars().count() <= width, "{line}");
        }
    }
}

#[test]
fn a_bar_is_as_long_as_its_pipe_took() {
    let stages = |times: &[u64]| -> Vec<LsStage> {
        times.iter().map(|&elapsed_ms| LsStage { tool: "svc-restart".into(), elapsed_ms }).collect()
    };
    assert_eq!(bar(&stages(&[600, 600]), 1200), "██████▒▒▒▒▒▒");
    assert_eq!(bar(&stages(&[100, 0, 200]), 1200), "█▓▓");
    assert_eq!(bar(&stages(&[1]), 1_000_000), "█");
    assert_eq!(bar(&[], 0), "");
    assert_eq!(bar(&stages(&[0, 0]), 0), "");
}
