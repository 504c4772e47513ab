//! Building again what has hardly changed: links to the previous release, and finding out that there is nothing to do.

use anyhow::Result;

use super::measured;
use crate::measure::prepare;
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "again",
    title: "Building again",
    about: "One file of a hundred has changed, or none. The listing with all digests is written all the same, and the \
            release is on the disk at the end; the peers do neither.",
    measure,
    why: &[
        (
            "A again, 1 % changed",
            "Three calls for each file remain: a look at the source, a look at the previous release, and the link. They and \
             making 10,000 directories, which cannot be linked, are most of the processor time; both threads wait for each \
             commit of the journal, and the listing and the last wait for the disk the peer does not do. It depends on the \
             tree: with 55,675 files of npm and Python packages in 6,998 directories the ratio was 0.18 in seven rounds by \
             hand.",
        ),
        (
            "A again, 1 % changed, by cp",
            "As above. The peer's links are made by one program that looks at each file once.",
        ),
        (
            "nothing changed in A, asked before",
            "One look at each of 76,000 entries, by two threads, is most of it; the listing, which one thread hashes, and the \
             start with what was remembered are the rest.",
        ),
        (
            "nothing changed in A, asked for the first time",
            "Every byte is read from memory and hashed, by two threads: that alone takes nine tenths of what the bar allows. The \
             peer only copies. The smaller the files the better: with 55,675 files of npm and Python packages, of 13 kB on \
             average, the ratio was 0.35 by hand.",
        ),
    ],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let mut rows = Vec::new();
    // The release that the next ones are like.
    let bin = setting.tools.display();
    let before = format!(
        "rm -rf linked; '{bin}/release-mk' --quiet --root linked --from A --name first && ln -s releases/first linked/current"
    );
    prepare(&setting.place.path, &before)?;
    let again = "{bin}/release-mk --quiet --root linked --from A2 --link-unchanged --name {new}";
    // Both find the trees as they are; what a former round made is cleared first.
    let cleared = "rm -rf linked/releases/new.* linked/.cutover/manifests/new.* linked/.cutover/tree/new.*";
    rows.push(
        Row::new("A again, 1 % changed", again, "rsync -a --link-dest", "rsync -a --link-dest=$PWD/A A2/ {new}/")
            .before(cleared, "")
            .bar(0.20),
    );
    rows.push(
        Row::new(
            "A again, 1 % changed, by cp",
            again,
            "cp -al; rsync -a --delete",
            "cp -al A {new} && rsync -a --delete A2/ {new}/",
        )
        .before(cleared, "")
        .bar(0.45),
    );
    let unchanged = "{bin}/release-mk --quiet --root linked --from A --if-changed";
    // A first look fills the cache; without one every file is read.
    rows.push(
        Row::new("nothing changed in A, asked before", unchanged, "cp -a", "cp -a A {new}")
            .before(unchanged, "")
            .bar(0.10),
    );
    rows.push(
        Row::new("nothing changed in A, asked for the first time", unchanged, "cp -a", "cp -a A {new}")
            .before("rm -rf linked/.cutover/cache", "")
            .bar(0.25),
    );
    let measured = measured(setting, &rows, 7, Vec::new());
    prepare(&setting.place.path, "rm -rf linked")?;
    measured
}
