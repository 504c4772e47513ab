//! Bugs planted on purpose, each reported by a story that is there for it: a harness that catches none of them proves nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use stories::binaries;
use stories::faults::{Tier, tell_caught};
use stories::planted::Bug;
use stories::{skip, skip::succeeds};

const SWITCH: &str = "a_kill_at_every_call::a_switch_survives_a_fault_at_every_call";
const BUILD: &str = "a_kill_at_every_call::a_build_survives_a_fault_at_every_call";
const COLLECTION: &str = "a_kill_at_every_call::a_collection_survives_a_fault_at_every_call";
const PUBLISHED: &str =
    "durability_order::no_tree_is_renamed_with_unsynced_content_and_no_success_comes_before_the_parents_are_synced";
const SWITCHED: &str = "durability_order::a_switch_is_intended_done_and_recorded_in_that_order";

/// Each bug, the story that is meant to see it, the operations it tries, and what it must say.
#[rustfmt::skip]
const BUGS: &[(&str, &str, &str, &str)] = &[
    ("in-place-build", BUILD, "Make", "I1: "),
    ("manifest-after-rename", BUILD, "Make", "I1: "),
    ("in-place-delete", COLLECTION, "Collect", "I1: "),
    ("follow-link-in-deletion", COLLECTION, "Collect", "I8: outside the root"),
    ("unlink-then-create", SWITCH, "Switch", "I2: current is gone"),
    ("no-syncfs", PUBLISHED, "", "the content is not synced before the rename"),
    ("no-fsync-of-file", PUBLISHED, "", "the manifest is not synced before it gets its name"),
    ("no-fsync-of-directory", PUBLISHED, "", "directory is not synced before the release"),
    ("no-fsync-of-directory", SWITCHED, "", "there is no sync of the root after the link"),
    ("record-before-effect", SWITCHED, "", "the record comes before the effect"),
    ("record-before-effect", SWITCH, "Switch", "I3: it said that it was done"),
    ("no-lock", "two_deploys::or_it_gets_75_with_the_holder_named", "", "the status should be 75"),
    ("lock-dropped-early", "durability_order::what_others_see_is_changed_under_the_lock", "", "without the lock: "),
    ("effect-before-end-of-stdin", "durability_order::nothing_is_done_before_the_record_has_ended", "", "end of stdin"),
    ("pid-only-temporary-names", "durability_order::two_runs_with_one_process_id_share_no_temporary_name", "", "both used the names"),
    ("stdout-not-watched", "no_root_by_mistake::a_typo_behind_a_first_deploy_leaves_no_root", "", "panicked"),
    ("undo-despite-superseded", "two_deploys::an_undo_that_was_overtaken_touches_nothing_and_says_so", "", "the record says superseded"),
    ("gc-by-mtime", "collecting::dates_of_directories_mean_nothing", "", "was collected"),
];

/// Bugs of the tools for services; each is tried as `make faults` does.
#[rustfmt::skip]
const OF_SERVICES: &[(&str, &str, &str, &str)] = &[
    ("step-not-told", "a_service_fault_at_every_call::a_restart_tells_what_it_touched_and_is_finished_by_a_rerun", "", "I13: "),
    ("configuration-unlinked", "a_service_fault_at_every_call::behind_nginx_somebody_serves_and_a_rerun_finishes", "", "I13: the proxy's file"),
    ("all-at-once", "promises::i13_a_restart_has_never_more_than_a_batch_down_and_says_what_is_where_when_it_is_killed", "", "left: 4"),
];

/// What `make faults` adds: the same by the other way to see it.
#[rustfmt::skip]
const FURTHER: &[(&str, &str, &str, &str)] = &[
    ("no-syncfs", "a_power_cut::what_was_acknowledged_survives_it_and_nothing_is_half_visible", "", "panicked"),
    ("no-fsync-of-directory", "a_power_cut::what_was_acknowledged_survives_it_and_nothing_is_half_visible", "", "panicked"),
    ("no-lock", "promises::i12_of_two_makers_one_wins_and_switches_have_one_order", "", "panicked"),
];

fn bugs(table: &'static [(&str, &str, &str, &str)]) -> impl Iterator<Item = Bug> {
    table.iter().map(|(name, story, operations, says)| Bug { name, story, operations, says })
}

#[test]
fn each_is_reported_by_the_story_that_is_there_for_it() {
    if !succeeds(&["strace", "-qq", "-o", "/dev/null", "true"]) {
        skip!("strace cannot trace here");
    }
    binaries::planted();
    let mut all: Vec<Bug> = bugs(BUGS).collect();
    if Tier::asked() != Tier::Quick && skip::is_root() {
        all.extend(bugs(FURTHER));
        all.extend(bugs(OF_SERVICES));
    }
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(bug) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = bug.is_caught();
                    tell_caught(bug.name, bug.story, caught.is_ok());
                    missed.lock().expect("the list").extend(caught.err());
                }
            });
        }
    });
    let missed = missed.into_inner().expect("the list");
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), all.len(), missed.join("\n\n"));
}

/// Else a story that fails in any case would seem to catch every bug.
#[test]
fn without_a_bug_the_same_binaries_pass() {
    if Tier::asked() != Tier::Long {
        // `make test` runs the same stories with binaries that differ in nothing else.
        return;
    }
    let mut all: Vec<Bug> = bugs(BUGS).chain(bugs(OF_SERVICES)).collect();
    all.sort_by_key(|bug| bug.story);
    all.dedup_by_key(|bug| bug.story);
    let noisy: Vec<_> = all.iter().filter_map(|bug| bug.is_quiet_without().err()).collect();
    assert!(noisy.is_empty(), "{}", noisy.join("\n\n"));
}

#[test]
fn the_tools_that_people_get_have_none() {
    for tool in ["release-mk", "release-switch", "release-gc", "svc-restart"] {
        assert!(!binaries::has_planted_bugs(&binaries::directory().join(tool)), "{tool} has bugs to choose from");
    }
    let script = std::fs::read_to_string(binaries::workspace().join("scripts/build-release")).expect("read the script");
    assert!(!script.contains("features"), "a release is built with the features that cargo chooses");
}

#[test]
fn a_release_build_with_them_does_not_compile() {
    let shelf = tempfile::tempdir().expect("make a directory");
    let with = |assertions: &str| {
        let compiled = std::process::Command::new("rustc")
            .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--cfg", "feature=\"planted\""])
            .args(["-C", &format!("debug-assertions={assertions}"), "dir/src/planted.rs", "--out-dir"])
            .arg(shelf.path())
            .current_dir(binaries::workspace())
            .output()
            .expect("run rustc");
        (compiled.status.success(), String::from_utf8_lossy(&compiled.stderr).into_owned())
    };
    assert!(with("on").0, "{}", with("on").1);
    let (compiles, said) = with("off");
    assert!(!compiles && said.contains("a release has no planted bugs"), "{said}");
}
