//! Which releases a collection must keep, by the contract.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

/// Releases to keep and why. Left out, because it cannot be told from files alone: age, and use by a process.
pub(super) fn kept(
    parts: &BTreeMap<String, Vec<String>>,
    lines: &[Value],
    links: &BTreeMap<String, String>,
    keep: usize,
) -> BTreeMap<String, String> {
    let visible = |id: &str| {
        let place = format!("releases/{id} ");
        parts.get(id).is_some_and(|parts| parts.iter().any(|part| part.starts_with(&place)))
    };
    let mut kept = BTreeMap::new();
    let mut good: Vec<_> = parts.keys().filter(|id| verdict(lines, id) == "good" && visible(id)).collect();
    good.sort_by_key(|id| std::cmp::Reverse(place(lines, id)));
    for id in good.into_iter().take(keep) {
        kept.insert(id.clone(), format!("one of the newest {keep} good ones"));
    }
    for (link, target) in links {
        let current = target.trim_start_matches("releases/").split('/').next().unwrap_or_default();
        kept.insert(current.to_owned(), format!("what {link} names"));
        kept.extend(previous(lines, link, current, &visible).map(|id| (id, format!("the previous one of {link}"))));
    }
    for intent in lines.iter().filter(|line| line["kind"] == "intent") {
        if !lines.iter().any(|line| line["intent"] == intent["seq"]) {
            let ends = ["from", "to"].into_iter().filter_map(|end| intent[end].as_str());
            kept.extend(ends.map(|id| (id.to_owned(), "an end of an open intent".to_owned())));
        }
    }
    for (id, parts) in parts {
        let pin = parts.iter().find_map(|part| part.strip_prefix(&format!(".cutover/pins/{id}.json")));
        if pin.is_some_and(holds) {
            kept.insert(id.clone(), "pinned".to_owned());
        }
    }
    kept.retain(|id, _| visible(id));
    kept
}

/// The newest of good and bad; `done` when it was live and nobody has judged it, `never` when it never was.
fn verdict<'a>(lines: &'a [Value], id: &str) -> &'a str {
    let said =
        |kinds: &[&str]| lines.iter().rfind(|line| line["to"] == id && kinds.iter().any(|kind| line["kind"] == *kind));
    said(&["good", "bad"]).or_else(|| said(&["done"])).and_then(|line| line["kind"].as_str()).unwrap_or("never")
}

fn place(lines: &[Value], id: &str) -> Option<u64> {
    lines.iter().find(|line| line["to"] == id)?["to_seq"].as_u64()
}

/// The newest good release that was active on this link before; without any, the newest that is not bad.
fn previous(lines: &[Value], link: &str, current: &str, visible: &impl Fn(&str) -> bool) -> Option<String> {
    let active =
        lines.iter().rev().filter(|line| line["link"] == link && (line["kind"] == "done" || line["kind"] == "found"));
    let active: Vec<_> =
        active.filter_map(|line| line["to"].as_str()).filter(|id| *id != current && visible(id)).collect();
    let newest = |wanted: &[&str]| active.iter().find(|id| wanted.contains(&verdict(lines, id)));
    newest(&["good"]).or_else(|| newest(&["done"])).map(|id| (*id).to_owned())
}

/// Whether a pin lasts still; one that does not read does.
fn holds(pin: &str) -> bool {
    let value: Option<Value> = pin.find('{').and_then(|at| serde_json::from_str(&pin[at..]).ok());
    let until = value.as_ref().and_then(|pin| pin["until"].as_str());
    until.is_none_or(|until| until > now().as_str())
}

/// The present as RFC 3339 in UTC, whose order as text is that of time.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date, as in Howard Hinnant's "chrono-compatible low-level date algorithms".
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
