//! How cost grows with files, releases and targets.

use anyhow::Result;

use super::{MK, measured};
use crate::measure::prepare;
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "growth",
    title: "Growth",
    about: "Files of 200 bytes, a hundred to a directory; releases of one file. Memory is what has to stay: at most 64 MiB.",
    measure,
    why: &[],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let folder = &setting.place.path;
    let mut rows = Vec::new();
    for count in if setting.quick { vec![1, 10] } else { vec![1, 10, 100] } {
        let dirs = count * 10;
        let make = format!(
            "rm -rf T{count} && mkdir T{count} && cd T{count} && head -c 20000 /dev/urandom > text && seq -f d%.0f {dirs} | while read -r d; do mkdir $d && split -b 200 -a 2 text $d/; done; rm text"
        );
        prepare(folder, &make)?;
        rows.push(Row::new(
            format!("copy {count},000 files, durable"),
            format!("{MK} T{count}"),
            "cp -a; sync -f",
            format!("cp -a T{count} {{new}} && sync -f {{new}}"),
        ));
    }
    let bin = setting.tools.display();
    for count in if setting.quick { vec![10, 100] } else { vec![10, 100, 1000] } {
        // Each count has a root of its own, so that rows can be measured in any order.
        let make = format!(
            "rm -rf R{count}; for n in $(seq {count}); do '{bin}/release-mk' --quiet --root R{count} --from B/1 --name r$n > /dev/null; done; ln -s releases/r{count} R{count}/current; sync -f ."
        );
        prepare(folder, &make)?;
        rows.push(Row::new(
            format!("list {count} releases"),
            format!("{{bin}}/release-ls --root R{count}"),
            "ls -lt",
            format!("ls -lt R{count}/releases"),
        ));
        rows.push(Row::new(
            format!("plan a collection of {count} releases"),
            format!("{{bin}}/release-gc -n --quiet --dry-run --root R{count}"),
            "ls -lt",
            format!("ls -lt R{count}/releases"),
        ));
        rows.push(
            Row::new(
                format!("switch among {count} releases"),
                format!("{{bin}}/release-switch --quiet --root R{count} --to r1"),
                "ln -s; mv -T; sync .",
                format!("ln -s releases/r1 {{new}} && mv -T {{new}} R{count}/other && sync R{count}"),
            )
            .before(format!("ln -sfn releases/r2 R{count}/current"), ""),
        );
    }
    let measured = measured(setting, &rows, 7, Vec::new());
    prepare(folder, "rm -rf T1 T10 T100 R10 R100 R1000")?;
    measured
}
