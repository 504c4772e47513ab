//! Building from a git revision.

use anyhow::Result;

use super::measured;
use crate::measure::prepare;
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "git",
    title: "Building from a git revision",
    about: "Half of M in two revisions, one file of a hundred changed. The mirror is there already, as in every deploy but \
            the first; ours asks the repository for news each time, which the peer need not.",
    measure,
    why: &[
        (
            "a revision",
            "Ours first asks the repository for news (several starts of git), then hashes every file and waits for the disk; the \
             peer does none of these. The row below adds the wait to the peer.",
        ),
        (
            "a revision, durable",
            "Several starts of git to fetch and resolve the reference, and the listing's digests, are on our side alone.",
        ),
        (
            "a revision, 1 % changed",
            "No unchanged blob is decoded; what is left is fetching and resolving (several starts of git), one link for each file, \
             and the disk.",
        ),
    ],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let bin = setting.tools.display();
    let mk = format!("'{bin}/release-mk' --quiet --root git --from repo");
    // The mirror, a live release of the first revision, and what is remembered of its blobs.
    let before =
        format!("rm -rf git; {mk} --ref one --link-unchanged --name first && ln -s releases/first git/current");
    prepare(&setting.place.path, &before)?;
    let cleared = "rm -rf git/releases/new.* git/.cutover/manifests/new.* git/.cutover/tree/new.*";
    let archive = "mkdir {new} && git -C repo archive two | tar -x -C {new}";
    let ours = "{bin}/release-mk --quiet --root git --from repo --name {new} --ref two";
    let linked = format!("{ours} --link-unchanged");
    let rows = [
        Row::new("a revision", ours, "git archive | tar -x", archive).before(cleared, "").bar(0.85),
        Row::new("a revision, durable", ours, "git archive | tar -x; sync -f", format!("{archive} && sync -f {{new}}"))
            .before(cleared, "")
            .bar(0.85),
        Row::new("a revision, 1 % changed", linked, "git archive | tar -x", archive).before(cleared, "").bar(0.45),
    ];
    let measured = measured(setting, &rows, 9, Vec::new());
    prepare(&setting.place.path, "rm -rf git")?;
    measured
}
