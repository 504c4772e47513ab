//! One page that needs nothing else: no script, no other file, a few hundred bytes per release.
//!
//! Whatever came from a root is escaped twice: control characters as on a terminal, then for HTML. Pure.

mod events;
pub(crate) mod hosts;
mod rows;
mod strip;

use std::fmt::Write;

use record::sections::{LsActivation, LsVerdict};
use record::visible;

use crate::listed::Listed;
use crate::text;

/// How many releases of a root get a row; the marked ones get theirs anyway.
const ROWS: usize = 200;

/// One root on the page.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its path.
    pub(crate) root: String,
    /// Its releases.
    pub(crate) listed: Listed,
    /// What was live when, newest first.
    pub(crate) activations: Vec<LsActivation>,
}

/// The whole page, as of `now` (RFC 3339, UTC), on `host`.
pub(crate) fn page(sections: &[Section], now: &str, host: &str) -> String {
    let names: Vec<&str> = sections.iter().map(|s| s.root.rsplit('/').next().unwrap_or(&s.root)).collect();
    let title = format!("Releases of {}", names.join(", "));
    let mut page = head(&title, &format!("On {}, as of {}. All times are UTC.", safe(host), minute(now)));
    for one in sections {
        section(&mut page, one, now);
    }
    page
}

/// Everything above the first heading; `title` is text, `about` is HTML.
fn head(title: &str, about: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\n\
         <meta name=color-scheme content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n<h1>{title}</h1>\n<p>{about}\n",
        title = safe(title),
        style = include_str!("style.css"),
    )
}

fn section(page: &mut String, section: &Section, now: &str) {
    let releases = &section.listed.releases;
    let bytes = releases.iter().fold(0, |sum: u64, release| sum.saturating_add(release.size_bytes));
    let bad = section.activations.iter().filter(|one| one.verdict == LsVerdict::Bad).count();
    let back = section.activations.iter().filter(|one| one.back).count();
    line(page, &format!("<h2>{}</h2>", safe(&section.root)));
    for release in releases.iter().filter(|release| !release.current.is_empty()) {
        let since = release.activated_at.as_deref().map_or_else(String::new, |at| format!(" since {}", minute(at)));
        line(page, &format!("<p><b>{}</b> is {}{since}", safe(&release.id), safe(&release.current.join(", "))));
    }
    line(
        page,
        &format!(
            "<p>{}, {} in all; {}, {bad} bad, {}",
            count(releases.len(), "release"),
            text::size(bytes),
            count(section.activations.len(), "activation"),
            count(back, "rollback"),
        ),
    );
    for remark in &section.listed.remarks {
        line(page, &format!("<p>{}", safe(remark)));
    }
    let scale = strip::Scale::of(&section.activations, now);
    strip::strips(page, &section.activations, &scale, now);
    rows::table(page, section, &scale);
    events::list(page, &section.activations);
}

/// Text from a root as HTML.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// `2026-11-21 07:10` of an RFC 3339 time.
fn minute(at: &str) -> String {
    let date_and_time = at.get(..10).zip(at.get(11..16));
    date_and_time.map_or_else(|| safe(at), |(date, time)| safe(&format!("{date} {time}")))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The class of a verdict's colour.
fn class(verdict: LsVerdict) -> &'static str {
    match verdict {
        LsVerdict::Good => "g",
        LsVerdict::Bad => "b",
        LsVerdict::Done | LsVerdict::Never => "d",
    }
}

fn line(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}

#[cfg(test)]
mod tests;
