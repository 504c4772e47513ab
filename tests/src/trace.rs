//! What strace saw: the system calls of a tool, in order.

use std::fs;
use std::path::Path;

/// One system call that succeeded, as strace printed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The process, or thread, that made it.
    pub pid: String,
    /// Such as `renameat2`.
    pub name: String,
    /// Everything between the parentheses; with `-y`, descriptors carry their paths.
    pub arguments: String,
    /// What it returned, decorated as strace does.
    pub result: String,
}

/// Reads what `strace -f -y -o FILE` wrote. Calls that failed and those without an end are left out.
pub fn read(file: &Path) -> Vec<Call> {
    let text = fs::read_to_string(file).expect("read the trace");
    let mut open: Vec<(String, String)> = Vec::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.push((pid.to_owned(), begun.to_owned()));
        } else if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            let Some(at) = open.iter().rposition(|(of, _)| of == pid) else { continue };
            let (_, begun) = open.remove(at);
            calls.extend(parse(pid, &(begun + end)));
        } else {
            calls.extend(parse(pid, rest));
        }
    }
    calls
}

fn parse(pid: &str, line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with("-1") || result.starts_with('?') {
        return None;
    }
    let arguments = arguments.trim_end().strip_suffix(')')?;
    Some(Call {
        pid: pid.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        result: result.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_in_the_order_of_their_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "7 fsync(3</a> <unfinished ...>\n8 close(4</b>) = 0\n7 <... fsync resumed>) = 0\n7 read(3</a>, 0, 1) = -1 EIO (x)\n";
        fs::write(file.path(), text).unwrap();
        let seen: Vec<_> = read(file.path())
            .into_iter()
            .map(|call| format!("{} {}({})", call.pid, call.name, call.arguments))
            .collect();
        assert_eq!(seen, ["8 close(4</b>)", "7 fsync(3</a>)"]);
    }
}
