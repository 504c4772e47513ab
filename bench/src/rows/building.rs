//! Building from a directory.

use anyhow::Result;

use super::{MK, measured};
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "building",
    title: "Building from a directory",
    about: "Ours always writes the listing with the SHA-256 digest of every file, and always ends with everything on \
            the disk; `sync -f` makes the peers durable too. Where the peer is named without it, ours does more.",
    measure,
    why: &[
        (
            "copy M, durable",
            "Both wait for the same disk, and ours hashes besides. Measured by hand on the idle machine with an earlier \
             build: 0.82 in 38 pairs, and 1.03 without the syncs while the tree is filled. With other work on both \
             processors the second thread wins nothing, and what hashing costs is all that is seen.",
        ),
        (
            "copy A, durable",
            "As for M. By hand on the idle machine: 0.77 to 0.82 in 7 pairs, and 0.99 without the syncs in between.",
        ),
        (
            "copy M with digests, durable",
            "The wait for the disk is on both sides, and the peer's reading for its digests comes from memory.",
        ),
        ("copy A with digests, durable", "As for M."),
        (
            "one file of 200 MB, durable",
            "One thread reads and writes, one hashes, and the disk takes the file while it grows.",
        ),
        (
            "one file of 200 MB",
            "The peer returns when the file is in memory; ours when it is on the disk. The row above compares the same work.",
        ),
    ],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let mut rows = Vec::new();
    for tree in ["M", "A"] {
        rows.push(
            Row::new(
                format!("copy {tree}, durable"),
                format!("{MK} {tree}"),
                "cp -a; sync -f",
                format!("cp -a {tree} {{new}} && sync -f {{new}}"),
            )
            .bar(0.75),
        );
        rows.push(
            Row::new(
                format!("copy {tree} with digests, durable"),
                format!("{MK} {tree}"),
                "cp -a; sha256sum; sync -f",
                format!(
                    "cp -a {tree} {{new}} && find {{new}} -type f -print0 | xargs -0 sha256sum > {{new}}.sums && sync -f {{new}}"
                ),
            )
            .bar(0.45),
        );
    }
    let size = if setting.quick { "40 MB" } else { "200 MB" };
    rows.push(
        Row::new(
            format!("one file of {size}, durable"),
            format!("{MK} B"),
            "cp -a; sync -f",
            "cp -a B {new} && sync -f {new}",
        )
        .bar(1.15),
    );
    rows.push(Row::new(format!("one file of {size}"), format!("{MK} B"), "cp -a", "cp -a B {new}").bar(1.15));
    measured(setting, &rows, 7, Vec::new())
}
