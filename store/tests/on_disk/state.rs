//! The lock, the pins, and what is refused in their place.

use std::fs;
use std::os::unix::fs::symlink;

use store::{Pin, PinState, Root, pins};

use crate::scene::*;

#[test]
fn the_lock_is_for_one_and_names_its_holder() {
    let scene = scene();
    let lock = scene.root.lock(SOON, "holding-tool").unwrap();
    let other = Root::open(scene.root.path(), false).unwrap();
    let error = other.lock(dir::Wait(std::time::Duration::ZERO), "test").unwrap_err();
    assert_eq!(code(&error), (75, "lock.busy"));
    assert!(format!("{error}").contains("holding-tool (pid "), "{error}");
    drop(lock);
    drop(other.lock(SOON, "test").unwrap());
    assert_eq!(fs::read(scene.path(".cutover/lock")).unwrap(), b"");
}

#[test]
fn what_stands_in_place_of_state_is_refused_and_untouched() {
    for part in ["releases", ".cutover", ".cutover/lock"] {
        let scene = scene();
        let aside = scene.dir.path().join("aside");
        fs::rename(scene.path(part), &aside).unwrap();
        symlink(&aside, scene.path(part)).unwrap();
        let opened = Root::open(scene.root.path(), false).and_then(|root| root.lock(SOON, "test").map(drop));
        assert_eq!(code(&opened.unwrap_err()).0, 77, "{part}");
    }
    let missing = tempfile::tempdir().unwrap();
    let error = Root::open(missing.path(), false).unwrap_err();
    assert_eq!(code(&error).0, 1);
    assert_eq!(code(&Root::create(&missing.path().join("a/b"), false).unwrap_err()), (1, "root.no_parent"));
}

#[test]
fn a_pin_keeps_until_its_date_and_one_that_does_not_read_keeps_for_good() {
    let scene = scene();
    let pin = |until: &str| Pin {
        id: id("v1"),
        until: until.into(),
        owner: "ann".into(),
        reason: "trial".into(),
        set_at: "2026-11-21T07:10:00Z".into(),
    };
    let at = |text: &str| record::clock::parse_rfc3339(text).unwrap();
    let lock = scene.root.lock(SOON, "test").unwrap();
    pins::set(&lock, &pin("2026-12-01T00:00:00Z")).unwrap();
    let state = pins::read(&lock, &id("v1")).unwrap().unwrap();
    assert!(state.keeps(at("2026-11-30T23:59:59Z")) && !state.keeps(at("2026-12-01T00:00:00Z")));
    for garbage in [&b""[..], b"{", b"tomorrow", &serde_json::to_vec(&pin("next week")).unwrap()] {
        fs::write(scene.path(".cutover/pins/v1.json"), garbage).unwrap();
        let state = pins::read(&lock, &id("v1")).unwrap().unwrap();
        assert!(matches!(state, PinState::Unreadable(_)) && state.keeps(at("2099-01-01T00:00:00Z")));
    }
    assert!(pins::remove(&lock, &id("v1")).unwrap() && !pins::remove(&lock, &id("v1")).unwrap());
}
