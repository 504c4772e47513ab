//! A process and what it started, as /proc shows it: who is to get the signal that ends a deploy.

use std::collections::HashMap;

/// What is asked of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    parent: i32,
    group: i32,
    command: String,
}

/// What `kill` takes to end a process with all that it started and would not end by itself; empty when it has ended, or
/// may not be seen. A group that the process leads counts as one. A group that it does not lead has others in it:
/// whoever runs the script, and the asking person's shell perhaps.
pub(crate) fn to_signal(first: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let stat = |pid: &i32| std::fs::read(format!("/proc/{pid}/stat")).ok();
    let all = numbers.filter_map(|pid| Some((pid, parse(&String::from_utf8_lossy(&stat(&pid)?))?)));
    targets(first, &all.collect())
}

/// A living process, out of its line of /proc/PID/stat. The name may hold spaces and parentheses, so the last one counts.
fn parse(line: &str) -> Option<Process> {
    let (head, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let is_living = !matches!(fields.next()?, "Z" | "X" | "x");
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let command = head.split_once(" (")?.1.to_owned();
    is_living.then_some(Process { parent, group, command })
}

fn targets(first: i32, all: &HashMap<i32, Process>) -> Vec<i32> {
    if !all.contains_key(&first) {
        return Vec::new();
    }
    let mut family = vec![first];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        let mut found: Vec<i32> = all
            .iter()
            .filter(|(pid, child)| child.parent == parent && !family.contains(pid) && !is_left_to(&all[&parent], child))
            .map(|(pid, _)| *pid)
            .collect();
        found.sort_unstable();
        family.extend(found);
        at += 1;
    }
    if all[&first].group != first {
        return family;
    }
    let others = family.into_iter().filter(|pid| all[pid].group != first);
    [-first].into_iter().chain(others).collect()
}

/// Whether a tool ends this child itself: a gate or a command, each in a group of its own. Were it signalled, it would
/// seem to have said no. A shell's child with a group of its own (`set -m`, `timeout`) is a stage like any other.
fn is_left_to(parent: &Process, child: &Process) -> bool {
    let is_tool =
        parent.command == "cutover" || ["release-", "svc-"].iter().any(|word| parent.command.starts_with(word));
    is_tool && child.group != parent.group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets_of(first: i32, lines: &[&str]) -> Vec<i32> {
        let pid = |line: &str| line.split(' ').next().unwrap().parse().unwrap();
        targets(first, &lines.iter().filter_map(|line| Some((pid(line), parse(line)?))).collect())
    }

    #[test]
    fn children_of_children_are_named_and_what_a_tool_ends_itself_is_not() {
        let lines = [
            "9 (sh) S 1 9 9",
            "10 (deploy) (x) S 9 9 9",
            "11 (release-switch) S 10 9 9",
            "12 (deploy) S 10 9 9",
            "13 (svc-restart) S 12 9 9",
            "14 (sh) S 13 14 9",
            "15 (svc-health) S 14 14 9",
            "16 (timeout) S 10 16 9",
            "17 (svc-restart) S 16 16 9",
            "18 (svc-route) Z 10 9 9",
            "19 (sleep) S 9 9 9",
        ];
        assert_eq!(targets_of(10, &lines), [10, 11, 12, 16, 13, 17]);
        assert_eq!(targets_of(9, &lines), [-9, 16, 17], "a group that it leads counts as one");
        assert_eq!(targets_of(18, &lines), [] as [i32; 0], "it has ended");
        assert_eq!(targets_of(20, &lines), [] as [i32; 0]);
    }

    #[test]
    fn this_process_is_among_those_that_are_to_be_signalled() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(to_signal(own).iter().any(|target| target.abs() == own));
        assert_eq!(to_signal(i32::MAX), [] as [i32; 0]);
    }
}
