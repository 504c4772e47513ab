//! How releases come and go.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use store::listing::{self, What};
use store::staging::{self, Liveness};
use store::{debris, inventory, trash};

use crate::scene::*;

fn sha256sum_accepts(listing: &Path, tree: &Path) -> bool {
    let output = std::process::Command::new("sha256sum")
        .args(["--strict", "--quiet", "-c"])
        .arg(listing)
        .current_dir(tree)
        .output();
    let output = output.unwrap();
    println!("{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    output.status.success()
}

#[test]
fn odd_names_are_listed_as_sha256sum_reads_them() {
    let tree = tempfile::tempdir().unwrap();
    let file = |path: &[u8]| {
        let what = What::File { mode: 0o644, size: 5, sha256: sha(b"hello") };
        listing::Entry { path: path.to_vec(), what }
    };
    let mut names =
        [&b"-"[..], b"-rf", b"a b", b"a\\b", b"a\nb", b"cr\r", b"#f 0644 5", b" x", b"\xff\xfe", b"\x1b[2J"];
    names.sort_unstable();
    let mut writer = listing::Writer::new(Vec::new());
    for name in names {
        use std::os::unix::ffi::OsStrExt;
        fs::write(tree.path().join(std::ffi::OsStr::from_bytes(name)), "hello").unwrap();
        writer.entry(&file(name)).unwrap();
    }
    let (bytes, sum) = writer.finish().unwrap();
    assert_eq!((sum.files, sum.bytes), (10, 50));
    let listing = tempfile::NamedTempFile::new().unwrap();
    fs::write(listing.path(), bytes).unwrap();
    assert!(sha256sum_accepts(listing.path(), tree.path()));
}

#[test]
fn a_release_is_its_tree_and_its_manifest_and_sha256sum_can_check_it() {
    let scene = scene();
    scene.release("v1");
    let seen = inventory::read(&scene.root).unwrap();
    assert_eq!(seen.releases.iter().map(|m| m.id.to_string()).collect::<Vec<_>>(), ["v1"]);
    assert!(seen.staging.is_empty() && seen.trash.is_empty() && seen.strangers.is_empty());
    assert_eq!(debris::find(&scene.root, &BTreeSet::new()).unwrap(), []);
    assert!(sha256sum_accepts(&scene.path(".cutover/tree/v1"), &scene.path("releases/v1")));
    fs::write(scene.path("releases/v1/app"), "hullo").unwrap();
    assert!(!sha256sum_accepts(&scene.path(".cutover/tree/v1"), &scene.path("releases/v1")));
    let mode = |below: &str| fs::metadata(scene.path(below)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("releases/v1"), mode(".cutover"), mode(".cutover/manifests/v1.json")), (0o755, 0o755, 0o644));
    assert_eq!((mode(".cutover/tree/v1"), mode(".cutover/lock"), mode(".cutover/deploy")), (0o644, 0o600, 0o600));
}

#[test]
fn an_id_that_exists_in_any_form_is_refused_and_left_as_it_is() {
    let scene = scene();
    scene.release("v1");
    fs::write(scene.path("releases/file"), "mine").unwrap();
    symlink("nowhere", scene.path("releases/link")).unwrap();
    symlink("releases/v1", scene.path("v9")).unwrap();
    symlink("releases/gone", scene.path("current")).unwrap();
    for taken in ["v1", "file", "link", "v9", "gone"] {
        let lock = scene.root.lock(SOON, "test").unwrap();
        let error = staging::begin(&lock, id(taken), 9, "p", "test").unwrap_err();
        assert_eq!(code(&error), (1, "mk.exists"), "{taken}");
    }
    assert_eq!(fs::read(scene.path("releases/file")).unwrap(), b"mine");
    assert!(fs::read_dir(scene.path(".cutover/staging")).unwrap().next().is_none());
}

