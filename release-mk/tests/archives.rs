//! Hostile archives are refused as a whole, and leave nothing.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::path::Path;
use std::process::Command;

use site::Site;
use tar::{Builder, EntryType, Header};

/// One entry, with its name as it stands in the header: the crate's own setters refuse what is wanted here.
struct Entry {
    kind: EntryType,
    name: &'static str,
    mode: u32,
    link: &'static str,
    content: Vec<u8>,
}

fn entry(kind: EntryType, name: &'static str) -> Entry {
    Entry { kind, name, mode: 0o644, link: "", content: Vec::new() }
}

fn file(name: &'static str) -> Entry {
    Entry { content: b"content".to_vec(), ..entry(EntryType::Regular, name) }
}

fn link(kind: EntryType, name: &'static str, link: &'static str) -> Entry {
    Entry { link, ..entry(kind, name) }
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        header.as_old_mut().linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_mtime(1_000_000_000);
        header.set_size(entry.content.len() as u64);
        header.set_cksum();
        builder.append(&header, entry.content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn an_archive_with_one_hostile_entry_is_refused_whole() {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    let site = Site::new();
    let seed = site.write("seed/f", "x");
    site.mk(seed.parent().unwrap(), &["--name", "seed"]).expect(0);
    let before = site.state();
    let set_id = |mode| Entry { mode, ..file("s") };
    let cases = [
        ("dot dot", vec![file("../evil")], "archive.path"),
        ("dot dot inside", vec![file("a/../../evil")], "archive.path"),
        ("absolute", vec![file("/tmp/evil")], "archive.path"),
        ("hard link out", vec![file("a"), link(Link, "h", "../../etc/passwd")], "archive.path"),
        ("absolute hard link", vec![file("a"), link(Link, "h", "/etc/passwd")], "archive.path"),
        ("a symlink as the top", vec![link(Symlink, "./", "a"), file("a")], "archive.path"),
        ("a hard link as the top", vec![file("a"), link(Link, ".", "a")], "archive.path"),
        ("hard link to nothing", vec![file("a"), link(Link, "h", "b")], "archive.link"),
        ("hard link to a symlink", vec![link(Symlink, "l", "a"), link(Link, "h", "l")], "archive.link"),
        ("write through a symlink", vec![link(Symlink, "l", "."), file("l/evil")], "archive.duplicate"),
        ("write through a symlink out", vec![link(Symlink, "l", "/tmp"), file("l/evil")], "archive.duplicate"),
        ("absolute symlink", vec![file("a"), link(Symlink, "l", "/etc/passwd")], "archive.link"),
        ("symlink out", vec![file("a"), link(Symlink, "l", "../../x")], "archive.link"),
        (
            "symlinks that climb together",
            vec![file("a/b/c/f"), link(Symlink, "a/b/c/l", "../../.."), link(Symlink, "m", "a/b/c/l/../..")],
            "archive.link",
        ),
        ("character device", vec![file("a"), entry(Char, "d")], "archive.kind"),
        ("block device", vec![file("a"), entry(Block, "d")], "archive.kind"),
        ("FIFO", vec![file("a"), entry(Fifo, "d")], "archive.kind"),
        ("set-user-id", vec![set_id(0o4755)], "archive.set_id"),
        ("set-group-id", vec![set_id(0o2755)], "archive.set_id"),
        ("twice", vec![file("a"), file("a")], "archive.duplicate"),
        ("a file where a directory is needed", vec![file("a"), file("a/b")], "archive.duplicate"),
        ("a directory where a file is", vec![file("a"), entry(Directory, "a")], "archive.duplicate"),
        ("a file where a directory is", vec![entry(Directory, "a"), file("a")], "archive.duplicate"),
        ("nothing", vec![], "archive.empty"),
    ];
    for (name, entries, code) in cases {
        let path = site.write("evil.tar", archive(&entries));
        let run = site.mk(&path, &["--name", "evil"]);
        assert_eq!((run.status, run.code()), (Some(77), code), "{name}: {}", run.stderr);
        assert_eq!(site.state(), before, "{name} left something");
    }
}

/// One entry with what a pax header says of it, which overrules its own.
fn extended(key: &str, value: &str, entry: &Entry) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions([(key, value.as_bytes())]).unwrap();
    let before = builder.into_inner().unwrap();
    // Without the end marker that the crate writes behind it.
    let length = before.len() - 1024;
    [&before[..length], &archive(std::slice::from_ref(entry))].concat()
}

#[test]
fn what_a_pax_header_says_is_judged_like_the_header_itself() {
    let site = Site::new();
    let (deep, long) = ("d/".repeat(64) + "f", "n".repeat(256));
    let (fits_deep, fits_long) = ("d/".repeat(63) + "f", "n".repeat(255));
    for (key, value, entry, code) in [
        ("path", "../evil", file("good"), Some("archive.path")),
        ("path", "a/../../evil", file("good"), Some("archive.path")),
        ("path", "/tmp/evil", file("good"), Some("archive.path")),
        ("path", &deep, file("good"), Some("archive.path")),
        ("path", &long, file("good"), Some("archive.path")),
        ("linkpath", "../../etc/passwd", link(EntryType::Link, "h", "good"), Some("archive.path")),
        ("linkpath", "/etc/passwd", link(EntryType::Symlink, "l", "good"), Some("archive.link")),
        ("size", "4000000", file("good"), Some("archive.damaged")),
        ("path", &fits_deep, file("good"), None),
        ("path", &fits_long, file("good"), None),
    ] {
        let run = site.mk(&site.write("pax.tar", extended(key, value, &entry)), &[]);
        let expected = code.map_or((Some(0), ""), |code| (Some(77), code));
        assert_eq!((run.status, run.code()), expected, "{key}={value}: {}", run.stderr);
    }
    assert_eq!(site.state()[0].len(), 2);
    assert_eq!(site.state()[1..], [vec![], Vec::<String>::new()]);
}

#[test]
fn an_archive_of_which_everything_stays_behind_is_no_release() {
    let site = Site::new();
    let path = site.write("one.tar", archive(&[entry(EntryType::Directory, "./"), file("a"), file("d/b")]));
    let run = site.mk(&path, &["--exclude", "a", "--exclude", "d"]).expect(77);
    assert_eq!(run.code(), "archive.empty");
    assert_eq!(site.state(), [vec![], vec![], Vec::<String>::new()]);
    site.mk(&path, &["--exclude", "d"]).expect(0);
}

#[test]
fn a_header_that_would_fill_the_memory_is_refused_before_it_does() {
    let site = Site::new();
    let long = |kind, length| Entry { content: vec![b'n'; length], ..entry(kind, "././@LongLink") };
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let bomb = [file("a"), long(kind, 3 << 20), file("b")];
        let run = site.mk(&site.write("bomb.tar", archive(&bomb)), &[]).expect(77);
        assert_eq!(run.code(), "archive.damaged", "{kind:?}");
        assert!(run.stderr.contains("longer than 1 MiB"), "{}", run.stderr);
    }
    // A large file that stays behind is not a header.
    let large = Entry { content: vec![1; 3 << 20], ..file("large") };
    let path = site.write("good.tar", archive(&[file("a"), large, file("b")]));
    site.mk(&path, &["--exclude", "large", "--name", "good"]).expect(0);
    assert!(site.path("root/releases/good/b").exists());
}

