//! What is live already is not built again, whatever kind of source it came from.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use site::Site;

fn run(dir: &Path, words: &[&str]) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether something was built, where the live release, if there is one, is `v1`.
fn is_built(site: &Site, from: &str, arguments: &[&str]) -> bool {
    let run = site.mk(&site.path(from), &[&["--if-changed"], arguments].concat()).expect(0);
    let changed = run.record["changed"].as_bool().unwrap();
    let id = &run.record["release"]["id"];
    assert!(changed || id == "v1", "{id} is not the live release");
    changed
}

#[test]
fn a_directory_is_known_with_all_that_is_added_to_it_also_by_a_build_that_was_resumed() {
    let site = Site::new();
    site.write("source/d/f", "x");
    site.write("source/log/kept", "stays behind, since log is shared");
    let step = format!("s=echo built > out; test -e {}", site.path("ready").display());
    let options = ["--share", "log/", "--stamp", "d/STAMP", "--step", &step, "--exclude", "*.o", "--artifact", "/d"];
    site.mk(&site.path("source"), &[&["--name", "v1"], &options[..]].concat()).expect(1);
    site.write("ready", "");
    site.mk(&site.path("source"), &[&["--resume", "v1"], &options[..]].concat()).expect(0);
    symlink("releases/v1", site.path("root/current")).unwrap();
    assert!(!is_built(&site, "source", &options));
    // What stays behind decides nothing.
    site.write("source/log/more", "x");
    site.write("source/d/x.o", "x");
    assert!(!is_built(&site, "source", &options));
    assert!(is_built(&site, "source", &options[..8]));
    std::fs::set_permissions(site.path("source/d/f"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(is_built(&site, "source", &options));
}

#[test]
fn an_archive_is_known_by_its_content_whatever_its_name() {
    let site = Site::new();
    site.write("tree/f", "x");
    run(site.dir.path(), &["tar", "-cf", "one.tar", "-C", "tree", "."]);
    std::fs::copy(site.path("one.tar"), site.path("the same.tar")).unwrap();
    // Nobody had asked for its digest, so it is not known.
    site.mk(&site.path("one.tar"), &["--name", "v0"]).expect(0);
    symlink("releases/v0", site.path("root/current")).unwrap();
    assert!(is_built(&site, "one.tar", &["--name", "v1"]));
    std::fs::remove_file(site.path("root/current")).unwrap();
    symlink("releases/v1", site.path("root/current")).unwrap();
    assert!(!is_built(&site, "one.tar", &[]));
    assert!(!is_built(&site, "the same.tar", &["--name", "v2"]));
    for other in [["--exclude", "g"], ["--share", "log/"], ["--stamp", "STAMP"], ["--step", "s=true"]] {
        assert!(is_built(&site, "one.tar", &other), "{other:?}");
    }
    std::fs::write(site.path("tree/f"), "y").unwrap();
    run(site.dir.path(), &["tar", "-cf", "one.tar", "-C", "tree", "."]);
    assert!(is_built(&site, "one.tar", &[]));
}

#[test]
fn a_revision_is_known_by_whatever_name_it_is_asked_for() {
    if Command::new("git").arg("--version").output().is_err() {
        skip::note("there is no git");
        return;
    }
    let site = Site::new();
    site.write("repository/f", "x");
    let git = |words: &[&str]| {
        let first = ["git", "-C", "repository", "-c", "user.name=n", "-c", "user.email=e"];
        run(site.dir.path(), &[&first[..], words].concat());
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message=one"]);
    git(&["tag", "t1"]);
    assert!(is_built(&site, "repository", &["--ref", "main", "--name", "v1"]));
    symlink("releases/v1", site.path("root/current")).unwrap();
    for name in ["main", "t1", "HEAD", "refs/heads/main"] {
        assert!(!is_built(&site, "repository", &["--ref", name]), "{name}");
    }
    // A fetch would write, so a plan takes it for new.
    assert!(is_built(&site, "repository", &["--ref", "main", "--dry-run"]));
    git(&["commit", "--quiet", "--allow-empty", "--message=two"]);
    assert!(!is_built(&site, "repository", &["--ref", "t1"]));
    assert!(is_built(&site, "repository", &["--ref", "main"]));
}
