//! From bytes to a [`Record`], strictly: what two readers could understand differently is refused.

use std::fmt;

use anyhow::bail;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{Exit, Failure, Record, SCHEMA};

/// The largest record, in bytes, its line feed included.
pub(crate) const LARGEST: usize = 1 << 20;

/// Where a record comes from, as a refusal names it.
#[derive(Clone, Copy)]
struct Origin<'a> {
    /// The record, with its place.
    the: &'a str,
    /// The place alone.
    place: &'a str,
    hint: &'static str,
}

const STDIN: Origin<'_> = Origin {
    the: "the record on stdin",
    place: "stdin",
    // Never -n: behind a pipe that failed, the stage would act alone.
    hint: "pass the record on as it is, in one line (jq -c)",
};

/// Reads exactly one record on exactly one line, from stdin.
///
/// Refused with 65: a missing line feed, trailing bytes, a byte order mark, bad UTF-8, duplicate
/// members, more than 127 levels, more than 1 MiB, another schema, members of the wrong type.
pub fn parse(bytes: &[u8]) -> anyhow::Result<Record> {
    parse_bounded(bytes, &STDIN)
}

/// The same for a line of a file; `place` says which line of which file, as a refusal shall name it.
pub fn parse_in(bytes: &[u8], place: &str) -> anyhow::Result<Record> {
    let the = format!("the record in {place}");
    let hint = "every line is one record as a pipe wrote it, not spread over several (jq -c)";
    parse_bounded(bytes, &Origin { the: &the, place, hint })
}

fn parse_bounded(bytes: &[u8], from: &Origin<'_>) -> anyhow::Result<Record> {
    if bytes.len() > LARGEST {
        bail!(from.invalid("input.too_large", format!("{} is larger than 1 MiB", from.the)));
    }
    parse_from(bytes, from)
}

/// The same without the bound, for files of our own.
pub(crate) fn parse_unbounded(bytes: &[u8]) -> anyhow::Result<Record> {
    parse_from(bytes, &STDIN)
}

fn parse_from(bytes: &[u8], from: &Origin<'_>) -> anyhow::Result<Record> {
    let Origin { the, place, .. } = from;
    if bytes.is_empty() {
        bail!(from.invalid("input.truncated", format!("{place} is empty: no record was written to it")));
    }
    let Some(line) = bytes.strip_suffix(b"\n") else {
        bail!(from.invalid("input.truncated", format!("{the} does not end with a line feed: it was cut off")));
    };
    let Ok(text) = std::str::from_utf8(line) else {
        bail!(from.invalid("input.invalid", format!("{the} is not UTF-8")));
    };
    if text.contains('\n') {
        bail!(from.invalid("input.invalid", format!("{place} holds more than one line; a record is exactly one")));
    }
    let value = parse_value(text)
        .map_err(|e| from.invalid("input.invalid", format!("{place} holds no valid JSON record: {e}")))?;
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => {}
        Some(other) => {
            bail!(
                from.invalid("input.schema", format!("{the} has the schema '{}'", other.escape_debug()))
                    .hint(format!("this version reads {SCHEMA}; update cutover"))
            )
        }
        None => {
            bail!(from.invalid("input.schema", format!("the JSON of {place} has no member 'schema': it is no record")))
        }
    }
    // From the text again, not from the value: only so do unknown numbers keep their very digits.
    let record: Record =
        serde_json::from_str(text).map_err(|e| from.invalid("input.invalid", format!("{the} is not valid: {e}")))?;
    if let Some(wrong) = contradiction(&record) {
        bail!(from.invalid("input.invalid", format!("{the} is not valid: {wrong}")));
    }
    Ok(record)
}

fn parse_value(text: &str) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Unique.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value))
}

/// What the types alone cannot say.
fn contradiction(record: &Record) -> Option<&'static str> {
    let sizes = || record.release.iter().flat_map(|release| [release.files, release.bytes]).flatten();
    let rules = [
        (record.ok == record.error.is_some(), "its 'ok' and 'error' contradict each other"),
        (record.held && !record.ok, "it is both failed and held"),
        (record.pipe.is_empty(), "its 'pipe' is empty"),
        (record.error.as_ref().is_some_and(|error| error.exit == 0), "its 'error.exit' is 0"),
        (record.root.as_deref().is_some_and(|root| !root.starts_with('/')), "its 'root' is no absolute path"),
        (record.release.as_ref().is_some_and(|release| !is_id(&release.id)), "its 'release.id' is no release id"),
        (sizes().max().is_some_and(|size| size > 1 << 53), "a size in it is beyond 2^53"),
    ];
    rules.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, why)| why)
}

/// Whether a text is what the schema says a release id is.
fn is_id(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
    (1..=128).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphanumeric() && text.as_bytes().iter().all(inner)
}

impl Origin<'_> {
    fn invalid(&self, code: &'static str, message: String) -> Failure {
        Failure::new(Exit::InvalidInput, code, message).hint(self.hint)
    }
}

/// Builds a [`Value`] and refuses a member that is there already.
#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// How serde_json hands over a number whose text is kept (its `arbitrary_precision`).
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER && map.is_empty() {
                let text: String = members.next_value()?;
                let number: Number = text.parse().map_err(serde::de::Error::custom)?;
                return Ok(Value::Number(number));
            }
            let value = members.next_value_seed(self)?;
            if map.contains_key(&name) {
                return Err(serde::de::Error::custom(format_args!("duplicate member '{}'", name.escape_debug())));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
