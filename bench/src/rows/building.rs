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
            "Hashing, which the peer does not do, is a quarter of our processor time, and making the files is most of the rest \
             on both sides. In half a second the order of the last syncs counts, too; for five times as many files, in the next \
             but one row, it no longer does.",
        ),
        (
            "copy A, durable",
            "Making the files and waiting for the disk are the same work on both sides; ours hashes besides, a quarter of its \
             processor time.",
        ),
        (
            "copy M with digests, durable",
            "The wait for the disk is on both sides, and the peer's reading for its digests comes from memory.",
        ),
        ("copy A with digests, durable", "As for M."),
        (
            "one file of 200 MB, durable",
            "One thread reads and writes, one hashes, and the disk takes the file while it grows. Hashing alone takes 0.13 s, at \
             1.6 GB/s.",
        ),
        (
            "one file of 200 MB",
            "The peer returns when the file is in memory; ours when it is on the disk, and hashed. The row above compares the \
             same wait.",
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
