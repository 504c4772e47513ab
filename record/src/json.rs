//! From bytes to a [`Record`], strictly: what two readers could understand differently is refused.

use std::fmt;

use anyhow::bail;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{Exit, Failure, Record, SCHEMA};

/// The largest record, in bytes, its line feed included.
pub(crate) const LARGEST: usize = 1 << 20;

/// Reads exactly one record on exactly one line.
///
/// Refused with 65: a missing line feed, trailing bytes, a byte order mark, bad UTF-8, duplicate
/// members, more than 127 levels, more than 1 MiB, another schema, members of the wrong type.
pub fn parse(bytes: &[u8]) -> anyhow::Result<Record> {
    if bytes.len() > LARGEST {
        bail!(invalid("input.too_large", "the record on stdin is larger than 1 MiB"));
    }
    parse_unbounded(bytes)
}

/// The same without the bound, for files of our own.
pub(crate) fn parse_unbounded(bytes: &[u8]) -> anyhow::Result<Record> {
    let Some(line) = bytes.strip_suffix(b"\n") else {
        bail!(invalid("input.truncated", "the record on stdin does not end with a line feed: it was cut off"));
    };
    let Ok(text) = std::str::from_utf8(line) else {
        bail!(invalid("input.invalid", "the record on stdin is not UTF-8"));
    };
    if text.contains('\n') {
        bail!(invalid("input.invalid", "stdin holds more than one line; a record is exactly one"));
    }
    let value = parse_value(text)?;
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => {}
        Some(other) => {
            bail!(
                invalid("input.schema", &format!("the record on stdin has the schema '{}'", other.escape_debug()))
                    .hint(format!("this version reads {SCHEMA}; update cutover"))
            )
        }
        None => bail!(invalid("input.schema", "the JSON on stdin has no member 'schema': it is no record")),
    }
    // From the text again, not from the value: only so do unknown numbers keep their very digits.
    let record: Record = serde_json::from_str(text)
        .map_err(|e| invalid("input.invalid", &format!("the record on stdin is not valid: {e}")))?;
    check(&record)?;
    Ok(record)
}

fn parse_value(text: &str) -> anyhow::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Unique.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|e| invalid("input.invalid", &format!("stdin holds no valid JSON record: {e}")).into())
}

/// What the types alone cannot say.
fn check(record: &Record) -> anyhow::Result<()> {
    if record.ok == record.error.is_some() {
        bail!(invalid("input.invalid", "the record's 'ok' and 'error' contradict each other"));
    }
    if record.held && !record.ok {
        bail!(invalid("input.invalid", "the record is both failed and held"));
    }
    if record.pipe.is_empty() {
        bail!(invalid("input.invalid", "the record's 'pipe' is empty"));
    }
    if record.error.as_ref().is_some_and(|error| error.exit == 0) {
        bail!(invalid("input.invalid", "the record's 'error.exit' is 0"));
    }
    if record.root.as_deref().is_some_and(|root| !root.starts_with('/')) {
        bail!(invalid("input.invalid", "the record's 'root' is no absolute path"));
    }
    if record.release.as_ref().is_some_and(|release| !is_id(&release.id)) {
        bail!(invalid("input.invalid", "the record's 'release.id' is no release id"));
    }
    let sizes = record.release.iter().flat_map(|release| [release.files, release.bytes]).flatten();
    if sizes.max().is_some_and(|size| size > 1 << 53) {
        bail!(invalid("input.invalid", "a size in the record is beyond 2^53"));
    }
    Ok(())
}

/// Whether a text is what the schema says a release id is.
fn is_id(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
    (1..=128).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphanumeric() && text.as_bytes().iter().all(inner)
}

fn invalid(code: &'static str, message: &str) -> Failure {
    Failure::new(Exit::InvalidInput, code, message).hint("to run alone add -n")
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
