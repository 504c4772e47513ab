//! Deleting what no rule keeps.

use anyhow::Result;

use super::measured;
use crate::measure::prepare;
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "collecting",
    title: "Deleting releases",
    about: "The whole of release-gc: it reads the state, asks every process what it uses, and deletes what waits in the \
            trash, which is the tree that the peer deletes.",
    measure,
    why: &[(
        "100,000 files in one directory",
        "Removals from one directory wait for each other in the kernel, so a second thread wins nothing; sorting by inode \
         would need all names in memory.",
    )],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let flat = if setting.quick { 10_000 } else { 100_000 };
    prepare(&setting.place.path, &format!("rm -rf F && mkdir F && cd F && seq -f f%.0f {flat} | xargs touch"))?;
    let bin = setting.tools.display();
    // A root whose trash holds the tree, as a killed collection would leave it.
    let root = format!("mkdir {{new}} && '{bin}/release-mk' --quiet --root {{new}}/root --from B/1 > {{new}}/record");
    let trash = "{new}/root/.cutover/trash/old.0123456789abcdef";
    let ours = "{bin}/release-gc --quiet -n --root {new}/root";
    let row = |work: String, copy: &str, bar: f64, against: &str, peer: &str| {
        Row::new(work, ours, against, peer)
            .before(format!("{root} && {copy} {trash} && sync -f ."), format!("{copy} {{new}} && sync -f ."))
            .bar(bar)
    };
    let rows = [
        row("the tree M".into(), "cp -a M", 0.80, "rm -rf", "rm -rf {new}"),
        row("the tree A".into(), "cp -a A", 0.80, "rm -rf", "rm -rf {new}"),
        row("the tree A, hard-linked".into(), "cp -al A", 0.80, "rm -rf", "rm -rf {new}"),
        row("the tree A, by find".into(), "cp -a A", 0.80, "find -delete", "find {new} -delete"),
        row(format!("{} files in one directory", thousands(flat)), "cp -a F", 1.05, "rm -rf", "rm -rf {new}"),
    ];
    let measured = measured(setting, &rows, 7, Vec::new());
    prepare(&setting.place.path, "rm -rf F")?;
    measured
}

fn thousands(count: u32) -> String {
    format!("{},{:03}", count / 1000, count % 1000)
}
