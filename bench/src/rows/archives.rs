//! Building from archives.

use anyhow::Result;

use super::{MK, measured};
use crate::measure::prepare;
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "archives",
    title: "Building from an archive",
    about: "Archives of M. GNU tar neither hashes nor waits for the disk; each archive therefore has two rows, the first \
            against tar alone, the second against tar and `sync -f`, which ends with the same promise as ours.",
    measure,
    why: &[
        (
            "M.tar",
            "Unpacking a plain archive is nothing but making files, and ours also hashes and syncs them: see the next row.",
        ),
        ("M.tar.zst", "Decoding is a tenth of the work, so what was said of M.tar holds here too."),
        (
            "M.tar, durable",
            "Both make the same files in the same file system, which is most of the work of both; ours hashes them besides.",
        ),
        ("M.tar.zst, durable", "As for M.tar: making the files is most of the work of both."),
        (
            "M.tar.gz, durable",
            "Decoding one stream is bound to one processor; what the other one takes over is writing, hashing and the disk.",
        ),
        (
            "M.tar.gz",
            "zlib-rs decodes one stream on one processor; the other one writes, hashes and serves the disk. tar and gzip \
             share two processors as well.",
        ),
    ],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let mut rows = Vec::new();
    for (archive, options, bar) in
        [("M.tar.gz", "-xzf", 0.50), ("M.tar.zst", "--zstd -xf", 0.85), ("M.tar", "-xf", 0.80)]
    {
        let ours = format!("{MK} {archive}");
        let alone = format!("mkdir {{new}} && tar {options} {archive} -C {{new}}");
        let synced = format!("{alone} && sync -f {{new}}");
        rows.push(Row::new(archive, ours.clone(), &format!("tar {options}"), alone).bar(bar));
        rows.push(Row::new(format!("{archive}, durable"), ours, &format!("tar {options}; sync -f"), synced).bar(bar));
    }
    let synced = "mkdir {new} && tar -xJf M.tar.xz -C {new} && sync -f {new}";
    rows.push(Row::new("M.tar.xz, durable", format!("{MK} M.tar.xz"), "tar -xJf; sync -f", synced));
    let mut measured = measured(setting, &rows, 9, Vec::new())?;
    if !setting.quick {
        // Once: it takes long, and memory does not vary.
        let make = "truncate -s 4G zeros; tar -cf - zeros | zstd -q -o 4G.tar.zst; rm zeros";
        prepare(&setting.place.path, make)?;
        let cleared = "rm -rf new.*; sync -f .";
        let large = Row::new(
            "an archive of 4 GB, durable",
            format!("{MK} 4G.tar.zst --max-bytes 8G"),
            "tar --zstd -xf; sync -f",
            "mkdir {new} && tar --zstd -xf 4G.tar.zst -C {new} && sync -f {new}",
        );
        measured.rows.push(large.before(cleared, cleared).measure(setting, 1)?);
    }
    Ok(measured)
}
