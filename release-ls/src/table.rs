//! Releases and activations as people read them. Pure.

use record::sections::{LsActivation, LsHost, LsRelease, LsStage, LsVerdict};

use store::staging::Liveness;

use crate::columns::{Line, Look, Tint, columns};
use crate::hosts::Weight;
use crate::listed::{Build, Listed};
use crate::text::{self, Clock};

/// The releases and builds of one root.
pub(crate) fn releases(listed: &Listed, look: &Look) -> Vec<String> {
    let head = ["", "RELEASE", "ACTIVATED", "AGE", "SIZE", "SOURCE", "BY", "NOTE"];
    let mut lines: Vec<Line> = vec![(Tint::Head, head.map(str::to_owned).to_vec())];
    lines.extend(listed.builds.iter().map(|one| build(one, look)));
    lines.extend(listed.releases.iter().map(|one| release(one, look)));
    columns(&lines, look)
}

/// The marks of a release, in the order of how much they matter.
pub(crate) fn marks(release: &LsRelease) -> String {
    let marks = [
        (!release.current.is_empty(), '*'),
        (!release.previous.is_empty(), '<'),
        (release.verdict == LsVerdict::Bad, '!'),
        (release.pin.as_ref().is_some_and(|pin| pin.keeps), 'P'),
    ];
    marks.into_iter().filter_map(|(is_set, mark)| is_set.then_some(mark)).collect()
}

/// Where a release came from, in one word: a commit, a tag, a file's name.
pub(crate) fn source(release: &LsRelease) -> String {
    let Some(source) = &release.source else { return String::new() };
    let short = |revision: &String| revision.chars().take(10).collect::<String>();
    match (&source.reference, &source.revision, &source.path) {
        (Some(reference), Some(revision), _) => format!("{reference} {}", short(revision)),
        (None, Some(revision), _) => short(revision),
        (_, _, Some(path)) => path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned(),
        _ => source.kind.clone(),
    }
}

/// What else is to be said of a release.
pub(crate) fn note(release: &LsRelease, clock: &Clock) -> String {
    let mut notes = Vec::new();
    let named = |links: &[String]| links.iter().any(|link| link != "current");
    if named(&release.current) {
        notes.push(release.current.join(" "));
    }
    if named(&release.previous) {
        notes.push(format!("before {}", release.previous.join(" ")));
    }
    let what = match (release.verdict, release.back) {
        (LsVerdict::Bad, _) => Some("bad"),
        (_, true) => Some("back"),
        _ => None,
    };
    notes.extend(match (what, &release.reason) {
        (Some(what), Some(reason)) => Some(format!("{what}: {reason}")),
        (what, reason) => what.map(str::to_owned).or_else(|| reason.clone()),
    });
    if let Some(pin) = release.pin.as_ref().filter(|pin| pin.keeps) {
        let until =
            pin.until_at.as_ref().map_or_else(|| "for good".into(), |until| format!("until {}", clock.show(until)));
        let why = pin.reason.as_deref().or(pin.unreadable.as_deref()).unwrap_or("");
        let owner = pin.owner.as_ref().map_or_else(String::new, |owner| format!(" ({owner})"));
        notes.push(format!("pinned {until}: {why}{owner}"));
    }
    notes.join("; ")
}

fn release(release: &LsRelease, look: &Look) -> Line {
    let tint = match (release.verdict, release.current.is_empty()) {
        (LsVerdict::Bad, _) => Tint::Wrong,
        (_, false) => Tint::Current,
        _ => Tint::Plain,
    };
    let cells = vec![
        marks(release),
        release.id.clone(),
        release.activated_at.as_ref().map_or_else(|| "never".into(), |at| look.clock.show(at)),
        text::age(&release.created_at, look.now),
        text::size(release.size_bytes),
        text::cut(&source(release), 32),
        release.by.clone().unwrap_or_default(),
        note(release, &look.clock),
    ];
    (tint, cells)
}

fn build(build: &Build, look: &Look) -> Line {
    let age = build.since.map(|since| text::age(&record::clock::rfc3339(since), look.now));
    let (mark, tint, note) = match build.liveness {
        Liveness::Dead => ("!", Tint::Wrong, "failed build"),
        Liveness::Live => ("…", Tint::Dim, "being built"),
        Liveness::Unknown => ("…", Tint::Dim, "being built or failed: only the root's owner sees which"),
    };
    let cells = [mark, &build.id, "", age.as_deref().unwrap_or(""), "", "", build.by.as_deref().unwrap_or(""), note];
    (tint, cells.map(str::to_owned).to_vec())
}