#[test]
fn symlinks_that_lead_out_are_taken_where_that_is_said() {
    let site = Site::new();
    let out = [file("a"), link(EntryType::Symlink, "l", "/etc/passwd"), link(EntryType::Symlink, "m", "../../x")];
    let path = site.write("out.tar", archive(&out));
    site.mk(&path, &["--allow-external-symlinks", "--name", "v1"]).expect(0);
    for (name, target) in [("l", "/etc/passwd"), ("m", "../../x")] {
        assert_eq!(std::fs::read_link(site.path("root/releases/v1").join(name)).unwrap(), Path::new(target));
    }
    // Written through is none of them all the same.
    let through = [link(EntryType::Symlink, "l", "/tmp"), file("l/evil")];
    let run = site.mk(&site.write("through.tar", archive(&through)), &["--allow-external-symlinks"]).expect(77);
    assert_eq!(run.code(), "archive.duplicate");
}

#[test]
fn of_an_archive_what_is_excluded_stays_behind_and_what_is_unchanged_is_linked() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new();
    let large = |byte| Entry { content: vec![byte; 700_000], ..file("d/large") };
    let entries = |byte| archive(&[file("a"), file("d/b"), large(byte), file("skip/c"), file("d/x.o")]);
    let more = ["--exclude", "/skip", "--exclude", "*.o", "--link-unchanged"];
    let path = site.write("one.tar", entries(1));
    site.mk(&path, &[&["--name", "v1"], &more[..]].concat()).expect(0);
    std::os::unix::fs::symlink("releases/v1", site.path("root/current")).unwrap();
    site.mk(&path, &[&["--name", "v2"], &more[..]].concat()).expect(0);
    let run = site.mk(&site.write("two.tar", entries(2)), &[&["--name", "v3"], &more[..]].concat()).expect(0);
    assert_eq!(run.record["stages"][0]["linked_files"], 2);
    let inode = |path: &str| std::fs::metadata(site.path("root/releases").join(path)).unwrap().ino();
    for name in ["a", "d/b"] {
        let inodes = ["v1", "v2", "v3"].map(|id| inode(&format!("{id}/{name}")));
        assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{name}: {inodes:?}");
    }
    assert_eq!(inode("v1/d/large"), inode("v2/d/large"));
    assert_ne!(inode("v1/d/large"), inode("v3/d/large"));
    assert_eq!(std::fs::read(site.path("root/releases/v3/d/large")).unwrap(), [2; 700_000]);
    for id in ["v1", "v2", "v3"] {
        site.sha256sum(id);
        let mut names: Vec<_> = std::fs::read_dir(site.path("root/releases").join(id).join("d"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["b", "large"]);
        assert!(!site.path("root/releases").join(id).join("skip").exists());
    }
}

