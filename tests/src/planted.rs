//! Stories against tools with a planted bug: a story that is meant to see it must fail, and say why.
//!
//! The story runs once more, in a process of its own, with binaries that were built with the feature `planted` (see
//! dir/src/planted.rs). So it is the story itself that is tried, not a likeness of it.

use std::process::{Command, Stdio};

use crate::{binaries, faults};

/// A bug, and what must report it.
#[derive(Debug, Clone, Copy)]
pub struct Bug {
    /// Its name in the tools.
    pub name: &'static str,
    /// The story, as `module::test`.
    pub story: &'static str,
    /// The operations that are tried, for a story that tries many; empty for all.
    pub operations: &'static str,
    /// A part of what the story must say: one that fails for another reason has seen nothing.
    pub says: &'static str,
}

impl Bug {
    /// Whether the story fails and says why; what happened else.
    pub fn is_caught(&self) -> Result<(), String> {
        let (passed, output) = self.told(self.name);
        if !passed && output.contains(self.says) {
            return Ok(());
        }
        let verdict = if passed { "passes" } else { "fails for another reason" };
        let end = output.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
        Err(format!("{} is not caught: {} {verdict}\n{}", self.name, self.story, &output[end..]))
    }

    /// Whether the story passes with the same binaries and no bug in them.
    pub fn is_quiet_without(&self) -> Result<(), String> {
        let (passed, output) = self.told("none");
        if passed { Ok(()) } else { Err(format!("without any bug {} fails\n{output}", self.story)) }
    }

    fn told(&self, bug: &str) -> (bool, String) {
        let mut story = Command::new(std::env::current_exe().expect("path of the running test"));
        story.args([self.story, "--exact"]).stdin(Stdio::null());
        story.env("CUTOVER_TEST_BINARIES", binaries::planted()).env("CUTOVER_PLANTED", bug);
        story.env(faults::ONLY, self.operations).env_remove("CUTOVER_FAULTS");
        if bug != "none" && self.story.starts_with("a_service_fault") {
            // Between an effect and its note lie only some of its calls.
            story.env("CUTOVER_FAULTS", "all");
        }
        // What this story skips or counts is not what the run as a whole does.
        story.env_remove("CUTOVER_FAULTS_TABLE").env_remove("CUTOVER_TEST_SKIPS");
        let output = story.output().expect("run a story again");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(text.contains("running 1 test"), "there is no story {}\n{text}", self.story);
        (output.status.success(), text)
    }
}
