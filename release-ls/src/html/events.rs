//! What went wrong, and what was taken back.

use record::sections::{LsActivation, LsVerdict};

use super::{line, minute, safe};
use crate::text;

/// How many events are listed at most.
const EVENTS: usize = 30;

/// Writes the newest failures, rollbacks and changes by hand.
pub(crate) fn list(page: &mut String, activations: &[LsActivation]) {
    let is_event = |one: &&LsActivation| one.verdict == LsVerdict::Bad || one.back || one.found;
    let events: Vec<&LsActivation> = activations.iter().filter(is_event).collect();
    if events.is_empty() {
        return;
    }
    line(page, "<h3>Failures, rollbacks, changes by hand</h3>\n<ul>");
    for one in events.iter().take(EVENTS) {
        line(page, &format!("<li>{}", safe(&event(one))));
    }
    line(page, "</ul>");
    if events.len() > EVENTS {
        line(page, &format!("<p>{} older ones are left out.", events.len() - EVENTS));
    }
}

fn event(one: &LsActivation) -> String {
    let to = one.to.as_deref().unwrap_or("nothing of ours");
    let what = match (one.verdict, one.found, one.back) {
        (LsVerdict::Bad, _, _) => format!("{to} was bad"),
        (_, true, _) => format!("{} was found naming {to}", one.link),
        _ => format!("{} went back to {to}", one.link),
    };
    let from =
        one.from.as_ref().filter(|_| one.back || one.found).map_or_else(String::new, |from| format!(" from {from}"));
    let reason = one.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", text::cut(reason, 200)));
    let by = one.by.as_ref().map_or_else(String::new, |by| format!(" ({by})"));
    format!("{} {what}{from}{reason}{by}", minute(&one.at))
}