#[test]
fn a_damaged_archive_is_refused_wherever_it_is_cut() {
    let site = Site::new();
    let large = Entry { content: vec![7; 300_000], ..file("large") };
    let good = archive(&[file("a"), file("b"), entry(EntryType::Directory, "d"), large, file("d/c")]);
    let lengths =
        [0, 1, 100, 511, 512, 515, 519, 700, 1024, 1500, 2048, 3000, 3072, 100_000, 302_000, good.len() - 1024];
    for length in lengths {
        let path = site.write("cut.tar", &good[..length]);
        for run in [site.mk(&path, &["--name", "cut"]), site.stream(&good[..length], &["--name", "cut"])] {
            assert_eq!(run.expect(77).code(), "archive.damaged", "cut to {length}");
        }
    }
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    let run = site.mk(&site.write("flipped.tar", flipped), &[]).expect(77);
    assert_eq!(run.code(), "archive.damaged");
    let trailing = [good.as_slice(), &good].concat();
    assert_eq!(site.mk(&site.write("two.tar", trailing), &[]).expect(77).code(), "archive.damaged");
    assert_eq!(site.state()[0], Vec::<String>::new());
    site.mk(&site.write("good.tar", good), &["--name", "good"]).expect(0);
    site.sha256sum("good");
}

#[test]
fn a_refusal_names_the_archive_and_what_is_no_archive_is_said_to_be_none() {
    let site = Site::new();
    let page = "<html><title>404 Not Found</title></html>\n";
    for bytes in [page.to_owned(), page.repeat(30)] {
        let path = site.write("dist.tar.gz", &bytes);
        let expected = [path.to_str().unwrap(), "stdin"];
        for (run, name) in [site.mk(&path, &[]), site.stream(bytes.as_bytes(), &[])].into_iter().zip(expected) {
            let run = run.expect(77);
            let message = run.record["error"]["message"].as_str().unwrap();
            assert_eq!(
                message,
                format!("unpack {name}: it is no archive of a known format, or damaged at its very beginning")
            );
        }
    }
    let path = site.write("dist.tar", archive(&[file("a")]));
    let run = site.mk(&path, &["--sha256", &"0".repeat(64)]).expect(77);
    assert!(run.record["error"]["message"].as_str().unwrap().starts_with(&format!("{} is refused: ", path.display())));
}

