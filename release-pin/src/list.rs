//! The pins as people read them.

use record::sections::{PinEntry, PinSection};
use record::{Pipe, RootDir};
use store::{Root, pins};

use crate::plan;

/// Lists the pins of the root. Writes nothing.
pub(crate) fn list(pipe: &mut Pipe) -> anyhow::Result<()> {
    let path = pipe.root_path()?;
    let root = Root::open_to_read(&path)?;
    pipe.enter(RootDir::open_to_read(&path)?);
    let now = pipe.now();
    let pins: Vec<PinEntry> = pins::read_all(&root)?.iter().map(|(id, state)| plan::entry(id, state, now)).collect();
    for line in table(&pins) {
        pipe.say(line);
    }
    pipe.set_section(&PinSection { count: Some(pins.len() as u64), pins, ..PinSection::default() });
    Ok(())
}

fn table(pins: &[PinEntry]) -> Vec<String> {
    if pins.is_empty() {
        return vec!["no release is pinned".into()];
    }
    let width = pins.iter().map(|pin| pin.id.len()).max().unwrap_or(0);
    let line = |pin: &PinEntry| match (&pin.unreadable, &pin.until_at) {
        (Some(why), _) => format!("{:width$}  for good, as it does not read: {why}", pin.id),
        (None, until) => format!(
            "{:width$}  {} {}  {}  {}",
            pin.id,
            if pin.keeps { "until" } else { "over " },
            until.as_deref().unwrap_or("?"),
            pin.owner.as_deref().unwrap_or("?"),
            pin.reason.as_deref().unwrap_or(""),
        ),
    };
    pins.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_gets_a_line_and_none_gets_a_sentence() {
        assert_eq!(table(&[]), ["no release is pinned"]);
        let entry = |id: &str, keeps, until: Option<&str>, unreadable: Option<&str>| PinEntry {
            id: id.into(),
            keeps,
            until_at: until.map(str::to_owned),
            owner: Some("ann".into()),
            reason: Some("trial".into()),
            unreadable: unreadable.map(str::to_owned),
        };
        let pins = [
            entry("v1", true, Some("2026-12-01T00:00:00Z"), None),
            entry("v10", false, Some("2025-12-01T00:00:00Z"), None),
            entry("v2", true, None, Some("half a line")),
        ];
        assert_eq!(
            table(&pins),
            [
                "v1   until 2026-12-01T00:00:00Z  ann  trial",
                "v10  over  2025-12-01T00:00:00Z  ann  trial",
                "v2   for good, as it does not read: half a line",
            ]
        );
    }
}
