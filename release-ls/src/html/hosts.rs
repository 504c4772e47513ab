//! What became of many hosts, on one page.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use record::clock::{parse_rfc3339, rfc3339};
use record::sections::{LsHost, LsHostOutcome};

use super::{count, head, line, minute, safe, strip};
use crate::hosts::{Weight, weight, words};
use crate::text;

/// The whole page, as of `now` (RFC 3339, UTC).
pub(crate) fn page(hosts: &[LsHost], now: &str) -> String {
    let mut releases: Vec<&str> = hosts.iter().filter_map(|host| host.release.as_deref()).collect();
    releases.sort_unstable();
    releases.dedup();
    let what = if releases.is_empty() { "nothing".to_owned() } else { text::cut(&releases.join(", "), 100) };
    let title = format!("{what} on {}", count(hosts.len(), "host"));
    let mut page = head(&title, &format!("As of {}. All times are UTC.", minute(now)));
    let mut outcomes: BTreeMap<LsHostOutcome, usize> = BTreeMap::new();
    for host in hosts {
        *outcomes.entry(host.outcome).or_default() += 1;
    }
    let counted: Vec<String> =
        outcomes.iter().map(|(outcome, number)| format!("{number} {}", badge(*outcome))).collect();
    line(&mut page, &format!("<p>{}", counted.join(", ")));
    let spans: Vec<Option<(SystemTime, SystemTime)>> = hosts.iter().map(span).collect();
    let from = spans.iter().flatten().map(|(from, _)| *from).min().unwrap_or(SystemTime::UNIX_EPOCH);
    let until = spans.iter().flatten().map(|(_, until)| *until).max().unwrap_or(from);
    let scale = strip::Scale::between(from, until);
    if spans.iter().any(Option::is_some) {
        let lasted = text::lasting(until.duration_since(from).unwrap_or_default());
        line(&mut page, &format!("<p>Begun {}, {lasted} from the first pipe to the last", minute(&rfc3339(from))));
    }
    line(
        &mut page,
        "<div class=scroll><table>\n<tr><th><th>Host<th>Before<th>Release<th>Now<th>When<th>Took<th>Instances<th>Note",
    );
    let longest = hosts.iter().map(|host| host.elapsed_ms).max().unwrap_or(0);
    for (host, span) in hosts.iter().zip(spans) {
        row(&mut page, host, span, &scale, longest);
    }
    line(&mut page, "</table></div>");
    page
}

/// From when to when a host's pipes ran, as far as one beginning and the length of all stages tell.
fn span(host: &LsHost) -> Option<(SystemTime, SystemTime)> {
    let from = parse_rfc3339(host.started_at.as_deref()?)?;
    // A length that no clock can hold was made up.
    Some((from, from.checked_add(Duration::from_millis(host.elapsed_ms))?))
}

fn badge(outcome: LsHostOutcome) -> String {
    let class = match weight(outcome) {
        Weight::Wrong => "t x",
        Weight::Well => "t c",
        Weight::Plain => "t p",
    };
    format!("<b class=\"{class}\">{}</b>", words(outcome))
}

fn row(page: &mut String, host: &LsHost, span: Option<(SystemTime, SystemTime)>, scale: &strip::Scale, longest: u64) {
    let class = match weight(host.outcome) {
        Weight::Wrong => "b",
        Weight::Well => "g",
        Weight::Plain => "d",
    };
    let bar = span
        .and_then(|(from, until)| scale.place(&rfc3339(from), Some(&rfc3339(until))))
        .map_or_else(String::new, |place| format!("<i class={class} style={place}></i>"));
    let width = u128::from(host.elapsed_ms) * 100 / u128::from(longest.max(1));
    let name = |id: &Option<String>| safe(id.as_deref().unwrap_or(""));
    line(
        page,
        &format!(
            "<tr><td>{}<td class=i>{}<td class=i>{}<td class=i>{}<td class=i>{}<td class=l>{bar}\
             <td class=r>{}<i style=--w:{width}%></i><td class=r>{}<td class=n>{}",
            badge(host.outcome),
            safe(&host.host),
            name(&host.from),
            name(&host.release),
            name(&host.now),
            text::seconds(host.elapsed_ms),
            host.instances,
            safe(&text::cut(host.reason.as_deref().unwrap_or(""), 300)),
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u64) -> LsHost {
        LsHost {
            host: format!("web{number:04}.example.org"),
            outcome: LsHostOutcome::Deployed,
            from: Some("1.3".into()),
            release: Some("1.4".into()),
            now: Some("1.4".into()),
            instances: 2,
            started_at: Some(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + number))),
            elapsed_ms: 2_000 + number,
            ..LsHost::default()
        }
    }

    #[test]
    fn a_thousand_hosts_are_a_page_below_400_kilobytes() {
        let hosts: Vec<LsHost> = (0..1000).map(host).collect();
        let page = page(&hosts, "2027-03-01T00:00:00Z");
        assert!(page.len() < 400_000, "{} bytes", page.len());
        assert_eq!(page.matches("<tr><td>").count(), 1000);
        assert!(
            page.contains("<title>1.4 on 1000 hosts</title>") && page.contains("1000 <b class=\"t c\">deployed</b>")
        );
    }

    #[test]
    fn whatever_a_record_holds_is_text_on_the_page() {
        let hostile = "\"><img src=x onerror=alert(1)>'\u{1b}[2J\u{202e}".to_owned();
        let one = LsHost {
            host: hostile.clone(),
            from: Some(hostile.clone()),
            release: Some(hostile.clone()),
            now: Some(hostile.clone()),
            reason: Some(hostile.clone()),
            elapsed_ms: u64::MAX,
            instances: u64::MAX,
            ..host(1)
        };
        let page = page(&[one, LsHost { started_at: Some(hostile), ..host(2) }], "2027-03-01T00:00:00Z");
        assert!(!page.contains("<img"), "{page}");
        assert!(!page.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
    }
}
