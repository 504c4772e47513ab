//! The JSON Schema (2020-12) of the record, generated from the types.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::Record;
use crate::sections;

/// The schema as it is committed, which a test holds equal to [`text`]: what `--schema` prints. Generating it there would
/// put a fifth of a megabyte of generator into every tool.
pub const COMMITTED: &str = include_str!("../../docs/record.schema.json");

/// The schema generated from the types, as pretty JSON, without a final line feed.
pub fn text() -> String {
    serde_json::to_string_pretty(&value()).unwrap_or_default()
}

/// The schema: a record whose stages must also fit the section of their tool.
pub fn value() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let tools = sections::schemas(&mut generator);
    let mut schema = generator.into_root_schema_for::<Record>().to_value();
    for (_, section) in &tools {
        // A stage that was refused before its work has no section at all.
        let definition = section.get("$ref").and_then(Value::as_str).and_then(|link| link.strip_prefix('#'));
        let definition = definition.and_then(|pointer| schema.pointer_mut(pointer)).and_then(Value::as_object_mut);
        definition.and_then(|definition| definition.remove("required"));
    }
    let sections: Vec<Value> = tools
        .into_iter()
        .map(|(tool, section)| {
            json!({
                "if": { "properties": { "tool": { "const": tool } } },
                "then": section,
            })
        })
        .collect();
    schema["$id"] = "urn:cutover:record:1".into();
    schema["title"] = "cutover record".into();
    if let Some(stage) = schema.pointer_mut("/$defs/Stage").filter(|_| !sections.is_empty()) {
        stage["allOf"] = Value::Array(sections);
    }
    schema
}
