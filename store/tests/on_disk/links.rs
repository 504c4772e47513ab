//! Links, and the history that agrees with them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dir::Name;
use store::history::{self, Kind};
use store::inventory;
use store::link::{self, Standing, Target};

use crate::scene::*;

#[test]
fn a_link_is_replaced_and_what_is_no_link_is_never_removed() {
    let scene = scene();
    let (one, two) = (scene.release("v1"), scene.release("v2"));
    scene.switch(&one);
    scene.switch(&two);
    assert_eq!(fs::read_link(scene.path("current")).unwrap(), Path::new("releases/v2"));
    for (name, is_dir) in [("directory", true), ("file", false)] {
        let path = scene.path(name);
        if is_dir {
            fs::create_dir(&path).unwrap()
        } else {
            fs::write(&path, "x").unwrap()
        }
        let lock = scene.root.lock(SOON, "test").unwrap();
        let error = link::replace(&lock, &Name::new(name).unwrap(), &Target::release(id("v1"))).unwrap_err();
        assert_eq!(code(&error), (77, "link.obstructed"));
        assert!(!path.is_symlink() && path.exists());
    }
    let lock = scene.root.lock(SOON, "test").unwrap();
    for reserved in ["releases", "shared", ".cutover", ".cutover-link-0123456789abcdef"] {
        let error = link::replace(&lock, &Name::new(reserved).unwrap(), &Target::release(id("v1"))).unwrap_err();
        assert_eq!(code(&error).0, 2, "{reserved}");
    }
}

#[test]
fn an_open_intent_ends_as_its_link_says() {
    for arrived in [true, false] {
        let scene = scene();
        let one = scene.release("v1");
        {
            let lock = scene.root.lock(SOON, "test").unwrap();
            let _intent = history::intent(&lock, Scene::change(&one)).unwrap();
            if arrived {
                link::replace(&lock, &current(), &Target::release(one.id.clone())).unwrap();
            } else {
                symlink("releases/v1", scene.path(".cutover-link-0123456789abcdef")).unwrap();
            }
        }
        let expected = if arrived { [Kind::Intent, Kind::Done] } else { [Kind::Intent, Kind::Abort] };
        assert_eq!(scene.kinds(), expected);
        assert!(!scene.path(".cutover-link-0123456789abcdef").is_symlink());
    }
}

#[test]
fn a_link_changed_by_hand_is_found_once_and_another_spelling_is_no_change() {
    let scene = scene();
    let (one, _) = (scene.release("v1"), scene.release("v2"));
    scene.switch(&one);
    let relink = |name: &str, text: &Path| {
        let _ = fs::remove_file(scene.path(name));
        symlink(text, scene.path(name)).unwrap();
    };
    relink("current", &scene.path("releases/v1"));
    assert_eq!(scene.kinds(), [Kind::Intent, Kind::Done]);
    relink("current", Path::new("releases/v2"));
    relink("blue", Path::new("./releases/v1/"));
    relink("unrelated", Path::new("shared"));
    for _ in 0..2 {
        assert_eq!(scene.kinds(), [Kind::Intent, Kind::Done, Kind::Found, Kind::Found]);
    }
    fs::remove_file(scene.path("current")).unwrap();
    for _ in 0..2 {
        assert_eq!(scene.kinds().len(), 5);
    }
    let seen = inventory::read(&scene.root).unwrap();
    assert_eq!(seen.current(&Name::new("blue").unwrap()).unwrap().id, id("v1"));
    assert_eq!(seen.previous(&current()).unwrap().0.id, id("v2"));
}

#[test]
fn a_torn_line_is_ignored_by_readers_and_cut_off_by_the_next_writer() {
    let scene = scene();
    let (one, two) = (scene.release("v1"), scene.release("v2"));
    scene.switch(&one);
    let whole = fs::read(scene.path(".cutover/history.jsonl")).unwrap();
    for torn in [&b"{\"seq\":3,\"at\""[..], b"\0\0\0\0\0\0", b"{\"seq\":3\0\0\0}\n"] {
        fs::write(scene.path(".cutover/history.jsonl"), [&whole[..], torn].concat()).unwrap();
        let read = store::History::read(&scene.root).unwrap();
        assert_eq!((read.entries().len(), read.problems.len()), (2, 0));
        scene.switch(&two);
        let read = store::History::read(&scene.root).unwrap();
        assert_eq!((read.entries().len(), read.torn_bytes, read.problems.len()), (4, 0, 0));
        scene.switch(&one);
    }
}

#[test]
fn every_kind_of_standing_is_told_apart() {
    let scene = scene();
    symlink("releases/none", scene.path("dangling")).unwrap();
    symlink("/", scene.path("out")).unwrap();
    fs::create_dir(scene.path("dir")).unwrap();
    let read = |name: &str| link::read(&scene.root, &Name::new(name).unwrap()).unwrap();
    assert_eq!(read("none"), Standing::Missing);
    assert_eq!(read("dir"), Standing::Obstructed(dir::Kind::Directory));
    let Standing::Link(dangling) = read("dangling") else { panic!("no link") };
    assert_eq!((dangling.release, dangling.problem.as_deref()), (Some(id("none")), Some("leads to nothing")));
    let Standing::Link(out) = read("out") else { panic!("no link") };
    assert_eq!((out.release, out.problem.as_deref()), (None, Some("leads out of releases/")));
}
