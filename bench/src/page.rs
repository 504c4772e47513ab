//! docs/performance.md: every row with its figures, its bar, and why it is lost where it is.
#![expect(clippy::disallowed_methods, reason = "writes the page")]

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::chart;
use crate::row::{Figures, Group, Measured, Side};
use crate::rows;

/// One row for a terminal.
pub(crate) fn line(figures: &Figures) -> String {
    let Figures { work, against, runs, ours, peer, ratio, .. } = figures;
    let verdict = match (figures.is_held(), figures.bar) {
        (Some(true), Some(bar)) => format!("held ({bar:.2})"),
        (Some(false), Some(bar)) => format!("LOST ({bar:.2})"),
        _ => String::new(),
    };
    format!(
        "{work} / {against}: {} / {} = {ratio:.3} {verdict} [{runs} pairs, cpu {} / {}, {:.0} / {:.0} MiB]",
        seconds(ours.wall),
        seconds(peer.wall),
        seconds(ours.cpu),
        seconds(peer.cpu),
        ours.memory,
        peer.memory
    )
}

/// Writes the page and its chart.
pub(crate) fn write(repository: &Path, groups: &[(&Group, Measured)]) -> Result<()> {
    let docs = repository.join("docs");
    let figures: Vec<_> = groups.iter().flat_map(|(_, measured)| &measured.rows).collect();
    std::fs::write(docs.join("performance.svg"), chart::svg(&figures)).context("write the chart")?;
    std::fs::write(docs.join("performance.md"), page(groups)?).context("write docs/performance.md")
}

fn page(groups: &[(&Group, Measured)]) -> Result<String> {
    let all = || groups.iter().flat_map(|(_, measured)| &measured.rows).filter_map(Figures::is_held);
    let (held, lost) = (all().filter(|held| *held).count(), all().filter(|held| !held).count());
    let mut page = format!(
        "# Performance\n\n\
         Written by `make bench`; every figure in a table was measured by it, and a row that misses its bar says LOST and why. Each \
         row runs ours and the peer alternately as whole processes, one round thrown away first; before each run, all that \
         was written earlier is brought to the disk, so that nobody waits for what the other left. Wall and processor time \
         are medians, the ratio is the median of the pairs' ratios (ours / peer, smaller is faster), memory is the \
         largest resident size of any process. A bar is the most that the ratio may be.\n\n\
         {held} bars are held, {lost} are lost.\n\n\
         ![ratios and bars](performance.svg)\n\n\
         Trees: M holds the sources of all packages in Cargo.lock, A five copies of M, B a file of 200 MB and twenty \
         small ones. `make bench GROUPS=building,git` measures groups anew, `make bench-quick` tries everything on \
         small corpora in two minutes and writes nothing here. The service, the peers and the tools share the machine's \
         processors. Where the load at the start of a group was above the number of processors, other work disturbed it, and \
         its ratios say less.\n"
    );
    for missing in rows::groups().iter().filter(|one| groups.iter().all(|(group, _)| group.name != one.name)) {
        write!(page, "\nNOT MEASURED YET: {} (`make bench GROUPS={}`).\n", missing.title, missing.name)?;
    }
    for (group, measured) in groups {
        write!(page, "\n## {}\n\n{}\n\n", group.title, group.about)?;
        page.push_str("| work | against | ours | peer | ratio | bar | | processor time | memory | pairs |\n");
        page.push_str("|---|---|--:|--:|--:|--:|---|--:|--:|--:|\n");
        for figures in &measured.rows {
            table_line(&mut page, figures)?;
        }
        let lost: Vec<_> = measured.rows.iter().filter(|figures| figures.is_held() == Some(false)).collect();
        let explained = |work: &str| group.why.iter().find(|(row, _)| *row == work).map(|(_, why)| *why);
        for (index, figures) in lost.iter().enumerate() {
            let why = explained(&figures.work).unwrap_or("Not explained yet.");
            let space = if index == 0 { "\n" } else { "" };
            writeln!(page, "{space}- **LOST: {}** against {}: {why}", figures.work, code(&figures.against))?;
        }
        for skipped in &measured.skipped {
            write!(page, "\nSKIPPED: {skipped}.\n")?;
        }
    }
    page.push_str("\n## Machine\n\n");
    for (group, measured) in groups {
        let machine = &measured.machine;
        writeln!(
            page,
            "- **{}**, {} at `{}`: {}; {}; {}; {}; {}; load at the start {}.",
            group.title,
            machine.day,
            machine.commit,
            machine.hardware,
            machine.system,
            machine.file_system,
            machine.corpora,
            machine.build,
            machine.load
        )?;
    }
    if let Some((_, measured)) = groups.first() {
        write!(page, "\nPeers: {}.\n", measured.machine.peers)?;
    }
    Ok(page)
}

fn table_line(page: &mut String, figures: &Figures) -> Result<()> {
    let verdict = match figures.is_held() {
        Some(true) => "held",
        Some(false) => "**LOST**",
        None => "",
    };
    let both = |of: fn(&Side) -> String| format!("{} / {}", of(&figures.ours), of(&figures.peer));
    writeln!(
        page,
        "| {} | {} | {} | {} | {:.3} | {} | {verdict} | {} | {} | {} |",
        figures.work,
        code(&figures.against),
        seconds(figures.ours.wall),
        seconds(figures.peer.wall),
        figures.ratio,
        figures.bar.map_or_else(String::new, |bar| format!("{bar:.2}")),
        both(|side| seconds(side.cpu)),
        both(|side| format!("{:.0} MiB", side.memory)),
        figures.runs
    )?;
    Ok(())
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn seconds(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 0.1 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
