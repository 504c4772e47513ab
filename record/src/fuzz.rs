//! What fuzzing holds against this crate: bytes go in, and a law that breaks is a panic. No part of the interface.

use std::path::Path;

use crate::{clock, json};

/// A record that is accepted means the same when it is written and read once more.
pub fn record(bytes: &[u8]) {
    let Ok(record) = json::parse(bytes) else { return };
    assert!(record.ok != record.error.is_some(), "ok and error contradict each other");
    let mut line = serde_json::to_vec(&record).expect("a record can be written");
    line.push(b'\n');
    let again = match json::parse(&line) {
        Ok(again) => again,
        // What a member left out takes when it is written may be more than a reader takes.
        Err(_) if line.len() > json::LARGEST => return,
        Err(error) => panic!("it does not read again: {error:#}"),
    };
    assert_eq!(record, again, "written and read again it is another one");
    for text in record.stages.iter().map(|stage| stage.started_at.as_str()) {
        if let Some(at) = clock::parse_rfc3339(text) {
            assert!(clock::parse_rfc3339(&clock::rfc3339(at)).is_some(), "{text} does not read again");
        }
    }
}

/// Feeds every file of the committed corpus of `target` to `entry`: each as it is, and at so many places cut short and
/// with single bytes changed. Says how many files there were.
pub fn replay(target: &str, places: usize, entry: impl Fn(&[u8])) -> usize {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("read {}: {error}", dir.display()));
    let mut count = 0;
    for file in files.flatten() {
        let bytes = std::fs::read(file.path()).expect("read a file of the corpus");
        entry(&bytes);
        let step = bytes.len() / places + 1;
        for at in (0..bytes.len()).step_by(step) {
            entry(&bytes[..at]);
            let mut changed = bytes.clone();
            for other in [0, b'\n', b'"', 0xff, changed[at] ^ 0x20, changed[at].wrapping_add(1)] {
                changed[at] = other;
                entry(&changed);
            }
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_records_breaks_no_law() {
        assert!(super::replay("record", 64, super::record) > 5);
    }
}