#[test]
fn what_starts_like_another_format_is_read_by_what_it_is() {
    let site = Site::new();
    // A tar archive whose first name is that of gzip's magic, and a gzip stream that has tar's at its place.
    let like_gzip = archive(&[file("\u{1f}\u{8b}"), file("b")]);
    let name = format!("{}ustar", "x".repeat(247));
    let plain = site.write(&name, archive(&[file("a")]));
    let packed = Command::new("gzip").arg("-c").arg(&plain).output().unwrap().stdout;
    assert_eq!(&packed[257..262], b"ustar");
    for (id, bytes) in [("tar", like_gzip), ("gz", packed)] {
        site.mk(&site.write("odd.tar", &bytes), &["--name", id]).expect(0);
        site.stream(&bytes, &["--name", &format!("{id}-stream")]).expect(0);
        site.sha256sum(id);
    }
}

#[test]
fn both_ways_of_reading_come_to_the_same_at_every_edge() {
    let site = Site::new();
    let batch = 256 * 1024;
    let sizes = [0, 1, 511, 512, 513, batch - 1024, batch - 1, batch, batch + 1, 3 * batch + 7, 1];
    let names: [&'static str; 11] = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "skipped", "a8", "a9", "aa"];
    let mut entries: Vec<Entry> = (1_u32..)
        .zip(names.into_iter().zip(sizes))
        .map(|(seed, (name, size))| {
            let bytes = (1_u32..=size).map(|at| u8::try_from((at * seed) >> 3 & 0xff).unwrap());
            Entry { content: bytes.collect(), ..file(name) }
        })
        .collect();
    let many: Vec<&'static str> = (0..130).map(|n| &*Box::leak(format!("m/{n}").into_boxed_str())).collect();
    entries.extend(many.iter().map(|name| Entry { content: name.as_bytes().to_vec(), ..file(name) }));
    let bytes = archive(&entries);
    site.mk(&site.write("edges.tar", &bytes), &["--name", "headers", "--exclude", "skipped"]).expect(0);
    site.stream(&bytes, &["--name", "stream", "--exclude", "skipped"]).expect(0);
    for id in ["headers", "stream"] {
        site.sha256sum(id);
        for entry in entries.iter().filter(|entry| entry.name != "skipped") {
            let there = std::fs::read(site.path(&format!("root/releases/{id}")).join(entry.name)).unwrap();
            assert!(there == entry.content, "{} of {id}", entry.name);
        }
    }
}

#[test]
fn directories_on_the_way_count_and_links_that_are_none_are_refused() {
    let site = Site::new();
    let deep = archive(&[file("a/b/c/d/e/f"), file("g/h/i/j/k/l")]);
    let path = site.write("deep.tar", &deep);
    assert_eq!(site.mk(&path, &["--max-files", "9"]).expect(77).code(), "archive.limit");
    site.mk(&path, &["--max-files", "10", "--name", "deep"]).expect(0);
    let empty = archive(&[file("a"), link(EntryType::Symlink, "l", "")]);
    assert_eq!(site.mk(&site.write("empty.tar", empty), &[]).expect(77).code(), "archive.link");
    // Names that the parser's reading of pax headers cuts off are not guessed at.
    let broken = extended("linkpath", &format!("{}\ny", "n".repeat(120)), &link(EntryType::Symlink, "l", "nnn"));
    assert_eq!(site.mk(&site.write("cut.tar", broken), &[]).expect(77).code(), "archive.damaged");
}

#[test]
fn paths_that_would_have_to_be_held_in_memory_are_limited() {
    let site = Site::new();
    let long = format!("{}/", "d".repeat(255)).repeat(64);
    let one = extended("linkpath", &long, &link(EntryType::Link, "l", "a"));
    // Without the end marker, over and over: 64 MiB of paths that no file system sees.
    let many = one[..one.len() - 1024].repeat(4200);
    let run = site.mk(&site.write("links.tar", many), &["--max-files", "100000"]).expect(77);
    assert_eq!(run.code(), "archive.limit");
    assert!(run.stderr.contains("directories and links take more than"), "{}", run.stderr);
}

#[test]
fn a_size_beyond_every_file_is_the_archives_fault_in_both_ways() {
    let site = Site::new();
    let mut bytes = archive(&[file("a"), entry(EntryType::Directory, "d"), file("b")]);
    let mut header = Header::from_byte_slice(&bytes[1024..1536]).clone();
    // In whole blocks still a number of i64; with what stands before it no longer.
    header.set_size(u64::try_from(i64::MAX).unwrap() - 511);
    header.set_cksum();
    bytes[1024..1536].copy_from_slice(header.as_bytes());
    for run in [site.mk(&site.write("far.tar", &bytes), &[]), site.stream(&bytes, &[])] {
        assert_eq!(run.expect(77).code(), "archive.damaged");
    }
}

#[test]
fn limits_and_digests_are_kept() {
    let site = Site::new();
    let good = archive(&[file("a"), file("b"), file("c")]);
    let path = site.write("good.tar", &good);
    assert_eq!(site.mk(&path, &["--max-files", "2"]).expect(77).code(), "archive.limit");
    assert_eq!(site.mk(&path, &["--max-bytes", "20"]).expect(77).code(), "archive.limit");
    assert_eq!(site.mk(&path, &["--sha256", &"0".repeat(64)]).expect(77).code(), "archive.sha256");
    let output = Command::new("sha256sum").arg(&path).output().unwrap();
    let sum = String::from_utf8_lossy(&output.stdout)[..64].to_owned();
    site.mk(&path, &["--max-files", "3", "--max-bytes", "21", "--sha256", &sum, "--name", "good"]).expect(0);
}

#[test]
fn gnu_tar_and_its_compressors_are_read_by_content_from_a_file_and_from_a_stream() {
    let site = Site::new();
    site.write("tree/bin/app", "#!/bin/sh\n");
    site.write("tree/odd\nname", "x");
    site.write(&format!("tree/{}/{}", "n".repeat(150), "m".repeat(150)), "long");
    site.write("tree/large", vec![7; 700_000]);
    std::os::unix::fs::symlink("bin/app", site.path("tree/link")).unwrap();
    std::fs::hard_link(site.path("tree/large"), site.path("tree/other")).unwrap();
    for (name, options) in [
        ("plain.tar", vec![]),
        ("gnu.tar.gz", vec!["--gzip"]),
        ("posix.tar.xz", vec!["--xz", "--format=posix"]),
        // The name lies about the compression; the content tells.
        ("lies.tar", vec!["--gzip", "--format=posix"]),
    ] {
        let path = site.path(name);
        let mut tar = Command::new("tar");
        let tar = tar.arg("-cf").arg(&path).args(&options).arg("-C").arg(site.path("tree")).arg(".");
        assert!(tar.status().unwrap().success());
        let id = name.replace('.', "-");
        site.mk(&path, &["--name", &id]).expect(0);
        site.sha256sum(&id);
        let differs = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .arg(site.path("tree"))
            .arg(site.path(&format!("root/releases/{id}")))
            .output()
            .unwrap();
        assert!(differs.status.success(), "{}", String::from_utf8_lossy(&differs.stdout));

        let streamed = format!("{id}-stream");
        let run = site.stream(&std::fs::read(&path).unwrap(), &["--name", &streamed]).expect(0);
        assert_eq!(run.record["release"]["source"]["kind"], "stream");
        let listing = |id: &str| std::fs::read(site.path(&format!("root/.cutover/tree/{id}"))).unwrap();
        assert_eq!(listing(&id), listing(&streamed), "{name}");
    }
}

#[test]
fn modes_are_normalised_and_wild_times_clamped() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new();
    let entries = [
        Entry { mode: 0o777, ..file("open") },
        Entry { mode: 0, ..file("closed") },
        Entry { mode: 0o7777, ..entry(EntryType::Directory, "d") },
    ];
    site.mk(&site.write("modes.tar", archive(&entries)), &["--name", "modes"]).expect(0);
    for (name, mode) in [("open", 0o755), ("closed", 0o600), ("d", 0o755)] {
        let stat = std::fs::metadata(site.path("root/releases/modes").join(name)).unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.mtime()), (mode, 1_000_000_000), "{name}");
    }
}
