//! Archives of one tree, whoever made them, become one and the same release.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use site::Site;

/// Makes the archive `$1` of the directory in which it runs.
struct Maker {
    archive: &'static str,
    program: &'static str,
    script: &'static str,
    /// The names that it cannot hold, as a pattern.
    lacks: &'static str,
    /// Whether two names of one file stay one file.
    keeps_links: bool,
}

const ZIPFILE: &str = r#"python3 -c '
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as z:
    for top, directories, files in os.walk("."):
        for path in (os.path.join(top, name) for name in directories + files if not name.startswith("odd-")):
            if os.path.islink(path):
                link = zipfile.ZipInfo(path, (2001, 9, 9, 1, 46, 40))
                link.create_system, link.external_attr = 3, os.lstat(path).st_mode << 16
                z.writestr(link, os.readlink(path))
            else:
                z.write(path)
' "$1""#;

const GIT: &str = "export GIT_DIR=$1.git GIT_WORK_TREE=. GIT_CONFIG_GLOBAL=/dev/null GIT_COMMITTER_DATE=@1000000000; \
                   git init -q && git add -A && git -c user.name=n -c user.email=e commit -q -m one && \
                   git archive -o \"$1\" HEAD";

fn makers() -> Vec<Maker> {
    let maker = |archive, program, script| Maker { archive, program, script, lacks: "", keeps_links: true };
    let git = |archive| Maker { archive, program: "git", script: GIT, lacks: "empty", keeps_links: false };
    vec![
        maker("gnu.tar", "tar", "tar -cf \"$1\" ."),
        maker("gnu.tar.gz", "tar", "tar -czf \"$1\" ."),
        maker("gnu.tar.zst", "zstd", "tar --zstd -cf \"$1\" ."),
        maker("gnu-posix.tar.xz", "xz", "tar --format=posix -cJf \"$1\" ."),
        maker("bsd.tar", "bsdtar", "bsdtar -cf \"$1\" ."),
        maker("bsd.tar.zst", "bsdtar", "bsdtar --zstd -cf \"$1\" ."),
        maker("bsd-gnu.tar.xz", "bsdtar", "bsdtar --format gnutar -cJf \"$1\" ."),
        Maker { keeps_links: false, ..maker("bsd.zip", "bsdtar", "bsdtar --format zip -cf \"$1\" .") },
        maker("python.tar.gz", "python3", "python3 -m tarfile -c \"$1\" ."),
        Maker { lacks: "odd-*", keeps_links: false, ..maker("python.zip", "python3", ZIPFILE) },
        git("git.tar"),
        git("git.tar.gz"),
        git("git.zip"),
    ]
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn sh(dir: &Path, script: &str, arguments: &[&OsStr]) -> Vec<u8> {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).args(arguments).current_dir(dir);
    let output = command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What all makers can hold between them, and a time that each can write down.
fn tree(site: &Site) -> PathBuf {
    site.write("tree/bin/app", "#!/bin/sh\n");
    site.write("tree/nothing", "");
    site.write("tree/a b\nc", "odd");
    site.write("tree/-rf", "odd");
    site.write(&format!("tree/{}/{}/{}", "l".repeat(150), "m".repeat(150), "n".repeat(90)), "long");
    site.write("tree/large", b"0123456789".repeat(70_000));
    let tree = site.path("tree");
    std::fs::write(tree.join(OsStr::from_bytes(b"odd-\xff\xfe")), "no UTF-8").unwrap();
    std::fs::create_dir(tree.join("empty")).unwrap();
    std::fs::hard_link(tree.join("large"), tree.join("the same")).unwrap();
    std::os::unix::fs::symlink("bin/app", tree.join("link")).unwrap();
    sh(&tree, "chmod -R u=rwX,go=rX . && chmod 755 bin/app && find . -exec touch -h -d @1000000000 {} +", &[]);
    tree
}

/// Kind, mode, time and target of everything but what `lacks` names.
fn listing(top: &Path, lacks: &str) -> Vec<String> {
    let listed = sh(top, r#"find . -mindepth 1 ! -name "$1" -printf '%y %m %T@ %P -> %l\0'"#, &[lacks.as_ref()]);
    let mut lines: Vec<_> = listed.split(|byte| *byte == 0).map(|line| line.escape_ascii().to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn every_makers_archive_of_a_tree_becomes_that_tree() {
    let site = Site::new();
    let tree = tree(&site);
    for Maker { archive, program, script, lacks, keeps_links } in makers() {
        if !has(program) {
            skip::note(&format!("there is no {program} to make {archive} with"));
            continue;
        }
        let path = site.path(archive);
        sh(&tree, script, &[path.as_os_str()]);
        let id = archive.replace('.', "-");
        let run = site.mk(&path, &["--name", &id]);
        assert_eq!(run.status, Some(0), "{archive}: {}", run.stderr);
        site.sha256sum(&id);
        let release = site.path(&format!("root/releases/{id}"));
        assert_eq!(listing(&release, lacks), listing(&tree, lacks), "{archive}");
        let arguments = [OsStr::new(lacks), tree.as_os_str(), release.as_os_str()];
        sh(&tree, r#"diff -r --no-dereference -x "$1" "$2" "$3""#, &arguments);
        let inode = |name: &str| std::fs::metadata(release.join(name)).unwrap().ino();
        assert_eq!(inode("large") == inode("the same"), keeps_links, "{archive}");
        assert_eq!(std::fs::metadata(release).unwrap().permissions().mode() & 0o7777, 0o755, "{archive}");
    }
}

#[test]
fn holes_that_an_archive_leaves_out_are_zeros_again() {
    let site = Site::new();
    site.write("tree/f", "f");
    let holes = std::fs::File::create(site.path("tree/holes")).unwrap();
    for at in [1 << 20, 3 << 20, (3 << 20) + 8192] {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"data", at).unwrap();
    }
    holes.set_len(5 << 20).unwrap();
    std::fs::File::create(site.path("tree/nothing else")).unwrap().set_len(300_000).unwrap();
    let tree = site.path("tree");
    for (archive, program, script, taken) in [
        ("gnu.tar", "tar", "tar --sparse --format=gnu -cf \"$1\" .", true),
        ("posix.tar", "tar", "tar --sparse --format=posix -cf \"$1\" .", true),
        ("bsd.tar", "bsdtar", "bsdtar -cf \"$1\" .", true),
        ("old.tar", "tar", "tar --sparse-version=0.1 --sparse --format=posix -cf \"$1\" .", false),
        ("older.tar", "tar", "tar --sparse-version=0.0 --sparse --format=posix -cf \"$1\" .", false),
    ] {
        if !has(program) {
            skip::note(&format!("there is no {program} to make {archive} with"));
            continue;
        }
        let path = site.path(archive);
        sh(&tree, script, &[path.as_os_str()]);
        let is_small = std::fs::metadata(&path).unwrap().len() < 1 << 20;
        assert!(is_small || program == "bsdtar", "{archive}: the holes were not left out");
        let id = archive.replace('.', "-");
        let run = site.mk(&path, &["--name", &id]);
        if !taken {
            assert_eq!((run.status, run.code()), (Some(77), "archive.kind"), "{archive}: {}", run.stderr);
            continue;
        }
        assert_eq!(run.status, Some(0), "{archive}: {}", run.stderr);
        site.sha256sum(&id);
        let release = site.path(&format!("root/releases/{id}"));
        sh(&tree, r#"diff -r --no-dereference "$1" "$2""#, &[tree.as_os_str(), release.as_os_str()]);
    }
}
