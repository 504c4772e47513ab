//! Bytes to lines. Pure.
//!
//! A line counts when its line feed is there. What follows the last one was cut off by a crash:
//! half a line, or zeros where the file had grown and the data had not reached the disk. Zeros
//! inside a last line are the same. Anything else that does not read is damage, and said.

use super::{Entry, History};

/// How the file is called in a root.
const FILE: &str = ".cutover/history.jsonl";

/// The history in `bytes`, and how many of its bytes are whole lines.
pub(crate) fn parse(bytes: &[u8]) -> (History, u64) {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
    // All of the end that a crash may have left at once: else the line before would be the torn one of the next reader.
    while lines.last().is_some_and(|line| line.last() != Some(&b'\n') || line.contains(&0)) {
        lines.pop();
    }
    let whole: usize = lines.iter().map(|line| line.len()).sum();
    let mut history = History::of([]);
    let mut damaged = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => {
                tell(&mut history, &mut damaged, Some(&entry));
                take(&mut history, entry, index + 1);
            }
            Err(error) => damaged.push(format!("line {} of {FILE} does not read: {error}", index + 1)),
        }
    }
    tell(&mut history, &mut damaged, None);
    history.torn_bytes = (bytes.len() - whole) as u64;
    (history, whole as u64)
}

/// Says what is damaged before `next`, and how a person mends it: where the numbers have a gap, a line without a meaning
/// has to fill it; else the damaged line goes, as the next one has its number.
fn tell(history: &mut History, damaged: &mut Vec<String>, next: Option<&Entry>) {
    let first = history.next_line();
    for (at, what) in damaged.drain(..).enumerate() {
        let number = first.saturating_add(at as u64);
        let mend = match next.filter(|next| number < next.seq) {
            Some(next) => format!("replace that line by {}", filler(number, next)),
            None => "remove that line".into(),
        };
        history.problems.push(format!("{what} ({})", by_hand(&mend)));
    }
}

/// A line without a meaning, in the place of one that is lost before `next`.
fn filler(number: u64, next: &Entry) -> String {
    let Entry { at, link, .. } = next;
    format!(r#"{{"seq":{number},"at":"{at}","link":"{link}","kind":"unknown"}}"#)
}

fn by_hand(mend: &str) -> String {
    format!("copy the file aside, {mend}, and look at release-ls --history")
}

fn take(history: &mut History, entry: Entry, line: usize) {
    // After a damaged line the numbers tell how many are missing; that was said once already.
    let expected = history.next_line();
    if history.problems.is_empty() && entry.seq != expected {
        let mend = match entry.seq.checked_sub(expected) {
            None => "remove the one of the two lines with its number that is not meant".to_owned(),
            Some(1) => format!("put before it {}", filler(expected, &entry)),
            Some(_) => {
                format!("put before it, for each number that is missing, a line like {}", filler(expected, &entry))
            }
        };
        let what = format!("line {line} of {FILE} is number {}, not {expected}", entry.seq);
        history.problems.push(format!("{what} ({})", by_hand(&mend)));
    }
    history.push(entry);
}
