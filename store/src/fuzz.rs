//! What fuzzing holds against this crate: bytes go in, and a law that breaks is a panic. No part of the interface.

use std::time::{Duration, SystemTime};

use crate::history::parse::parse;
use crate::listing::{Reader, Writer};
use crate::{PinState, ReleaseId, manifest, pins};

/// The release that manifests and pins of the corpus are about.
const ID: &str = "20261121T071000Z-12";

/// A history never reads more than whole lines, a cut one is a beginning of the whole one, and any question about it
/// has an answer.
pub fn history(bytes: &[u8]) {
    let (history, whole) = parse(bytes);
    assert_eq!(whole + history.torn_bytes, bytes.len() as u64);
    let repaired = &bytes[..usize::try_from(whole).expect("not longer than the file")];
    let (again, all) = parse(repaired);
    assert_eq!((again.entries(), all), (history.entries(), whole), "the repaired file says something else");
    let (half, _) = parse(&bytes[..bytes.len() / 2]);
    assert!(history.entries().starts_with(half.entries()), "a beginning says something that the whole does not");
    assert!(history.next_line() > history.entries().len() as u64 || !history.problems.is_empty());
    for link in history.links() {
        let current = history.newest(link).and_then(|entry| entry.to_seq);
        if let Some(previous) = history.previous(link, |_, _| true) {
            assert_ne!(previous.to_seq, current, "a rollback goes nowhere");
            assert!(previous.to.is_some());
            let seq = previous.to_seq.expect("a release has a number");
            assert_ne!(history.verdict(seq), crate::Verdict::Bad, "a rollback goes to a bad release");
        }
        assert_eq!(history.spans(link).len(), history.activations(link).count());
    }
    for entry in history.entries() {
        let line = serde_json::to_vec(entry).expect("a line can be written");
        assert!(!line.contains(&b'\n'));
        assert_eq!(&serde_json::from_slice::<crate::history::Entry>(&line).expect("a line reads again"), entry);
        entry.to_seq.map(|seq| history.stopped_at(seq));
    }
}

/// A manifest is about the release it is filed under, and means the same when it is written and read once more.
pub fn manifest(bytes: &[u8]) {
    let id = ReleaseId::new(ID).expect("an id");
    let Ok(read) = manifest::parse(bytes, &id) else { return };
    assert_eq!(read.id, id);
    let text = manifest::text(&read).expect("a manifest can be written");
    assert_eq!(manifest::parse(&text, &id).expect("it reads again"), read);
}

/// A pin that does not read keeps for ever; one that does keeps until its time and not again after it.
pub fn pin(bytes: &[u8]) {
    let id = ReleaseId::new(ID).expect("an id");
    let state = pins::parse(bytes, &id);
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    match &state {
        PinState::Unreadable(why) => assert!(state.keeps(late) && !why.contains('\n')),
        PinState::Readable(pin) => {
            let until = pin.until().expect("a pin that reads has an end");
            assert_eq!(pin.id, id);
            assert!(!state.keeps(until) && !state.keeps(late));
            assert!(until.checked_sub(Duration::from_secs(1)).is_none_or(|before| state.keeps(before)));
        }
    }
}

/// An id is harmless as a name, in a path, in a shell and in a terminal.
pub fn id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(id) = ReleaseId::new(text) else { return };
    assert!((1..=128).contains(&text.len()) && !text.starts_with(['.', '-', '_', '+']));
    assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)));
    let beneath = std::path::Path::new("releases").join(&id);
    assert_eq!(beneath.components().count(), 2, "it is more than a name");
    assert_eq!(ReleaseId::of_entry(id.as_ref()).as_ref(), Some(&id));
    let json = serde_json::to_vec(&id).expect("an id can be written");
    assert_eq!(serde_json::from_slice::<ReleaseId>(&json).expect("it reads again"), id);
    id.default_seq();
}

/// A listing that reads, and is in order, is written again with the same entries and the digest of its bytes.
pub fn listing(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let mut entries = Vec::new();
    loop {
        match reader.entry() {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => break,
            Err(_) => return,
        }
    }
    let mut writer = Writer::new(Vec::new());
    // A wrong order is refused when it is written.
    if entries.iter().try_for_each(|entry| writer.entry(entry)).is_err() {
        return;
    }
    let (written, sum) = writer.finish().expect("memory can be written");
    let mut reader = Reader::new(&written[..]).expect("it reads again");
    for entry in &entries {
        assert_eq!(reader.entry().expect("it reads again").as_ref(), Some(entry));
    }
    assert!(reader.entry().expect("it reads again").is_none());
    assert_eq!(reader.digest(), sum.digest);
}

#[cfg(test)]
mod tests {
    use record::fuzz::replay;

    #[test]
    fn the_corpora_of_what_lies_on_disk_break_no_law() {
        assert!(replay("history", 64, super::history) > 5);
        assert!(replay("manifest", 64, super::manifest) > 2);
        assert!(replay("pin", 64, super::pin) > 3);
        assert!(replay("id", 64, super::id) > 5);
        assert!(replay("listing", 64, super::listing) > 2);
    }
}
