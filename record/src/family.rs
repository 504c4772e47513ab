//! A process and what it started: who is to get the signal that ends a deploy.

use process::ProcessStat;

/// What `kill` takes to end a process with all that it started and would not end by itself; empty when it has ended, or
/// may not be seen. A group that the process leads counts as one. A group that it does not lead has others in it:
/// whoever runs the script, and the asking person's shell perhaps.
pub(crate) fn to_signal(first: u32) -> Vec<i64> {
    let Ok(Some(first)) = process::stat(first) else { return Vec::new() };
    if first.has_ended() {
        return Vec::new();
    }
    let leads = first.group == first.pid;
    let mut family = vec![first];
    let mut at = 0;
    while let Some(parent) = family.get(at) {
        let mut found = process::children(parent.pid).unwrap_or_default();
        found.retain(|child| !is_left_to(parent, child) && !family.iter().any(|known| known.pid == child.pid));
        found.sort_by_key(|child| child.pid);
        family.extend(found);
        at += 1;
    }
    let group = family[0].group;
    let alone = family.iter().filter(|member| !leads || member.group != group).map(|member| i64::from(member.pid));
    leads.then_some(-i64::from(group)).into_iter().chain(alone).collect()
}

/// Whether a tool ends this child itself: a gate or a command, each in a group of its own. Were it signalled, it would
/// seem to have said no. A shell's child with a group of its own (`set -m`, `timeout`) is a stage like any other.
fn is_left_to(parent: &ProcessStat, child: &ProcessStat) -> bool {
    let is_tool =
        parent.command == "cutover" || ["release-", "svc-"].iter().any(|word| parent.command.starts_with(word));
    is_tool && child.group != parent.group
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start programs that they leave alone")]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// A shell, a subshell of it and a program of that one, which says so; with a group of its own or without.
    fn family_of(leads: bool) -> (usize, i64, i64) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "(sleep 60; :) & echo; wait"]).stdout(Stdio::piped());
        if leads {
            shell.process_group(0);
        }
        let mut shell = shell.spawn().unwrap();
        let mut line = [0];
        shell.stdout.take().unwrap().read_exact(&mut line).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let grown = |targets: &[i64]| targets.len() == 3 || leads;
        let mut targets = to_signal(shell.id());
        while !grown(&targets) && std::time::Instant::now() < until {
            targets = to_signal(shell.id());
        }
        let words: Vec<String> = targets.iter().map(i64::to_string).collect();
        assert!(Command::new("kill").arg("-KILL").arg("--").args(words).status().unwrap().success());
        shell.wait().unwrap();
        assert_eq!(to_signal(shell.id()), [] as [i64; 0], "it has ended");
        (targets.len(), targets[0], i64::from(shell.id()))
    }

    #[test]
    fn children_of_children_are_named() {
        let (count, first, shell) = family_of(false);
        assert_eq!((count, first), (3, shell));
    }

    #[test]
    fn a_group_that_it_leads_counts_as_one() {
        let (count, first, shell) = family_of(true);
        assert_eq!((count, first), (1, -shell));
    }
}
