//! A git revision becomes a release, and nothing of the repository runs.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use site::Site;

fn git(site: &Site, arguments: &[&str]) -> String {
    git_in(site, "repository", arguments)
}

fn git_in(site: &Site, repository: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(site.path(repository))
        .args(["-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always"])
        .args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn repository() -> Option<Site> {
    if Command::new("git").arg("--version").output().is_err() {
        skip::note("there is no git");
        return None;
    }
    let site = Site::new();
    site.write("repository/bin/app", "one\n");
    std::fs::set_permissions(site.path("repository/bin/app"), std::fs::Permissions::from_mode(0o755)).unwrap();
    git(&site, &["init", "--quiet", "--initial-branch=main"]);
    git(&site, &["add", "--all"]);
    git(&site, &["commit", "--quiet", "--message=one"]);
    git(&site, &["tag", "v1"]);
    Some(site)
}

#[test]
fn a_tag_a_branch_and_an_id_become_releases_and_later_commits_are_fetched() {
    let Some(site) = repository() else { return };
    let from = site.path("repository");
    let run = site.mk(&from, &["--ref", "v1", "--name", "a"]).expect(0);
    let revision = git(&site, &["rev-parse", "v1"]);
    assert_eq!(run.record["release"]["source"]["revision"], revision.as_str());
    site.sha256sum("a");
    let stat = std::fs::metadata(site.path("root/releases/a/bin/app")).unwrap();
    assert_eq!(stat.permissions().mode() & 0o777, 0o755);
    site.write("repository/bin/app", "two\n");
    git(&site, &["commit", "--quiet", "--all", "--message=two"]);
    site.mk(&from, &["--ref", "main", "--name", "b"]).expect(0);
    assert_eq!(std::fs::read_to_string(site.path("root/releases/b/bin/app")).unwrap(), "two\n");
    site.mk(&from, &["--ref", &revision, "--name", "c"]).expect(0);
    assert_eq!(std::fs::read_to_string(site.path("root/releases/c/bin/app")).unwrap(), "one\n");
    assert_eq!(site.mk(&from, &["--ref", "nothing"]).expect(1).code(), "mk.reference");
    assert!(!site.path("root/releases/a/.git").exists());
}

#[test]
fn references_and_addresses_that_mean_something_else_are_refused() {
    let Some(site) = repository() else { return };
    for reference in ["-x", "--upload-pack=true", "HEAD@{1}", "main..v1", ":bin", "main^"] {
        site.mk(&site.path("repository"), &[&format!("--ref={reference}")]).expect(2);
    }
    let touch = format!("ext::touch {}", site.path("ran").display());
    for address in [touch.as_str(), "http://localhost/x", "git://localhost/x", "fd::3"] {
        site.mk(std::path::Path::new(address), &["--ref", "main"]).expect(2);
    }
    assert!(!site.path("ran").exists());
}

#[test]
fn neither_hooks_nor_filters_of_a_repository_run() {
    let Some(site) = repository() else { return };
    let touch = format!("touch {}", site.path("ran").display());
    site.write("repository/.gitattributes", "* filter=evil export-subst\n");
    site.write("repository/stamp", "$Format:%H$");
    git(&site, &["add", "--all"]);
    git(&site, &["commit", "--quiet", "--message=attributes"]);
    for (key, value) in [
        ("filter.evil.smudge", touch.as_str()),
        ("core.fsmonitor", &touch),
        ("uploadpack.packObjectsHook", &touch),
        ("core.hooksPath", "hooks"),
    ] {
        git(&site, &["config", key, value]);
    }
    for hook in ["post-checkout", "reference-transaction", "pre-auto-gc", "post-update"] {
        let path = site.write(&format!("repository/.git/hooks/{hook}"), format!("#!/bin/sh\n{touch}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    site.mk(&site.path("repository"), &["--ref", "main", "--name", "a"]).expect(0);
    assert!(!site.path("ran").exists(), "something of the repository was run");
    assert_eq!(std::fs::read_to_string(site.path("root/releases/a/stamp")).unwrap(), "$Format:%H$");
}

#[test]
fn submodules_are_fetched_at_their_commits_where_they_are_wanted_and_only_then() {
    let Some(site) = repository() else { return };
    for (name, content) in [("inner", "inner one\n"), ("library", "library one\n")] {
        site.write(&format!("{name}/{name}.txt"), content);
        git_in(&site, name, &["init", "--quiet", "--initial-branch=main"]);
        git_in(&site, name, &["add", "--all"]);
        git_in(&site, name, &["commit", "--quiet", "--message=one"]);
    }
    git_in(&site, "library", &["submodule", "--quiet", "add", "../inner", "deps/inner"]);
    git_in(&site, "library", &["commit", "--quiet", "--message=two"]);
    git(&site, &["submodule", "--quiet", "add", "../library", "vendor/library"]);
    git(&site, &["commit", "--quiet", "--message=three"]);
    // What came later is not what the commit names.
    site.write("library/library.txt", "library two\n");
    git_in(&site, "library", &["commit", "--quiet", "--all", "--message=three"]);
    let from = site.path("repository");

    site.mk(&from, &["--ref", "main", "--name", "without"]).expect(0);
    let empty = site.path("root/releases/without/vendor/library");
    assert_eq!(std::fs::read_dir(empty).unwrap().count(), 0);
    site.mk(&from, &["--ref", "main", "--submodules", "--name", "with"]).expect(0);
    let read = |path: &str| std::fs::read_to_string(site.path("root/releases/with").join(path)).unwrap();
    assert_eq!(read("vendor/library/library.txt"), "library one\n");
    assert_eq!(read("vendor/library/deps/inner/inner.txt"), "inner one\n");
    assert_eq!(read("bin/app"), "one\n");
    site.sha256sum("with");
}

#[test]
fn a_submodule_that_is_no_repository_we_may_read_is_refused_and_names_its_path() {
    let Some(site) = repository() else { return };
    let revision = git(&site, &["rev-parse", "HEAD"]);
    for url in ["ext::sh -c 'touch ran'", "git://localhost/x", "library", "http://localhost/x", "../missing"] {
        site.write("repository/.gitmodules", format!("[submodule \"a\"]\n\tpath = vendor/a\n\turl = {url}\n"));
        git(&site, &["add", ".gitmodules"]);
        git(&site, &["update-index", "--add", "--cacheinfo", &format!("160000,{revision},vendor/a")]);
        git(&site, &["commit", "--quiet", "--message=submodule"]);
        let run = site.mk(&site.path("repository"), &["--ref", "main", "--submodules"]).expect(1);
        let code = run.code();
        assert!(code == "mk.submodule" || (url == "../missing" && code == "mk.git"), "{url}: {code}");
    }
    // Without the option nobody asks what they say.
    site.mk(&site.path("repository"), &["--ref", "main"]).expect(0);
    site.mk(&site.path("repository"), &["--submodules"]).expect(2);
}

#[test]
fn what_is_known_by_its_object_id_is_linked_without_being_decoded() {
    let Some(site) = repository() else { return };
    let from = site.path("repository");
    let revision = git(&site, &["rev-parse", "v1"]);
    let blob = git(&site, &["rev-parse", "v1:bin/app"]);
    site.mk(&from, &["--ref", &revision, "--name", "a", "--link-unchanged"]).expect(0);
    std::os::unix::fs::symlink("releases/a", site.path("root/current")).unwrap();
    let mirrors = site.path("root/.cutover/mirrors").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mirror = mirrors.into_iter().find(|path| path.extension().is_some_and(|end| end == "git")).unwrap();
    // What is not there cannot be decoded.
    std::fs::remove_file(mirror.join("objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let run = site.mk(&from, &["--ref", &revision, "--name", "b", "--link-unchanged"]).expect(0);
    assert_eq!(run.record["stages"][0]["linked_files"], 1);
    let inode = |id: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(site.path(&format!("root/releases/{id}/bin/app"))).unwrap().ino()
    };
    assert_eq!(inode("a"), inode("b"));
    site.sha256sum("b");
    site.mk(&from, &["--ref", &revision, "--name", "c"]).expect(1);
}

#[test]
fn what_the_previous_release_no_longer_has_comes_from_git() {
    let Some(site) = repository() else { return };
    site.write("repository/text", "of the repository\n");
    git(&site, &["add", "--all"]);
    git(&site, &["commit", "--quiet", "--message=text"]);
    let from = site.path("repository");
    let step = "s=echo changed by a step > text";
    site.mk(&from, &["--ref", "main", "--name", "a", "--link-unchanged", "--step", step]).expect(0);
    std::os::unix::fs::symlink("releases/a", site.path("root/current")).unwrap();
    std::fs::remove_file(site.path("root/releases/a/bin/app")).unwrap();
    let run = site.mk(&from, &["--ref", "main", "--name", "b", "--link-unchanged"]).expect(0);
    assert_eq!(run.record["stages"][0]["linked_files"], 0);
    assert_eq!(std::fs::read_to_string(site.path("root/releases/b/text")).unwrap(), "of the repository\n");
    assert_eq!(std::fs::read_to_string(site.path("root/releases/b/bin/app")).unwrap(), "one\n");
    site.sha256sum("b");
}