/// What became of hosts, a line each.
pub(crate) fn hosts(hosts: &[LsHost], look: &Look) -> Vec<String> {
    let head = ["HOST", "OUTCOME", "BEFORE", "RELEASE", "NOW", "INSTANCES", "TOOK", "NOTE"];
    let mut lines: Vec<Line> = vec![(Tint::Head, head.map(str::to_owned).to_vec())];
    lines.extend(hosts.iter().map(|host| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let tint = match crate::hosts::weight(host.outcome) {
            Weight::Wrong => Tint::Wrong,
            Weight::Well => Tint::Current,
            Weight::Plain => Tint::Plain,
        };
        let cells = vec![
            host.host.clone(),
            crate::hosts::words(host.outcome).to_owned(),
            text(&host.from),
            text(&host.release),
            text(&host.now),
            host.instances.to_string(),
            text::seconds(host.elapsed_ms),
            text(&host.reason),
        ];
        (tint, cells)
    }));
    columns(&lines, look)
}

/// The activations of one root.
pub(crate) fn history(activations: &[LsActivation], look: &Look) -> Vec<String> {
    let head = ["ACTIVATED", "LINK", "", "RELEASE", "LIVE", "STAGES", "", "BY", "NOTE"];
    let mut lines: Vec<Line> = vec![(Tint::Head, head.map(str::to_owned).to_vec())];
    let longest = activations.iter().map(|one| total(&one.stages)).max().unwrap_or(0);
    lines.extend(activations.iter().map(|one| activation(one, longest, look)));
    columns(&lines, look)
}

/// How long all stages took together, in milliseconds.
pub(crate) fn total(stages: &[LsStage]) -> u64 {
    stages.iter().fold(0, |sum, stage| sum.saturating_add(stage.elapsed_ms))
}

fn activation(one: &LsActivation, longest: u64, look: &Look) -> Line {
    let (mark, tint) = match (one.verdict, one.found, one.back) {
        (LsVerdict::Bad, _, _) => ("!", Tint::Wrong),
        (_, true, _) => ("?", Tint::Dim),
        (_, _, true) => ("↩", Tint::Plain),
        _ => ("", if one.until_at.is_none() { Tint::Current } else { Tint::Plain }),
    };
    let lived = match (&one.until_at, record::clock::parse_rfc3339(&one.at)) {
        (Some(until), _) => record::clock::parse_rfc3339(until).map(|until| text::age(&one.at, until)),
        (None, _) => Some(text::age(&one.at, look.now)),
    };
    // What took no time to speak of is in the bar and in the data.
    let least = total(&one.stages) / 50;
    let stages = one.stages.iter().filter(|stage| stage.elapsed_ms > least);
    let stages: Vec<String> =
        stages.map(|stage| format!("{} {}", short(&stage.tool), text::seconds(stage.elapsed_ms))).collect();
    let mut note = Vec::new();
    if one.found {
        note.push("found, changed by something else".to_owned());
    } else if one.back {
        note.push(one.reason.as_ref().map_or_else(|| "back".to_owned(), |reason| format!("back: {reason}")));
    }
    match one.verdict {
        LsVerdict::Bad => note.push("bad".to_owned()),
        LsVerdict::Good => note.push("good".to_owned()),
        _ => {}
    }
    note.extend(one.reason.clone().filter(|_| one.found || !one.back));
    let cells = vec![
        look.clock.show(&one.at),
        one.link.clone(),
        mark.to_owned(),
        one.to.clone().unwrap_or_else(|| "(nothing of ours)".into()),
        lived.unwrap_or_default(),
        bar(&one.stages, longest),
        stages.join(" "),
        one.by.clone().unwrap_or_default(),
        note.join("; "),
    ];
    (tint, cells)
}

fn short(tool: &str) -> &str {
    tool.strip_prefix("release-").or_else(|| tool.strip_prefix("svc-")).unwrap_or(tool)
}

/// The stages one after another, each in its own shade, the longest pipe of all twelve characters long.
fn bar(stages: &[LsStage], longest: u64) -> String {
    const WIDTH: u128 = 12;
    const SHADES: [char; 4] = ['█', '▒', '▓', '░'];
    let at = |elapsed: u64| {
        let cells = (u128::from(elapsed) * WIDTH).div_ceil(u128::from(longest.max(1)));
        usize::try_from(cells).unwrap_or(0)
    };
    let mut bar = String::new();
    let (mut elapsed, mut drawn) = (0_u64, 0);
    for (stage, shade) in stages.iter().zip(SHADES.into_iter().cycle()) {
        elapsed = elapsed.saturating_add(stage.elapsed_ms);
        let end = at(elapsed);
        bar.extend(std::iter::repeat_n(shade, end.saturating_sub(drawn)));
        drawn = drawn.max(end);
    }
    bar
}

#[cfg(test)]
mod tests;
