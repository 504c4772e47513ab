//! A directory becomes a release as it is, and what cannot is said before anything is made.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use site::{Run, Site};

/// Lets user 1 read it, by an ACL, and notes something; false where the file system takes neither.
fn set_attributes(path: &std::path::Path) -> bool {
    let file = std::fs::File::open(path).unwrap();
    let acl = [(1, 7, u32::MAX), (2, 4, 1), (4, 5, u32::MAX), (0x10, 5, u32::MAX), (0x20, 4, u32::MAX)];
    let entry = |(tag, rights, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let acl = [&2_u32.to_le_bytes()[..], &acl.map(entry).concat()].concat();
    let set = |name: &str, value: &[u8]| fsetxattr(&file, name, value, XattrFlags::empty()).is_ok();
    set("user.note", b"by hand\0\xff") && set("user.empty", b"") && set("system.posix_acl_access", &acl)
}

/// The names and values of its extended attributes.
fn attributes(path: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let file = std::fs::File::open(path).unwrap();
    let mut names = [0; 4096];
    let length = flistxattr(&file, &mut names[..]).unwrap();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let value = |name: &str| {
        let mut value = [0; 4096];
        let length = fgetxattr(&file, name, &mut value[..]).unwrap();
        (name.to_owned(), value[..length].to_vec())
    };
    names.split_terminator('\0').map(value).collect()
}

#[test]
fn modes_times_links_holes_and_odd_names_survive_the_copy() {
    let site = Site::new();
    let source = site.write("source/bin/app", "#!/bin/sh\n").parent().unwrap().parent().unwrap().to_path_buf();
    std::fs::set_permissions(source.join("bin/app"), std::fs::Permissions::from_mode(0o754)).unwrap();
    std::fs::hard_link(source.join("bin/app"), source.join("same")).unwrap();
    symlink("../bin/app", source.join("bin/link")).unwrap();
    symlink("/nowhere", source.join("dangling")).unwrap();
    std::fs::create_dir(source.join("empty")).unwrap();
    for odd in [&b"new\nline"[..], b"back\\slash", b"\xff\xfe", b"-", b"a b"] {
        std::fs::write(source.join(std::ffi::OsStr::from_bytes(odd)), odd).unwrap();
    }
    let holes = std::fs::File::create(source.join("holes")).unwrap();
    holes.set_len(50 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"data", 20 << 20).unwrap();
    std::fs::write(source.join("large"), vec![3; 9 << 20]).unwrap();
    let then = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for name in ["same", "empty", "large"] {
        std::fs::File::open(source.join(name)).unwrap().set_modified(then).unwrap();
    }
    let has_attributes = set_attributes(&source.join("same")) && set_attributes(&source.join("empty"));
    if !has_attributes {
        skip::note("extended attributes and ACLs: the file system of the tests has none");
    }
    std::fs::set_permissions(source.join("empty"), std::fs::Permissions::from_mode(0o500)).unwrap();

    let run = site.mk(&source, &["--name", "v1"]).expect(0);
    assert_eq!(run.record["release"]["files"], 13);
    site.sha256sum("v1");
    let release = site.path("root/releases/v1");
    let stat = |name: &str| std::fs::symlink_metadata(release.join(name)).unwrap();
    assert_eq!(stat("bin/app").mode() & 0o7777, 0o754);
    assert_eq!(stat("bin/app").ino(), stat("same").ino());
    assert_eq!(std::fs::read_link(release.join("bin/link")).unwrap().to_str(), Some("../bin/app"));
    assert_eq!((stat("empty").mode() & 0o777, stat("empty").mtime_nsec()), (0o500, 123_456_789));
    assert_eq!((stat("large").mtime(), stat("large").mtime_nsec()), (1_000_000_000, 123_456_789));
    assert!(stat("holes").blocks() * 512 < 1 << 20, "the holes were filled");
    assert!(!has_attributes || attributes(&release.join("same")) == attributes(&source.join("same")));
    if let Ok(rsync) = Command::new("rsync")
        .args(["-aHAXn", "--checksum", "--itemize-changes", "--delete"])
        .arg(source.join(""))
        .arg(release.join(""))
        .output()
    {
        assert!(rsync.status.success(), "{}", String::from_utf8_lossy(&rsync.stderr));
        assert_eq!(String::from_utf8_lossy(&rsync.stdout), "", "rsync sees a difference");
    } else {
        skip::note("there is no rsync to compare with");
    }
}

#[test]
fn what_no_release_can_hold_is_named_and_nothing_is_made() {
    let site = Site::new();
    site.write("source/f", "x");
    let _socket = std::os::unix::net::UnixListener::bind(site.path("source/socket")).unwrap();
    let run = site.mk(&site.path("source"), &[]).expect(1);
    assert!(run.stderr.contains("socket in") && run.stderr.contains("is a socket"), "{}", run.stderr);
    assert!(!site.path("root").exists());
    site.mk(&site.path("source"), &["--exclude", "socket", "--name", "v1"]).expect(0);
    assert!(!site.path("root/releases/v1/socket").exists());
    // A name that is taken: the one that is there stays.
    assert_eq!(site.mk(&site.path("source"), &["--exclude", "*", "--name", "v1"]).expect(1).code(), "mk.empty");
    site.write("source/g", "y");
    assert_eq!(site.mk(&site.path("source"), &["--exclude", "socket", "--name", "v1"]).expect(1).code(), "mk.exists");
    assert!(!site.path("root/releases/v1/g").exists());
    assert_eq!(site.mk(site.dir.path(), &["--exclude", "socket"]).expect(1).code(), "mk.source");
    assert_eq!(site.state(), [vec!["v1".to_owned()], vec![], vec![]]);
}

#[test]
fn shared_paths_and_variables_are_checked_before_anything_is_made() {
    let site = Site::new();
    site.write("source/config/app.yml", "from the source");
    site.write("source/f", "x");
    site.mk(&site.path("source"), &["--name", "v0"]).expect(0);
    let share = ["--share", "config/app.yml", "--share", "log/", "--stamp", "STAMP", "--name", "v1"];
    assert_eq!(site.mk(&site.path("source"), &share).expect(1).code(), "mk.share");
    assert!(!site.path("root/shared/log").exists(), "one was made although the other is missing");
    site.write("root/shared/config/app.yml", "shared");
    site.write("root/shared/.env", "SECRET=hunter2\nEMPTY=\n");
    let run = site.mk(&site.path("source"), &["--require-env", "shared/.env:SECRET,EMPTY,MISSING"]).expect(1);
    assert_eq!(run.code(), "mk.env");
    assert!(!run.stderr.contains("hunter2") && !run.stderr.contains("SECRET"), "{}", run.stderr);
    // Paths to share count from shared/, this one from the root: the whole path is told, and what was meant.
    let run = site.mk(&site.path("source"), &["--share", ".env", "--require-env", ".env:SECRET"]).expect(1);
    let file = site.path("root/.env").display().to_string();
    assert!(run.stderr.contains(&format!("not configured: {file}: no such file")), "{}", run.stderr);
    let hint = "hint: the path counts from the root: did you mean shared/.env:SECRET?";
    assert!(run.stderr.contains(hint) && !run.stderr.contains("hunter2"), "{}", run.stderr);
    site.mk(&site.path("source"), &share).expect(0);
    let read = |name: &str| std::fs::read_to_string(site.path("root/releases/v1").join(name)).unwrap();
    assert_eq!(read("config/app.yml"), "shared");
    assert!(read("STAMP").starts_with("RELEASE_ID=v1\n"));
    assert!(site.path("root/shared/log").is_dir());
    let owner = if nix::unistd::geteuid().is_root() { 1 } else { nix::unistd::geteuid().as_raw() };
    let made = ["--share", "deep/er/", "--mode", "2770", "--owner", &owner.to_string()];
    assert_eq!(site.mk(&site.path("source"), &[&made[..4], &["--owner", "no-such-user"]].concat()).status, Some(2));
    site.mk(&site.path("source"), &made).expect(0);
    let stat = |path: &str| std::fs::metadata(site.path("root/shared").join(path)).unwrap();
    assert_eq!((stat("deep/er").mode() & 0o7777, stat("deep/er").uid()), (0o2770, owner));
    assert_eq!(stat("deep").mode() & 0o7777, 0o755, "what is above belongs to the root's owner");
    // What is there already is nobody's to change.
    site.mk(&site.path("source"), &["--share", "deep/er/", "--mode", "700"]).expect(0);
    assert_eq!(stat("deep/er").mode() & 0o7777, 0o2770);
    site.sha256sum("v1");
}

#[test]
fn a_dry_run_makes_nothing_not_even_the_root() {
    let site = Site::new();
    site.write("source/f", "x");
    let run = site.mk(&site.path("source"), &["--dry-run", "--step", "s=touch here"]).expect(0);
    assert_eq!((&run.record["dry_run"], &run.record["changed"]), (&true.into(), &true.into()));
    assert_eq!(run.record["release"].as_object().unwrap().len(), 1, "a plan has an id only");
    assert!(!site.path("root").exists());
}

#[test]
fn unchanged_files_are_linked_only_where_that_is_asked_for() {
    let site = Site::new();
    site.write("source/a", "a");
    site.write("source/b", "b");
    site.mk(&site.path("source"), &["--name", "v1"]).expect(0);
    symlink("releases/v1", site.path("root/current")).unwrap();
    site.write("source/b", "changed");
    site.mk(&site.path("source"), &["--name", "v2"]).expect(0);
    site.mk(&site.path("source"), &["--name", "v3", "--link-unchanged"]).expect(0);
    site.sha256sum("v3");
    let inode = |name: &str| std::fs::metadata(site.path("root/releases").join(name)).unwrap().ino();
    assert_ne!(inode("v1/a"), inode("v2/a"));
    assert_eq!(inode("v1/a"), inode("v3/a"));
    assert_ne!(inode("v1/b"), inode("v3/b"));
    assert_eq!(std::fs::read_to_string(site.path("root/releases/v3/b")).unwrap(), "changed");
}

#[test]
fn what_a_step_did_to_a_file_but_its_content_is_in_the_release_although_its_content_is_shared() {
    let site = Site::new();
    for file in ["same", "owned", "noted"] {
        site.write(&format!("source/d/{file}"), file);
    }
    site.mk(&site.path("source"), &["--name", "v1"]).expect(0);
    symlink("releases/v1", site.path("root/current")).unwrap();
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skip::note("only root gives files away");
    }
    let step = if is_root { "s=chgrp 65534 d/owned && chgrp 65534 d && chmod 2775 d" } else { "s=true" };
    let run = site.mk(&site.path("source"), &["--name", "v2", "--link-unchanged", "--step", step]).expect(0);
    let of = |path: &str| std::fs::metadata(site.path("root/releases").join(path)).unwrap();
    assert_eq!(of("v1/d/same").ino(), of("v2/d/same").ino());
    if is_root {
        assert_eq!((of("v2/d/owned").gid(), of("v1/d/owned").gid()), (65534, of("v1/d/same").gid()));
        assert_eq!(run.record["stages"][0]["linked_files"], 2);
        let listing = std::fs::read_to_string(site.path("root/.cutover/tree/v2")).unwrap();
        assert!(listing.contains("#d 2775 d\n"), "{listing}");
    }
}

