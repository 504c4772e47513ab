//! Tables over the plan: what is refused, and with which code.

use super::*;
use crate::request::Step;
use crate::request::tests::request;
use crate::source::archive::Limits;
use crate::source::survey::Sizes;

fn facts() -> Facts {
    let sizes = Some(Sizes { bytes: 100, disk_bytes: 12_288 });
    let survey = Survey { files: 3, sizes, ..Survey::default() };
    Facts { survey: Some(survey), room: Some(Room { bytes: 1 << 30, inodes: Some(1000) }), ..Facts::default() }
}

fn code(result: Result<Plan>) -> &'static str {
    result.unwrap_err().downcast_ref::<Failure>().unwrap().code()
}

#[test]
fn what_is_missing_is_said_before_anything_is_done() {
    let lack = |what: &str, hint: &str| Lack { what: what.into(), hint: hint.into() };
    let missing_variables = vec![lack("/r/.env: A", "set it"), lack("/r/.env: B", "set it"), lack("/r/b", "make it")];
    let facts = Facts { missing_variables, ..facts() };
    assert_eq!(code(plan(&request(), &facts)), "mk.env");
    let refused = plan(&request(), &facts).unwrap_err();
    let refused = refused.downcast_ref::<Failure>().unwrap();
    assert_eq!(refused.to_string(), "not configured: /r/.env: A, /r/.env: B, /r/b");
}

#[test]
fn a_shared_file_must_exist_and_a_shared_directory_is_made() {
    use SharedState::{Directory, File, Missing, Unreadable};
    for (directory, state, expected) in [
        (true, Missing, Ok(1)),
        (true, Directory, Ok(0)),
        (true, File, Err(())),
        (false, File, Ok(0)),
        (false, Missing, Err(())),
        (false, Directory, Err(())),
        (false, Unreadable, Err(())),
        (true, Unreadable, Err(())),
    ] {
        let request = Request { share: vec![Share { path: "a".into(), directory }], ..request() };
        let made = plan(&request, &Facts { shared: vec![state], ..facts() });
        assert_eq!(made.map(|plan| plan.make_shared.len()).map_err(drop), expected, "{directory} {state:?}");
    }
    let share = ["log", "log/app"].map(|path| Share { path: path.into(), directory: true }).to_vec();
    assert_eq!(code(plan(&Request { share, ..request() }, &facts())), "mk.share");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let step = |name: &str| Step { name: name.into(), command: "true".into() };
    let steps = vec![step("a"), step("b"), step("a")];
    assert_eq!(code(plan(&Request { steps, ..request() }, &facts())), "usage");
    assert!(plan(&Request { steps: vec![step("a"), step("b")], ..request() }, &facts()).is_ok());
    for (share, stamp, fits) in [("a", "a", false), ("a", "a/b", false), ("a/b", "a", false), ("a", "ab", true)] {
        let share = vec![Share { path: share.into(), directory: true }];
        let request = Request { share, stamp: Some(stamp.into()), ..request() };
        assert_eq!(plan(&request, &facts()).is_ok(), fits, "{request:?}");
    }
}

#[test]
fn what_is_to_stay_free_counts_whatever_the_source_is() {
    let room = Some(Room { bytes: 100, inodes: Some(1) });
    let known = Facts { room, ..facts() };
    let linked = Facts { room, links: true, ..facts() };
    let unknown = Facts { room, ..Facts::default() };
    let resume = store::ReleaseId::new("v1").ok();
    for (request, facts, fits) in [
        (Request { min_free: 100, ..request() }, &unknown, true),
        (Request { min_free: 101, ..request() }, &unknown, false),
        (request(), &known, false),
        // What is linked, or in the tree already, takes no room; what is to stay free must be all the same. Without a
        // live release there is nothing to link to.
        (request(), &linked, true),
        (Request { min_free: 101, ..request() }, &linked, false),
        (Request { link_unchanged: true, ..request() }, &known, false),
        (Request { resume: resume.clone(), ..request() }, &known, true),
        (Request { resume: resume.clone(), min_free: 101, ..request() }, &known, false),
    ] {
        assert_eq!(plan(&request, facts).is_ok(), fits, "{request:?} {facts:?}");
    }
}

#[test]
fn a_source_larger_than_was_said_is_refused() {
    for (bytes, files, fits) in
        [(None, None, true), (Some(100), Some(3), true), (Some(99), None, false), (None, Some(2), false)]
    {
        let limits = Limits { bytes, files, external_symlinks: false };
        assert_eq!(plan(&Request { limits, ..request() }, &facts()).is_ok(), fits, "{limits:?}");
    }
}

#[test]
fn neither_an_empty_source_nor_a_full_disk_is_begun_with() {
    assert_eq!(code(plan(&request(), &Facts { survey: Some(Survey::default()), ..facts() })), "mk.empty");
    for (bytes, inodes, min_free, fits) in [
        (12_288, Some(3), 0, true),
        (12_287, Some(3), 0, false),
        (12_288, Some(2), 0, false),
        (12_288, None, 0, true),
        (12_288, None, 1, false),
    ] {
        let facts = Facts { room: Some(Room { bytes, inodes }), ..facts() };
        let planned = plan(&Request { min_free, ..request() }, &facts);
        assert_eq!(planned.is_ok(), fits, "{bytes} {inodes:?} {min_free}");
    }
}
