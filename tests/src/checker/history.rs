//! The history by the letter of the contract: append-only, without a gap, of one mind with the links, one order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Violation, violation};

/// The whole lines of a history; what a killed writer left behind the last line feed is none.
pub(super) fn lines(bytes: &[u8]) -> Vec<Value> {
    let whole = &bytes[..bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)];
    let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap_or(Value::Null)).collect()
}

/// Holds the history of a root against what it was and against the links.
pub(super) fn violations(root: &Path, before: &[u8], links: &BTreeMap<String, String>) -> Vec<Violation> {
    let now = fs::read(root.join(".cutover/history.jsonl")).unwrap_or_default();
    let mut found = Vec::new();
    let kept = &before[..before.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)];
    if !now.starts_with(kept) {
        found.push(violation("I6", "a line of the history was changed or removed"));
    }
    let lines = lines(&now);
    for (at, line) in lines.iter().enumerate() {
        if line["seq"] != at + 1 {
            found.push(violation("I6", format!("line {} of the history is {line}", at + 1)));
        }
    }
    for (link, target) in links {
        found.extend(disagreement(&lines, link, target));
    }
    found.extend(out_of_order(&lines));
    found
}

/// The last activation of a link says what the link says, or an open intent leaves it between two.
fn disagreement(lines: &[Value], link: &str, target: &str) -> Option<Violation> {
    let of_link = || lines.iter().filter(|line| line["link"] == link);
    let closed = |seq: &Value| of_link().any(|line| line["intent"] == *seq && line["kind"] != "intent");
    let open = of_link().rfind(|line| line["kind"] == "intent").filter(|intent| !closed(&intent["seq"]));
    let active = of_link().rfind(|line| is_activation(line));
    let says = |line: &Value| line["target"] == target;
    if active.is_some_and(says) || open.is_some_and(says) {
        return None;
    }
    Some(violation(
        "I6",
        format!("{link} -> {target}, but the history's last activation is {active:?}, the open intent {open:?}"),
    ))
}

fn is_activation(line: &Value) -> bool {
    line["kind"] == "done" || line["kind"] == "found"
}

/// Every switch starts from where the one before it ended.
fn out_of_order(lines: &[Value]) -> Vec<Violation> {
    let mut live: BTreeMap<String, &Value> = BTreeMap::new();
    let mut found = Vec::new();
    for line in lines.iter().filter(|line| is_activation(line)) {
        let link = line["link"].as_str().unwrap_or_default().to_owned();
        let before = live.insert(link, &line["to"]);
        if line["kind"] == "done" && line.get("from") != before.filter(|id| !id.is_null()) {
            found.push(violation("I12", format!("{before:?} was live, but a switch came from {}", line["from"])));
        }
    }
    found
}
