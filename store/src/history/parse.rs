//! Bytes to lines. Pure.
//!
//! A line counts when its line feed is there. What follows the last one was cut off by a crash:
//! half a line, or zeros where the file had grown and the data had not reached the disk. Zeros
//! inside a last line are the same. Anything else that does not read is damage, and said.

use super::{Entry, History};

/// The history in `bytes`, and how many of its bytes are whole lines.
pub(crate) fn parse(bytes: &[u8]) -> (History, u64) {
    let mut history = History::of([]);
    let mut whole = 0;
    let mut torn = false;
    for (index, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        let end = whole + line.len();
        if line.last() != Some(&b'\n') || (end == bytes.len() && line.contains(&0)) {
            torn = true;
            break;
        }
        whole = end;
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => take(&mut history, entry, index + 1),
            Err(error) => history.problems.push(format!("line {} of the history does not read: {error}", index + 1)),
        }
    }
    if torn {
        history.torn_bytes = (bytes.len() - whole) as u64;
    }
    (history, whole as u64)
}

fn take(history: &mut History, entry: Entry, line: usize) {
    // After a damaged line the numbers tell how many are missing; that was said once already.
    if history.problems.is_empty() && entry.seq != history.next_line() {
        history.problems.push(format!(
            "line {line} of the history is number {}, not {}",
            entry.seq,
            history.next_line()
        ));
    }
    history.push(entry);
}
