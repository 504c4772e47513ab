//! A row per release and build.

use std::collections::HashMap;

use record::sections::{LsActivation, LsRelease, LsVerdict};

use store::staging::Liveness;

use super::{ROWS, Section, class, line, minute, safe, strip};
use crate::table::{note, source, total};
use crate::text::{self, Clock};

/// Writes the table of a root's releases.
pub(crate) fn table(page: &mut String, section: &Section, scale: &strip::Scale) {
    let releases = &section.listed.releases;
    if releases.is_empty() && section.listed.builds.is_empty() {
        line(page, "<p>There is no release yet.");
        return;
    }
    let mut spans: HashMap<&str, Vec<&LsActivation>> = HashMap::new();
    for one in &section.activations {
        if let Some(id) = &one.to {
            spans.entry(id).or_default().push(one);
        }
    }
    let most = Most {
        bytes: releases.iter().map(|release| release.size_bytes).max().unwrap_or(0),
        milliseconds: section.activations.iter().map(|one| total(&one.stages)).max().unwrap_or(0),
    };
    line(
        page,
        "<div class=scroll><table>\n<tr><th><th>Release<th>Built<th>Live<th>Pipe took<th>Size<th>Source<th>By<th>Note",
    );
    for build in &section.listed.builds {
        let (mark, class) = match build.liveness {
            Liveness::Dead => ("failed build", "x"),
            Liveness::Live => ("being built", "p"),
            Liveness::Unknown => ("build", "p"),
        };
        let since = build.since.map(|since| minute(&record::clock::rfc3339(since))).unwrap_or_default();
        let (id, by) = (safe(&build.id), safe(build.by.as_deref().unwrap_or("")));
        line(
            page,
            &format!(
                "<tr><td><b class=\"t {class}\">{mark}</b><td class=i>{id}<td class=w>{since}<td><td><td><td><td>{by}<td>"
            ),
        );
    }
    let mut left_out = 0;
    for (index, release) in releases.iter().enumerate() {
        if index < ROWS || is_marked(release) {
            row(page, release, spans.get(release.id.as_str()).map_or(&[], Vec::as_slice), scale, &most);
        } else {
            left_out += 1;
        }
    }
    line(page, "</table></div>");
    if left_out > 0 {
        line(page, &format!("<p>{left_out} older releases are left out; release-ls --json has them all."));
    }
}

/// What the longest bars stand for.
struct Most {
    bytes: u64,
    milliseconds: u64,
}

fn is_marked(release: &LsRelease) -> bool {
    !release.current.is_empty() || !release.previous.is_empty() || release.pin.as_ref().is_some_and(|pin| pin.keeps)
}

fn row(page: &mut String, release: &LsRelease, spans: &[&LsActivation], scale: &strip::Scale, most: &Most) {
    let live: String = spans
        .iter()
        .take(8)
        .filter_map(|one| {
            let place = scale.place(&one.at, one.until_at.as_deref())?;
            Some(format!("<i class={} style={place}></i>", class(one.verdict)))
        })
        .collect();
    let took = spans.iter().find(|one| !one.stages.is_empty()).map_or_else(String::new, |one| {
        let each: Vec<String> =
            one.stages.iter().map(|stage| format!("{} {}", stage.tool, text::seconds(stage.elapsed_ms))).collect();
        let sum = total(&one.stages);
        format!(" title=\"{}\">{}{}", safe(&each.join(", ")), text::seconds(sum), bar(sum, most.milliseconds))
    });
    let took = if took.is_empty() { ">".to_owned() } else { took };
    line(
        page,
        &format!(
            "<tr><td>{}<td class=i>{}<td class=w>{}<td class=l>{live}<td class=r{took}<td class=r>{}{}<td class=s>{}<td>{}<td class=n>{}",
            badges(release),
            safe(&release.id),
            minute(&release.created_at),
            text::size(release.size_bytes),
            bar(release.size_bytes, most.bytes),
            safe(&text::cut(&source(release), 32)),
            safe(release.by.as_deref().unwrap_or("")),
            safe(&text::cut(&note(release, &Clock::Page), 200)),
        ),
    );
}

fn bar(value: u64, most: u64) -> String {
    format!("<i style=--w:{}%></i>", u128::from(value) * 100 / u128::from(most.max(1)))
}

fn badges(release: &LsRelease) -> String {
    let badges = [
        (!release.current.is_empty(), "<b class=\"t c\">live</b> "),
        (!release.previous.is_empty(), "<b class=t>previous</b> "),
        (release.verdict == LsVerdict::Bad, "<b class=\"t x\">bad</b> "),
        (release.pin.as_ref().is_some_and(|pin| pin.keeps), "<b class=\"t p\">pinned</b> "),
    ];
    badges.into_iter().filter_map(|(is_set, badge)| is_set.then_some(badge)).collect::<String>().trim_end().to_owned()
}