#[test]
fn only_one_builder_of_an_id_and_a_dead_one_can_be_taken_over() {
    let scene = scene();
    let (build, _) = scene.build("v1");
    {
        let lock = scene.root.lock(SOON, "test").unwrap();
        let error = staging::begin(&lock, id("v1"), 2, "p", "test").unwrap_err();
        assert_eq!(code(&error), (75, "mk.being_built"));
        assert!(format!("{error}").contains(&format!("pid {}", std::process::id())), "{error}");
        assert_eq!(code(&staging::resume(&lock, &id("v1"), "p", "test").unwrap_err()), (75, "mk.being_built"));
        assert_eq!(staging::list(&scene.root).unwrap()[0].liveness, Liveness::Live);
        assert_eq!(store::next_seq(&lock).unwrap(), 2);
    }
    drop(build);
    let lock = scene.root.lock(SOON, "test").unwrap();
    assert_eq!(staging::list(&scene.root).unwrap()[0].liveness, Liveness::Dead);
    let resumed = staging::resume(&lock, &id("v1"), "q", "test").unwrap();
    assert_eq!((resumed.seq, resumed.tree.names().unwrap().len()), (1, 1));
    assert_eq!(code(&staging::resume(&lock, &id("v2"), "q", "test").unwrap_err()), (69, "mk.no_build"));
}

#[test]
fn papers_that_a_broken_disk_left_of_a_release_that_never_was_are_in_nobodys_way() {
    for left in [".cutover/tree/v1", ".cutover/manifests/v1.json", ".cutover/pins/v1.json"] {
        let scene = scene();
        scene.release("other");
        fs::create_dir_all(scene.path(left).parent().unwrap()).unwrap();
        fs::write(scene.path(left), "of the one before").unwrap();
        scene.release("v1");
        assert!(sha256sum_accepts(&scene.path(".cutover/tree/v1"), &scene.path("releases/v1")), "{left}");
        assert!(!scene.path(".cutover/pins/v1.json").exists(), "{left}");
    }
}

#[test]
fn a_publication_that_fails_takes_its_papers_back() {
    let scene = scene();
    let (build, manifest) = scene.build("v1");
    // Somebody without our lock puts something in the way.
    fs::create_dir_all(scene.path("releases/v1/x")).unwrap();
    let lock = scene.root.lock(SOON, "test").unwrap();
    build.publish(&lock, &manifest, "listing").unwrap_err();
    assert!(!scene.path(".cutover/manifests/v1.json").exists() && !scene.path(".cutover/tree/v1").exists());
    assert!(scene.path("releases/v1/x").exists());
}

#[test]
fn papers_without_a_release_are_debris_and_do_not_stop_a_rerun() {
    let scene = scene();
    scene.release("v1");
    fs::remove_dir_all(scene.path("releases/v1")).unwrap();
    fs::write(scene.path(".cutover/pins/.v1.json.0123456789abcdef"), "half").unwrap();
    assert_eq!(inventory::read(&scene.root).unwrap().without_tree, [id("v1")]);
    {
        let lock = scene.root.lock(SOON, "test").unwrap();
        let left = debris::find(&lock, &BTreeSet::new()).unwrap();
        assert_eq!(left.len(), 3, "{left:?}");
        debris::remove(&lock, &left).unwrap();
        assert_eq!(debris::find(&lock, &BTreeSet::new()).unwrap(), []);
    }
    assert_eq!(scene.release("v1").seq, 1);
}

#[test]
fn a_release_in_trash_is_gone_with_its_papers() {
    let scene = scene();
    scene.release("v1");
    scene.release("v2");
    fs::set_permissions(scene.path("releases/v1"), fs::Permissions::from_mode(0o555)).unwrap();
    let lock = scene.root.lock(SOON, "test").unwrap();
    let name = trash::move_release(&lock, &id("v1")).unwrap();
    assert_eq!(trash::list(&scene.root).unwrap(), [name]);
    let seen = inventory::read_locked(&lock).unwrap();
    assert_eq!(seen.releases.iter().map(|m| m.id.to_string()).collect::<Vec<_>>(), ["v2"]);
    assert_eq!(debris::find(&lock, &BTreeSet::new()).unwrap(), []);
    assert_eq!(store::next_seq(&lock).unwrap(), 3);
}
