//! What was live when, one strip per link.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use record::clock::{parse_rfc3339, rfc3339};
use record::sections::LsActivation;

use super::{class, line, minute, safe};

/// How many stretches of time a strip shows at most.
const SPANS: usize = 200;

/// From when to when the page's times go.
#[derive(Debug)]
pub(crate) struct Scale {
    from: SystemTime,
    length: Duration,
}

impl Scale {
    /// From the oldest activation that is shown until now.
    pub(crate) fn of(activations: &[LsActivation], now: &str) -> Self {
        let now = parse_rfc3339(now).unwrap_or(SystemTime::UNIX_EPOCH);
        let times = activations.iter().take(SPANS).filter_map(|one| parse_rfc3339(&one.at));
        let from = times.min().unwrap_or(now).min(now);
        Self { from, length: now.duration_since(from).unwrap_or_default().max(Duration::from_secs(1)) }
    }

    /// From one time to another.
    pub(crate) fn between(from: SystemTime, until: SystemTime) -> Self {
        Self { from, length: until.duration_since(from).unwrap_or_default().max(Duration::from_secs(1)) }
    }

    /// `left:…%;width:…%` of a stretch of time, open towards now without an end; `None` for what lies before.
    pub(crate) fn place(&self, at: &str, until: Option<&str>) -> Option<String> {
        let part = |text: &str| {
            let since = parse_rfc3339(text)?.duration_since(self.from).unwrap_or_default();
            Some((since.as_secs_f64() / self.length.as_secs_f64() * 100.0).clamp(0.0, 100.0))
        };
        let (left, right) = (part(at)?, until.map_or(Some(100.0), part)?);
        let is_before = right <= 0.0 && until.is_some();
        // Even the shortest stretch shows at the very end.
        (!is_before).then(|| format!("left:{:.1}%;width:{:.1}%", left.min(99.8), (right - left).max(0.0)))
    }

    /// The times at the ends and between them.
    fn ticks(&self) -> Vec<String> {
        (0..=4).map(|quarter| minute(&rfc3339(self.from + self.length / 4 * quarter))).collect()
    }
}

/// Writes a strip for each link.
pub(crate) fn strips(page: &mut String, activations: &[LsActivation], scale: &Scale, now: &str) {
    let mut links: BTreeMap<&str, Vec<&LsActivation>> = BTreeMap::new();
    for one in activations.iter().take(SPANS) {
        links.entry(&one.link).or_default().push(one);
    }
    for (link, activations) in &links {
        line(page, &format!("<h3>What {} named</h3>\n<div class=strip>", safe(link)));
        for one in activations {
            if let Some(span) = span(one, scale, now) {
                line(page, &span);
            }
        }
        line(page, "</div>");
        let ticks: Vec<String> = scale.ticks().iter().map(|tick| format!("<span>{tick}</span>")).collect();
        line(page, &format!("<div class=axis>{}</div>", ticks.concat()));
    }
    if !links.is_empty() {
        line(
            page,
            "<div class=key><span><i class=g></i>good</span><span><i class=b></i>bad</span>\
             <span><i></i>live, nobody said how it did</span></div>",
        );
    }
}

fn span(one: &LsActivation, scale: &Scale, now: &str) -> Option<String> {
    let place = scale.place(&one.at, one.until_at.as_deref())?;
    let class = if one.to.is_none() { "o" } else { class(one.verdict) };
    let until = one.until_at.as_deref().unwrap_or(now);
    let name = one.to.as_deref().unwrap_or("nothing of ours");
    Some(format!("<i class={class} style={place} title=\"{} until {}\"></i>", safe(name), minute(until)))
}
