//! What other tools wrote about their deploys; text in, values out.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

/// One line of a deploy log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    /// The release's directory name.
    pub(crate) release: String,
    /// What happened.
    pub(crate) what: What,
    /// When, where the log says so.
    pub(crate) at: Option<SystemTime>,
    /// Who did it.
    pub(crate) by: Option<String>,
    /// The branch or tag.
    pub(crate) reference: Option<String>,
    /// The commit.
    pub(crate) revision: Option<String>,
}

/// What a log line says of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It went live and its deploy came through.
    Deployed,
    /// It was gone back to; the one before it was left.
    RolledBackTo,
    /// It was begun; whether it came through is not said.
    Begun,
}

/// Capistrano's `revisions.log`: `Branch master (at 1a2b3c) deployed as release 20261121071000 by deploy` and
/// `deploy rolled back to release 20261121071000`. Lines of another shape are passed over.
pub(crate) fn revisions_log(text: &str) -> Vec<Logged> {
    text.lines().filter_map(|line| deployed(line).or_else(|| rolled_back(line))).collect()
}

fn deployed(line: &str) -> Option<Logged> {
    let (reference, rest) = line.strip_prefix("Branch ")?.split_once(" (at ")?;
    let (revision, rest) = rest.split_once(") deployed as release ")?;
    // Capistrano that knows no user writes none: the line then ends with a blank.
    let (release, by) = rest.split_once(" by ").unwrap_or((rest.trim_end(), ""));
    Some(Logged {
        release: release.to_owned(),
        what: What::Deployed,
        at: time_of_name(release),
        by: said(by),
        reference: said(reference),
        revision: said(revision),
    })
}

fn rolled_back(line: &str) -> Option<Logged> {
    let (by, release) = line.trim_end().split_once(" rolled back to release ")?;
    Some(Logged { by: said(by), ..plain(release, What::RolledBackTo) })
}

/// commcare-cloud's `RELEASES.txt`: the path of a release that came through, one a line.
pub(crate) fn releases_txt(text: &str) -> Vec<Logged> {
    let name = |line: &str| line.trim().trim_end_matches('/').rsplit('/').next().map(str::to_owned);
    text.lines()
        .filter_map(name)
        .filter(|name| !name.is_empty())
        .map(|name| Logged { at: time_of_name(&name), ..plain(&name, What::Deployed) })
        .collect()
}

/// Deployer's `.dep/releases_log`: one JSON object a line, written when a release is begun.
pub(crate) fn releases_log(text: &str) -> Vec<Logged> {
    #[derive(Deserialize)]
    struct Line {
        release_name: serde_json::Value,
        created_at: Option<String>,
        user: Option<String>,
        target: Option<String>,
    }
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines
        .filter_map(|line| {
            let release = match &line.release_name {
                serde_json::Value::String(name) => name.clone(),
                serde_json::Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some(Logged {
                at: line.created_at.as_deref().and_then(iso_8601),
                by: line.user.as_deref().and_then(said),
                reference: line.target.as_deref().filter(|target| *target != "HEAD").and_then(said),
                ..plain(&release, What::Begun)
            })
        })
        .collect()
}

/// Deployer's older `.dep/releases`: `20171121071000,12`.
pub(crate) fn releases_csv(text: &str) -> Vec<Logged> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once(','));
    pairs.map(|(at, release)| Logged { at: time_of_name(at), ..plain(release, What::Begun) }).collect()
}

/// The time in a name like `20261121071000` (Capistrano) or `2026-11-21_07.10` (commcare-cloud); both are UTC.
pub(crate) fn time_of_name(name: &str) -> Option<SystemTime> {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let seconds = match shape.as_str() {
        "00000000000000" => digits.get(12..)?.to_owned(),
        "0000-00-00_00.00" => "00".to_owned(),
        _ => return None,
    };
    let part = |range| digits.get(range).unwrap_or_default();
    let text = format!("{}-{}-{}T{}:{}:{seconds}Z", part(0..4), part(4..6), part(6..8), part(8..10), part(10..12));
    record::clock::parse_rfc3339(&text)
}

/// PHP's `DateTime::ISO8601`: `2026-11-21T08:10:00+0100`.
fn iso_8601(text: &str) -> Option<SystemTime> {
    let (local, zone) = (text.get(..19)?, text.get(19..)?);
    let at = record::clock::parse_rfc3339(&format!("{local}Z"))?;
    let (sign, zone) = match (zone, zone.get(1..)) {
        ("" | "Z", _) => return Some(at),
        (signed, Some(zone)) => (signed.chars().next()?, zone.replace(':', "")),
        _ => return None,
    };
    let ahead =
        Duration::from_secs(zone.get(..2)?.parse::<u64>().ok()? * 3600 + zone.get(2..4)?.parse::<u64>().ok()? * 60);
    match sign {
        '+' => at.checked_sub(ahead),
        '-' => at.checked_add(ahead),
        _ => None,
    }
}

