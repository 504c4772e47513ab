use record::Source;
use record::sections::{LsRelease, LsStage};

use super::*;

/// `count` releases, each live for a while; every seventh bad and followed by a way back.
fn section(root: &str, count: u64) -> Section {
    let at = |minute: u64| {
        record::clock::rfc3339(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_790_000_000 + minute * 60))
    };
    let id = |seq: u64| format!("20261121T071000Z-{seq}");
    let mut releases = Vec::new();
    let mut activations = Vec::new();
    for seq in (1..=count).rev() {
        let is_bad = seq % 7 == 0;
        releases.push(LsRelease {
            root: root.into(),
            id: id(seq),
            seq,
            size_bytes: 900_000_000 + seq * 1_000_000,
            created_at: at(seq * 500),
            source: Some(Source {
                kind: "git".into(),
                reference: Some("release/2026.11".into()),
                revision: Some("0123456789abcdef0123".into()),
                ..Source::default()
            }),
            verdict: if is_bad { LsVerdict::Bad } else { LsVerdict::Good },
            current: if seq == count { vec!["current".into()] } else { Vec::new() },
            by: Some("deployer".into()),
            reason: is_bad.then(|| "svc-health: 503 from http://127.0.0.1:8001/healthz".into()),
            ..LsRelease::default()
        });
        activations.push(LsActivation {
            root: root.into(),
            link: "current".into(),
            at: at(seq * 500 + 5),
            until_at: (seq < count).then(|| at(seq * 500 + 505)),
            back: seq % 7 == 1,
            from: Some(id(seq - 1)),
            to: Some(id(seq)),
            verdict: if is_bad { LsVerdict::Bad } else { LsVerdict::Good },
            by: Some("deployer".into()),
            stages: ["release-mk", "release-switch", "svc-restart", "release-gc"]
                .map(|tool| LsStage { tool: tool.into(), elapsed_ms: seq * 37 })
                .to_vec(),
            ..LsActivation::default()
        });
    }
    Section { root: root.into(), listed: Listed { releases, builds: Vec::new(), remarks: Vec::new() }, activations }
}

#[test]
fn a_page_of_200_releases_is_below_100_kilobytes_and_needs_nothing_else() {
    let page = page(&[section("/srv/shop", 200)], "2027-03-01T00:00:00Z", "web1");
    assert!(page.len() < 100_000, "{} bytes", page.len());
    for forbidden in ["<script", "http-equiv", "<link", "url(", "@import", "src="] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("prefers-color-scheme:dark"));
    assert_eq!(page.matches("<td class=i>").count(), 200);
    assert_eq!(page.matches(" was bad").count() + page.matches("went back").count(), 30);
}

#[test]
fn thousands_of_releases_do_not_make_a_page_of_megabytes() {
    let page = page(&[section("/srv/shop", 5000)], "2040-03-01T00:00:00Z", "web1");
    assert!(page.len() < 110_000, "{} bytes", page.len());
    assert!(page.contains("4800 older releases are left out"));
}

#[test]
fn whatever_a_root_holds_is_text_on_the_page() {
    let mut one = section("/srv/<script>alert(1)</script>", 1);
    let hostile = "\"><img src=x onerror=alert(1)>'\u{1b}[2J\u{202e}";
    one.listed.releases[0].by = Some(hostile.into());
    one.listed.releases[0].reason = Some(hostile.into());
    one.listed.remarks.push(hostile.into());
    one.activations[0].stages[0].tool = hostile.into();
    one.activations[0].at = hostile.into();
    let page = page(&[one], "2027-03-01T00:00:00Z", hostile);
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(!page.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
}

#[test]
fn several_roots_and_an_empty_one_have_their_sections() {
    let page = page(&[section("/srv/shop", 2), section("/srv/blog", 0)], "2027-03-01T00:00:00Z", "web1");
    assert_eq!(page.matches("<h2>").count(), 2);
    assert!(page.contains("There is no release yet"));
    assert!(page.contains("<title>Releases of shop, blog</title>"));
}