#[test]
fn neither_the_root_nor_the_tree_that_is_built_is_copied_into_itself() {
    let site = Site::new();
    site.write("source/a", "a");
    let mk = |from: &str, root: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_release-mk"));
        Run::of(&command.arg("--root").arg(site.path(root)).arg("--from").arg(site.path(from)).output().unwrap())
    };
    assert_eq!(mk("source", "source/new").expect(1).code(), "mk.source");
    site.mk(&site.path("source"), &["--name", "v1", "--exclude", "new"]).expect(0);
    assert_eq!(mk("root/.cutover", "root").expect(1).code(), "mk.source");
    assert_eq!(site.state(), [vec!["v1".to_owned()], vec![], vec![]]);
}

#[test]
fn a_checkout_is_copied_as_it_is_with_a_warning_of_its_history() {
    let site = Site::new();
    site.write("source/a", "a");
    site.write("source/.git/HEAD", "ref: refs/heads/main\n");
    site.write("source/.gitignore", "target\n");
    let run = site.mk(&site.path("source"), &["--name", "all"]).expect(0);
    assert_eq!(run.record["warnings"][0]["code"], "mk.git_directory");
    assert!(site.path("root/releases/all/.git/HEAD").exists());
    for (id, option) in [("excluded", ["--exclude", ".git"]), ("removed", ["--step", "ship=rm -r .git"])] {
        let run = site.mk(&site.path("source"), &["--name", id, option[0], option[1]]).expect(0);
        assert!(run.record.get("warnings").is_none(), "{id}: {}", run.record);
        assert!(site.path("root/releases").join(id).join(".gitignore").exists());
        assert!(!site.path("root/releases").join(id).join(".git").exists());
    }
}