/// The first line of a `REVISION` file, where it looks like a commit.
pub(crate) fn revision(text: &str) -> Option<String> {
    let line = text.lines().next()?.trim();
    let legal = (7..=64).contains(&line.len()) && line.bytes().all(|b| b.is_ascii_hexdigit());
    legal.then(|| line.to_owned())
}

/// When a file called `KEEP_UNTIL__2026-12-24_10.00` lets its release go; `Err` where its date does not read.
pub(crate) fn keep_until(name: &str) -> Option<Result<SystemTime, ()>> {
    Some(time_of_name(name.strip_prefix("KEEP_UNTIL__")?).ok_or(()))
}

fn plain(release: &str, what: What) -> Logged {
    Logged { release: release.trim().to_owned(), what, at: None, by: None, reference: None, revision: None }
}

/// Text of a log that may be shown and kept: nothing empty, endless or with control characters.
fn said(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<SystemTime> {
        Some(record::clock::parse_rfc3339(text).expect("a time"))
    }

    #[test]
    fn capistranos_log_tells_deploys_and_rollbacks_apart() {
        let log = "Branch main (at 1a2b3c4) deployed as release 20261121071000 by anna\n\
                   Branch a (at b) (at 5d6e7f8) deployed as release 20261121081000 by anna by berta\n\
                   something else\n\
                   Branch main (at 9a9a9a9) deployed as release 20261121090000 by \n\
                   anna rolled back to release 20261121071000\n";
        let lines = revisions_log(log);
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[2].release.as_str(), lines[2].by.as_deref()), ("20261121090000", None));
        assert_eq!((lines[0].release.as_str(), lines[0].what), ("20261121071000", What::Deployed));
        assert_eq!((lines[0].by.as_deref(), lines[0].revision.as_deref()), (Some("anna"), Some("1a2b3c4")));
        assert_eq!(lines[0].at, at("2026-11-21T07:10:00Z"));
        assert_eq!((lines[3].release.as_str(), lines[3].what), ("20261121071000", What::RolledBackTo));
    }

    #[test]
    fn deployers_logs_are_read_in_both_forms() {
        let log = r#"{"created_at":"2026-11-21T08:10:00+0100","release_name":"7","user":"anna","target":"main"}
not json
{"created_at":"2026-11-21T07:20:00+0000","release_name":8,"user":"","target":"HEAD"}"#;
        let lines = releases_log(log);
        assert_eq!(lines.iter().map(|line| line.release.as_str()).collect::<Vec<_>>(), ["7", "8"]);
        assert_eq!((lines[0].at, lines[0].reference.as_deref()), (at("2026-11-21T07:10:00Z"), Some("main")));
        assert_eq!((lines[1].by.as_deref(), lines[1].reference.as_deref()), (None, None));
        assert_eq!(releases_csv("20171121071000,12\n")[0].release, "12");
    }

    #[test]
    fn commcares_log_is_a_path_a_line() {
        let lines = releases_txt("/home/cchq/www/prod/releases/2026-11-21_07.10\n\n/x/releases/2026-11-22_07.10/\n");
        assert_eq!(
            lines.iter().map(|line| line.release.as_str()).collect::<Vec<_>>(),
            ["2026-11-21_07.10", "2026-11-22_07.10"]
        );
        assert_eq!(lines[0].at, at("2026-11-21T07:10:00Z"));
    }

    #[test]
    fn a_date_that_does_not_read_still_keeps() {
        assert_eq!(keep_until("KEEP_UNTIL__2026-12-24_10.00"), Some(Ok(at("2026-12-24T10:00:00Z").expect("set"))));
        for bad in ["KEEP_UNTIL__", "KEEP_UNTIL__2026-13-24_10.00", "KEEP_UNTIL__soon", "KEEP_UNTIL__2026-12-24"] {
            assert_eq!(keep_until(bad), Some(Err(())), "{bad}");
        }
        assert_eq!(keep_until("README"), None);
    }

    #[test]
    fn a_revision_file_is_believed_only_if_it_holds_one() {
        assert_eq!(revision("1a2b3c4d\n").as_deref(), Some("1a2b3c4d"));
        for bad in ["", "main", "\u{1b}[2J1a2b3c4", "12"] {
            assert_eq!(revision(bad), None, "{bad:?}");
        }
    }
}
