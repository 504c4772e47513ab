//! A release without its directory is told by --verify, and nothing else that has only papers is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the tool as a person would")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use dir::{Name, Wait};
use store::history::{self, Change};
use store::link::{self, Target};
use store::staging::Staging;
use store::{Manifest, Pin, ReleaseId, Root, listing, manifest, pins, staging, trash};

const SOON: Wait = Wait(Duration::from_secs(10));

/// A root with the releases a, b and c, which is live, that goes with the test.
struct Site {
    dir: tempfile::TempDir,
    root: Root,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::create(&dir.path().join("root"), false).unwrap().0;
        let site = Self { dir, root };
        for (name, seq) in [("a", 1), ("b", 2), ("c", 3)] {
            let (build, manifest) = site.build(name, seq);
            let lock = site.root.lock(SOON, "test").unwrap();
            build.publish(&lock, &manifest, "listing").unwrap();
            drop(lock);
            site.switch(&manifest);
        }
        site
    }

    fn build(&self, name: &str, seq: u64) -> (Staging, Manifest) {
        let lock = self.root.lock(SOON, "test").unwrap();
        let build = staging::begin(&lock, ReleaseId::new(name).unwrap(), seq, "pipe", "test").unwrap();
        let (bytes, sum) = listing::Writer::new(Vec::new()).finish().unwrap();
        build.dir.create_file("listing", &bytes, 0o600).unwrap();
        let manifest = serde_json::json!({
            "id": name, "seq": seq, "digest": sum.digest, "files": 0, "bytes": 0, "created_at": "2026-11-21T07:10:00Z",
        });
        (build, serde_json::from_value(manifest).unwrap())
    }

    fn switch(&self, to: &Manifest) {
        let lock = self.root.lock(SOON, "test").unwrap();
        let change = || Change {
            pipe: format!("pipe{}", to.seq),
            link: Name::new("current").unwrap(),
            from: None,
            to: to.id.clone(),
            to_seq: Some(to.seq),
            digest: Some(to.digest.clone()),
            target: format!("releases/{}", to.id),
            reason: None,
            stages: Vec::new(),
            at: SystemTime::now(),
        };
        let intent = history::intent(&lock, change()).unwrap();
        link::replace(&lock, &change().link, &Target::release(to.id.clone())).unwrap();
        history::done(&lock, intent, change().at).unwrap();
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("root").join(below)
    }

    /// Status, stdout and stderr.
    fn verify(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_release-ls"));
        let output = command.arg("--root").arg(self.path("")).arg("--verify").args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn a_release_whose_directory_is_gone_is_missing_and_the_link_to_it_is_told() {
    let site = Site::new();
    assert_eq!(site.verify(&[]).0, Some(0));
    fs::remove_dir_all(site.path("releases/c")).unwrap();
    for arguments in [&[][..], &["c"]] {
        let (status, stdout, stderr) = site.verify(arguments);
        assert_eq!(status, Some(1), "{stdout}{stderr}");
        assert!(stdout.contains("MISSING  c  there is no releases/c; the link current names it\n"), "{stdout}");
        let link = "link current -> releases/c leads to nothing: release-switch --rollback goes back to b";
        assert!(stderr.contains(link) && stderr.contains("missing: c\n"), "{stderr}");
    }
    assert_eq!(site.verify(&["b"]).0, Some(0));
    let (_, json, _) = site.verify(&["c", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
    let difference = &answer["differences"][0];
    assert_eq!((answer["ok"].as_bool(), difference["what"].as_str()), (Some(false), Some("missing")), "{json}");
    fs::write(site.path("releases/c"), "").unwrap();
    let (status, stdout, _) = site.verify(&[]);
    assert_eq!((status, stdout.lines().next()), (Some(1), Some("MISSING  c  releases/c is no directory")), "{stdout}");
    fs::remove_file(site.path("releases/c")).unwrap();
    // A collection takes the papers as well; the link still tells.
    fs::remove_file(site.path(".cutover/manifests/c.json")).unwrap();
    let (status, stdout, _) = site.verify(&[]);
    assert!(status == Some(1) && stdout.starts_with("MISSING  c  "), "{stdout}");
}

#[test]
fn a_pinned_release_that_was_moved_away_is_missing_until_it_is_put_back() {
    let site = Site::new();
    let pin = Pin {
        id: ReleaseId::new("a").unwrap(),
        until: "2999-01-01T00:00:00Z".into(),
        owner: "ops".into(),
        reason: "audit".into(),
        set_at: "2026-11-21T07:10:00Z".into(),
    };
    pins::set(&site.root.lock(SOON, "test").unwrap(), &pin).unwrap();
    fs::rename(site.path("releases/a"), site.path("aside")).unwrap();
    let (status, stdout, stderr) = site.verify(&[]);
    assert_eq!(status, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("MISSING  a  there is no releases/a; it is pinned\n"), "{stdout}");
    assert!(!stderr.contains("leads to nothing"), "{stderr}");
    fs::rename(site.path("aside"), site.path("releases/a")).unwrap();
    assert_eq!(site.verify(&[]).0, Some(0));
}

#[test]
fn the_papers_of_a_build_and_of_a_collection_that_were_killed_are_no_missing_release() {
    let site = Site::new();
    let (build, papers) = site.build("d", 4);
    let lock = site.root.lock(SOON, "test").unwrap();
    manifest::write(&lock, &papers).unwrap();
    assert_eq!(site.verify(&[]).0, Some(0), "while it is being published");
    let name = build.name.clone();
    drop(build);
    assert_eq!(site.verify(&[]).0, Some(0), "after its builder was killed");
    trash::move_staging(&lock, &name).unwrap();
    assert_eq!(site.verify(&[]).0, Some(0), "after a collection took the build");
    let id = ReleaseId::new("a").unwrap();
    let kept = manifest::read(&site.root, &id).unwrap().unwrap();
    trash::move_release(&lock, &id).unwrap();
    manifest::write(&lock, &kept).unwrap();
    assert_eq!(site.verify(&[]).0, Some(0), "after the collection was killed before it took the papers");
    drop(lock);
    // An earlier build of that name, which failed and was kept, explains nothing.
    let (earlier, _) = site.build("e", 5);
    let mut papers = papers;
    papers.id = ReleaseId::new("e").unwrap();
    papers.seq = 6;
    manifest::write(&site.root.lock(SOON, "test").unwrap(), &papers).unwrap();
    drop(earlier);
    let (status, stdout, _) = site.verify(&[]);
    assert!(status == Some(1) && stdout.contains("MISSING  e"), "{stdout}");
}