#[test]
fn a_source_that_is_linked_is_refused_and_warned_of_like_one_that_is_copied() {
    let site = Site::new();
    site.write("source/a", "a");
    site.mk(&site.path("source"), &["--name", "v1"]).expect(0);
    symlink("releases/v1", site.path("root/current")).unwrap();
    let again = |from: &str, name: &str| site.mk(&site.path(from), &["--link-unchanged", "--name", name]);
    symlink("../elsewhere", site.path("source/link")).unwrap();
    let run = again("source", "v2").expect(0);
    assert_eq!(run.record["warnings"][0]["code"], "mk.link_leaves");
    let queue = site.path("source/queue");
    nix::unistd::mkfifo(&queue, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = again("source", "v3").expect(1);
    assert_eq!(run.code(), "mk.source");
    assert!(run.stderr.contains("queue") && run.stderr.contains("is a FIFO"), "{}", run.stderr);
    std::fs::create_dir(site.path("empty")).unwrap();
    assert_eq!(again("empty", "v4").expect(1).code(), "mk.empty");
    std::fs::remove_file(queue).unwrap();
    let run = again(".", "v5").expect(1);
    assert_eq!(run.code(), "mk.source");
    assert!(run.stderr.contains("is the root itself"), "{}", run.stderr);
    assert_eq!(site.state(), [vec!["v1".to_owned(), "v2".into()], vec![], vec![]]);
}

#[test]
fn a_step_writes_into_no_file_of_the_live_release() {
    let site = Site::new();
    site.write("source/d/same", "same");
    site.write("source/d/written", "x\n");
    site.mk(&site.path("source"), &["--name", "v1"]).expect(0);
    symlink("releases/v1", site.path("root/current")).unwrap();
    let time = |id: &str| std::fs::metadata(site.path("root/releases").join(id).join("d")).unwrap().modified().unwrap();
    let step = ["--link-unchanged", "--step", "s=echo more >> d/written"];
    let run = site.mk(&site.path("source"), &[&["--name", "v2"], &step[..]].concat()).expect(0);
    assert_eq!(run.record["stages"][0]["linked_files"], 1);
    let inode = |path: &str| std::fs::metadata(site.path("root/releases").join(path)).unwrap().ino();
    assert_eq!(inode("v1/d/same"), inode("v2/d/same"));
    for (id, text) in [("v1", "x\n"), ("v2", "x\nmore\n")] {
        assert_eq!(std::fs::read_to_string(site.path("root/releases").join(id).join("d/written")).unwrap(), text);
        site.sha256sum(id);
    }
    assert_eq!(time("v1"), time("v2"));
    assert_eq!(site.path("root/releases/v2/d").read_dir().unwrap().count(), 2);
}

#[test]
fn a_pattern_that_is_none_a_stamp_without_a_directory_and_a_link_that_leaves_are_said() {
    let site = Site::new();
    site.write("source/d/f", "x");
    symlink("../../elsewhere", site.path("source/d/link")).unwrap();
    let mk = |arguments: &[&str]| site.mk(&site.path("source"), arguments);
    for wrong in
        [["--exclude", "a["], ["--artifact", "a["], ["--stamp", "../STAMP"], ["--stamp", "d"], ["--share", "/etc/"]]
    {
        mk(&wrong).expect(2);
    }
    assert!(!site.path("root").exists(), "a wrong command line makes no root");
    assert_eq!(mk(&["--stamp", "missing/STAMP"]).expect(1).code(), "mk.stamp");
    assert_eq!(site.state(), [vec![], vec![], Vec::<String>::new()]);
    let run = mk(&["--stamp", "d/STAMP", "--name", "v1"]).expect(0);
    let warning = &run.record["warnings"][0];
    assert!(
        warning["code"] == "mk.link_leaves" && warning["message"].as_str().unwrap().contains("d/link"),
        "{warning}"
    );
    assert!(site.path("root/releases/v1/d/STAMP").exists());
    site.sha256sum("v1");
}

#[test]
fn a_file_that_is_written_while_it_is_copied_is_in_no_release() {
    let site = Site::new();
    let file = site.write("source/log", vec![b'x'; 32 << 20]);
    let is_over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::File::options().append(true).open(&file).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, b"more").unwrap();
            }
        });
        let run = site.mk(&site.path("source"), &[]);
        is_over.store(true, Ordering::Relaxed);
        run
    });
    let run = run.expect(1);
    assert_eq!((run.code(), &run.record["error"]["retryable"]), ("mk.changed", &true.into()));
    assert_eq!(site.state(), [vec![], vec![], Vec::<String>::new()]);
}
