//! `pins/<id>.json`: promises to keep a release until a date.
//!
//! A pin that does not read keeps its release: who wrote it wanted that.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context;
use dir::Dir;
use serde::{Deserialize, Serialize};

use crate::manifest::{file_name, id_of_file};
use crate::{Lock, ReleaseId, Root};

/// A promise to keep a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The release.
    pub id: ReleaseId,
    /// Until when, RFC 3339, UTC.
    pub until: String,
    /// Who promised.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it was set or last changed, RFC 3339, UTC.
    pub set_at: String,
}

impl Pin {
    /// Until when; `None` for text that is no time, which counts as unreadable.
    pub fn until(&self) -> Option<SystemTime> {
        record::clock::parse_rfc3339(&self.until)
    }
}

/// A pin as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinState {
    /// It reads.
    Readable(Pin),
    /// It does not, and why.
    Unreadable(String),
}

impl PinState {
    /// Whether the release is kept for it at `now`.
    pub fn keeps(&self, now: SystemTime) -> bool {
        match self {
            Self::Readable(pin) => pin.until().is_none_or(|until| now < until),
            Self::Unreadable(_) => true,
        }
    }
}

/// Reads every pin. Writes nothing.
pub fn read_all(root: &Root) -> anyhow::Result<BTreeMap<ReleaseId, PinState>> {
    let Some(pins) = root.part_if_there("pins")? else { return Ok(BTreeMap::new()) };
    let ids = pins.names()?.filter_map(|name| id_of_file(&name));
    Ok(ids.filter_map(|id| read_in(&pins, &id).map(|state| (id, state))).collect())
}

/// Reads the pin of one release; `None` where there is none. Writes nothing.
pub fn read(root: &Root, id: &ReleaseId) -> anyhow::Result<Option<PinState>> {
    Ok(root.part_if_there("pins")?.and_then(|pins| read_in(&pins, id)))
}

fn read_in(pins: &Dir, id: &ReleaseId) -> Option<PinState> {
    let bytes = match pins.read_file(file_name(id), 64 << 10) {
        Err(e) if e.is_not_found() => return None,
        Err(e) => return Some(PinState::Unreadable(format!("{e}: {}", e.errno().desc()))),
        Ok(bytes) => bytes,
    };
    Some(parse(&bytes, id))
}

/// The pin of `id` in `bytes`.
pub(crate) fn parse(bytes: &[u8], id: &ReleaseId) -> PinState {
    match serde_json::from_slice::<Pin>(bytes) {
        Err(e) => PinState::Unreadable(format!("the pin of {id} does not read: {e}")),
        Ok(pin) if pin.id != *id => PinState::Unreadable(format!("the pin of {id} is about {}", pin.id)),
        Ok(pin) if pin.until().is_none() => PinState::Unreadable(format!(
            "the pin of {id} lasts until '{}', which is no time",
            pin.until.escape_debug()
        )),
        Ok(pin) => PinState::Readable(pin),
    }
}

/// Writes a pin over the former one, durable when it returns.
pub fn set(lock: &Lock<'_>, pin: &Pin) -> anyhow::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(pin)?;
    bytes.push(b'\n');
    Ok(lock.part("pins")?.replace_file(file_name(&pin.id), &bytes, 0o644)?)
}

/// Removes a pin, durable when it returns; says whether there was one.
pub fn remove(lock: &Lock<'_>, id: &ReleaseId) -> anyhow::Result<bool> {
    let pins = lock.part("pins")?;
    match pins.remove_file(file_name(id)) {
        Err(e) if e.is_not_found() => Ok(false),
        removed => {
            removed.with_context(|| format!("remove the pin of {id}"))?;
            pins.sync()?;
            Ok(true)
        }
    }
}
