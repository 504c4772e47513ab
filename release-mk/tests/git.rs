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
    // What is not there cannot be decoded. Out of its pack first, of which no single object can be taken.
    let unpack = "mv objects/pack/*.pack pack && rm objects/pack/* && git unpack-objects -q < pack";
    let unpacked = Command::new("sh").args(["-c", unpack]).current_dir(&mirror).env("GIT_DIR", ".").status();
    assert!(unpacked.unwrap().success());
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

#[test]
fn a_later_commit_comes_into_the_mirror_that_is_there_and_nothing_comes_twice() {
    let Some(site) = repository() else { return };
    let from = site.path("repository");
    site.mk(&from, &["--ref", "main", "--name", "a"]).expect(0);
    site.write("repository/more", "more\n");
    git(&site, &["add", "--all"]);
    git(&site, &["commit", "--quiet", "--message=two"]);
    // What the mirror has is not asked for again: here it could not be had any more.
    let blob = git(&site, &["rev-parse", "v1:bin/app"]);
    std::fs::remove_file(from.join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    site.mk(&from, &["--ref", "main", "--name", "b"]).expect(0);
    for (name, content) in [("bin/app", "one\n"), ("more", "more\n")] {
        assert_eq!(std::fs::read_to_string(site.path("root/releases/b").join(name)).unwrap(), content);
    }
    // A branch that was rewritten or is gone is so in the mirror too.
    git(&site, &["branch", "side", "v1"]);
    site.mk(&from, &["--ref", "side", "--name", "c"]).expect(0);
    git(&site, &["branch", "--force", "side", "main"]);
    site.mk(&from, &["--ref", "side", "--name", "d"]).expect(0);
    assert!(site.path("root/releases/d/more").exists());
    git(&site, &["branch", "--delete", "--force", "side"]);
    assert_eq!(site.mk(&from, &["--ref", "side"]).expect(1).code(), "mk.reference");
}

#[test]
fn a_file_url_and_ssh_lead_to_the_repository_too_and_no_record_names_the_user() {
    let Some(site) = repository() else { return };
    let path = site.path("repository");
    let path = path.to_str().unwrap();
    // What ssh would run on the other host is run here.
    let ssh = site.write("ssh", "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n");
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (address, told) in [
        (format!("file://{path}"), format!("file://{path}")),
        (format!("ann@example.org:{path}"), format!("example.org:{path}")),
        (format!("ssh://ann:hunter2@example.org{path}"), format!("ssh://example.org{path}")),
    ] {
        let mut command = site.command();
        command.env("GIT_SSH_COMMAND", &ssh).args(["--from", &address, "--ref", "v1", "--stamp", "STAMP"]);
        let run = site::Run::of(&command.output().unwrap()).expect(0);
        assert_eq!(run.record["release"]["source"]["repository"], told.as_str());
        let id = run.record["release"]["id"].as_str().unwrap();
        let stamp = std::fs::read_to_string(site.path("root/releases").join(id).join("STAMP")).unwrap();
        let revision = git(&site, &["rev-parse", "v1"]);
        for line in [format!("RELEASE_ID={id}"), format!("RELEASE_REF=v1\nRELEASE_REVISION={revision}")] {
            assert!(stamp.contains(&line), "{stamp}");
        }
        assert!(!stamp.contains("ann"), "{stamp}");
        assert!(!run.record.to_string().contains("hunter2"), "{}", run.record);
    }
}

#[test]
fn what_ssh_says_of_a_failed_fetch_is_told_and_what_was_said_besides_is_in_the_record() {
    let Some(site) = repository() else { return };
    let body = "#!/bin/sh\necho \"$*\" >&2\nprintf 'ssh: connect to host x: Connection refused\\r\\n' >&2\nexit 255\n";
    let ssh = site.write("ssh", body);
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    for address in ["ann@127.0.0.1:x.git", "ssh://ann:hunter2@127.0.0.1/x.git", "ssh://ann:hunter%32@127.0.0.1/x.git"] {
        let mut command = site.command();
        command.env("GIT_SSH_COMMAND", &ssh).args(["--from", address, "--ref", "main"]);
        let run = site::Run::of(&command.output().unwrap()).expect(1);
        let error = &run.record["error"];
        let message = error["message"].as_str().unwrap();
        for said in ["ann@127.0.0.1", "ssh: connect to host x: Connection refused; fatal: Could not read from remote"] {
            assert!(message.contains(said) && run.stderr.contains(said), "{}\n{error}", run.stderr);
        }
        assert!(error["detail"].as_str().unwrap().contains("access rights"), "{error}");
        for secret in ["hunter2", "hunter%32"] {
            assert!(!run.record.to_string().contains(secret) && !run.stderr.contains(secret), "{}", run.stderr);
        }
    }
}

#[test]
fn a_step_knows_the_revision_and_limits_exclusions_and_links_hold_for_a_repository() {
    let Some(site) = repository() else { return };
    let from = site.path("repository");
    let revision = git(&site, &["rev-parse", "v1"]);
    let step = "s=test ! -e .git && echo $RELEASE_ID $RELEASE_REF $RELEASE_REVISION > told";
    site.mk(&from, &["--ref", "v1", "--name", "a", "--step", step]).expect(0);
    let told = std::fs::read_to_string(site.path("root/releases/a/told")).unwrap();
    assert_eq!(told, format!("a v1 {revision}\n"));
    site.write("repository/doc/page", "page");
    std::os::unix::fs::symlink("/etc/passwd", site.path("repository/out")).unwrap();
    git(&site, &["add", "--all"]);
    git(&site, &["commit", "--quiet", "--message=two"]);
    let main = |more: &[&str]| site.mk(&from, &[&["--ref", "main"], more].concat());
    assert_eq!(main(&[]).expect(77).code(), "archive.link");
    for limit in [["--max-files", "1"], ["--max-bytes", "5"]] {
        assert_eq!(main(&limit).expect(77).code(), "archive.limit");
    }
    main(&["--sha256", &"0".repeat(64)]).expect(2);
    main(&["--exclude", "out", "--exclude", "/doc", "--name", "b"]).expect(0);
    assert_eq!(site.path("root/releases/b").read_dir().unwrap().count(), 1);
    main(&["--allow-external-symlinks", "--name", "c"]).expect(0);
    assert_eq!(std::fs::read_link(site.path("root/releases/c/out")).unwrap().to_str(), Some("/etc/passwd"));
    assert_eq!(site.state()[1..], [vec![], Vec::<String>::new()]);
}

#[test]
fn a_fetch_in_progress_is_not_met_by_another_and_another_users_repository_is_refused() {
    let Some(site) = repository() else { return };
    let from = site.path("repository");
    site.mk(&from, &["--ref", "main", "--name", "a"]).expect(0);
    let mirrors = site.path("root/.cutover/mirrors").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let lock = mirrors.into_iter().find(|path| path.extension().is_some_and(|end| end == "lock")).unwrap();
    let held = std::fs::File::options().write(true).open(lock).unwrap();
    held.lock().unwrap();
    let run = site.mk(&from, &["--ref", "main", "--lock-wait", "0s"]).expect(75);
    assert_eq!((run.code(), &run.record["error"]["retryable"]), ("mk.mirror_busy", &true.into()));
    drop(held);
    if !nix::unistd::geteuid().is_root() {
        skip::note("giving a repository away needs root");
        return;
    }
    for path in ["", ".git"] {
        std::os::unix::fs::chown(from.join(path), Some(65534), None).unwrap();
    }
    let mut command = site.command();
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("SUDO_UID")
        .arg("--from")
        .arg(&from)
        .args(["--ref", "main"]);
    let run = site::Run::of(&command.output().unwrap()).expect(1);
    assert_eq!(run.code(), "mk.git");
    assert!(run.stderr.contains("ownership"), "{}", run.stderr);
}

#[test]
fn a_mirror_that_a_kill_left_half_made_or_locked_is_used_again() {
    let Some(site) = repository() else { return };
    let from = site.path("repository");
    let branch = |name: &str| site.mk(&from, &["--ref", "main", "--name", name]);
    branch("a").expect(0);
    let mirrors = site.path("root/.cutover/mirrors").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mirror = mirrors.into_iter().find(|path| path.extension().is_some_and(|end| end == "git")).unwrap();
    for (at, gone) in ["HEAD", "refs", "objects", "config"].into_iter().enumerate() {
        let path = mirror.join(gone);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        branch(&format!("b{at}")).expect(0);
    }
    git(&site, &["commit", "--quiet", "--allow-empty", "--message=two"]);
    let locks = ["refs/heads/main.lock", "packed-refs.lock", "config.lock", "objects/maintenance.lock"]
        .map(|name| mirror.join(name));
    let lock = |age| {
        for path in &locks {
            let file = std::fs::File::create(path).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
    };
    lock(0);
    assert_eq!(branch("c").expect(1).code(), "mk.git", "somebody may be at work");
    lock(3600);
    branch("c").expect(0);
    assert!(locks.iter().all(|path| !path.exists()), "{locks:?}");
}

#[test]
fn a_mirror_is_packed_again_when_git_finds_that_due() {
    let Some(site) = repository() else { return };
    let from = site.path("repository");
    let packs = || {
        let mirrors = site.path("root/.cutover/mirrors").read_dir().unwrap().map(|entry| entry.unwrap().path());
        let mirror = mirrors.into_iter().find(|path| path.extension().is_some_and(|end| end == "git")).unwrap();
        let files = mirror.join("objects/pack").read_dir().unwrap().map(|entry| entry.unwrap().path());
        (files.filter(|path| path.extension().is_some_and(|end| end == "pack")).count(), mirror)
    };
    site.mk(&from, &["--ref", "main", "--name", "v0"]).expect(0);
    let config = "[fetch]\n\tunpackLimit = 1\n[gc]\n\tautoPackLimit = 3\n";
    let path = packs().1.join("config");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + config).unwrap();
    let mut most = 0;
    for release in 1..=6 {
        git(&site, &["commit", "--quiet", "--allow-empty", "--message=more"]);
        site.mk(&from, &["--ref", "main", "--name", &format!("v{release}")]).expect(0);
        most = most.max(packs().0);
    }
    assert!((2..=4).contains(&most) && packs().0 < 6, "{most} and {} packs of seven fetches", packs().0);
}
