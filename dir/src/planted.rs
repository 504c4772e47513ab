//! Bugs that are planted on purpose, so that the tests can be seen to catch them.
//!
//! A harness that has never reported anything proves nothing. Built with the feature `planted`, the tools have each bug
//! whose name is in CUTOVER_PLANTED and no other; tests/stories/planted_bugs.rs lists them and what must report each.
//! Without the feature [`planted`] is a constant, and nothing of any bug is compiled.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` is for tests: a release has no planted bugs");

/// Whether this bug is planted: never, but in the binaries of one test.
#[cfg(feature = "planted")]
pub fn planted(bug: &str) -> bool {
    std::env::var_os("CUTOVER_PLANTED").is_some_and(|named| named == bug)
}

/// Whether this bug is planted: never, but in the binaries of one test.
#[cfg(not(feature = "planted"))]
pub const fn planted(_bug: &str) -> bool {
    false
}
