//! Which changes of a pipe are not yet taken back: a stack, the link's aside.

use crate::Stage;

/// The tool whose changes stand outside the stack: the link goes back first, whatever came after it.
const SWITCH: &str = "release-switch";

/// The stages of `tool` that it may take back now, latest first.
///
/// For release-switch all of its changes. For the others those on top of the stack: an undo stage
/// acts only while the latest change not yet taken back is its own tool's.
pub(crate) fn to_take_back(stages: &[Stage], tool: &str) -> Vec<usize> {
    let taken: Vec<usize> = stages.iter().flat_map(|stage| stage.took_back.iter().copied()).collect();
    let open = stages.iter().enumerate().rev().filter(|(at, stage)| has_changed(stage) && !taken.contains(at));
    if tool == SWITCH {
        return open.filter(|(_, stage)| stage.tool == tool).map(|(at, _)| at).collect();
    }
    open.filter(|(_, stage)| stage.tool != SWITCH && changes_services(stage))
        .take_while(|(_, stage)| stage.tool == tool)
        .map(|(at, _)| at)
        .collect()
}

/// A stage that was killed may have changed something.
fn has_changed(stage: &Stage) -> bool {
    !stage.undo && (stage.changed || stage.running)
}

/// A release that was made, pinned or collected stays so; only what runs and what is routed goes back.
fn changes_services(stage: &Stage) -> bool {
    stage.tool.starts_with("svc-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(tool: &str) -> Stage {
        Stage { tool: tool.into(), changed: true, ok: true, ..Stage::default() }
    }

    fn undo(tool: &str, took_back: &[usize]) -> Stage {
        Stage { undo: true, took_back: took_back.to_vec(), ..stage(tool) }
    }

    #[test]
    fn the_switch_stands_aside_and_the_others_go_back_as_a_stack() {
        let mut stages = vec![stage("release-mk"), stage("release-switch"), stage("svc-restart"), stage("svc-route")];
        assert_eq!(to_take_back(&stages, "release-switch"), [1]);
        assert_eq!(to_take_back(&stages, "svc-restart"), [] as [usize; 0]);
        assert_eq!(to_take_back(&stages, "svc-route"), [3]);
        stages.push(undo("svc-route", &[3]));
        assert_eq!(to_take_back(&stages, "svc-route"), [] as [usize; 0]);
        assert_eq!(to_take_back(&stages, "svc-restart"), [2]);
        stages.push(undo("svc-restart", &[2]));
        assert_eq!(to_take_back(&stages, "svc-restart"), [] as [usize; 0]);
    }

    #[test]
    fn what_changed_nothing_is_not_taken_back_but_what_was_killed_is() {
        let unchanged = Stage { changed: false, ..stage("svc-restart") };
        let killed = Stage { changed: false, running: true, ..stage("svc-restart") };
        assert_eq!(to_take_back(std::slice::from_ref(&unchanged), "svc-restart"), [] as [usize; 0]);
        assert_eq!(to_take_back(&[stage("svc-restart"), unchanged, killed], "svc-restart"), [2, 0]);
    }
}
