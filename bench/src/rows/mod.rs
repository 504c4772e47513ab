//! The groups of rows, in the order of the page.

#![expect(clippy::print_stderr, reason = "a skipped row is told at once")]

mod again;
mod archives;
mod asking;
mod building;
mod collecting;
mod git;
mod growth;
mod starting;
mod switching;

use anyhow::Result;

use crate::measure::said;
use crate::row::{Group, Measured, Row, Setting};

/// Every group.
pub(crate) fn groups() -> Vec<Group> {
    vec![
        building::GROUP,
        again::GROUP,
        archives::GROUP,
        git::GROUP,
        collecting::GROUP,
        switching::GROUP,
        asking::GROUP,
        starting::GROUP,
        growth::GROUP,
    ]
}

/// Measures each row in so many pairs; rows whose peer is not installed are skipped, and the page says so.
fn measured(setting: &Setting<'_>, rows: &[Row], rounds: usize, mut skipped: Vec<String>) -> Result<Measured> {
    let rounds = if setting.quick { 3 } else { rounds };
    let mut figures = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let needed = ["rsync", "zstd", "curl", "jq", "git", "supervisorctl"];
        let missing =
            needed.iter().find(|peer| row.against.contains(**peer) && said(&format!("command -v {peer}")).is_none());
        // Bars are for corpora of full size; on small ones starting and ending is most of what is measured.
        let row = &Row { bar: row.bar.filter(|_| !setting.quick), ..row.clone() };
        match missing {
            Some(peer) => skipped.push(format!("{}: {peer} is not installed", row.work)),
            None => match row.measure(setting, rounds) {
                Ok(measured) => {
                    figures.push(measured);
                    let rest = rows.iter().skip(index + 1).map(|row| format!("{}: the run was ended before", row.work));
                    let skipped = skipped.iter().cloned().chain(rest).collect();
                    let so_far = Measured { rows: figures.clone(), skipped, machine: setting.machine.clone() };
                    setting.kept.write(*setting.group.borrow(), &so_far)?;
                }
                // The other rows do not depend on it; the page names it.
                Err(error) => {
                    eprintln!("bench: SKIPPED {}: {error:#}", row.work);
                    skipped.push(format!("{}: it failed", row.work));
                }
            },
        }
    }
    Ok(Measured { rows: figures, skipped, machine: setting.machine.clone() })
}

/// What begins most of our commands: a release in a root that is there, as in every deploy but the first.
const MK: &str = "{bin}/release-mk --quiet --root made --name {new} --from";
