//! The pages of the book that are generated: the record from its schema, the exit statuses from their table, the
//! recipes from the scripts.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The reference of the record: what all pipes have, then a chapter for each tool.
pub(crate) fn record(schema: &Value) -> String {
    let mut page = Page { schema, out: RECORD.to_owned(), done: Vec::new() };
    page.out.push_str(&table(schema));
    page.below(schema, 2);
    for tool in schema.pointer("/$defs/Stage/allOf").and_then(Value::as_array).into_iter().flatten() {
        let name = tool.pointer("/if/properties/tool/const").and_then(Value::as_str).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(page.out, "\n## {name}\n\n");
        if let Some(section) = tool.get("then").and_then(reference) {
            page.body(section);
            page.below(&schema["$defs"][section], 3);
        }
    }
    // What no record holds but release-ls prints.
    page.out.push_str("\n## Lines of release-ls\n");
    for printed in ["LsRelease", "LsActivation", "LsVerified"] {
        page.chapter(printed, 3);
    }
    page.out
}

const RECORD: &str = "\
# The record

One JSON object on one line. This page is generated from the [schema](record.schema.json), which every tool prints with
`--schema`; [the contract](contract.md#the-record) has the rules. Members that are not marked *always* are left out where they
say nothing. Others than these may be added within `cutover.record/1`, and are passed on by tools that do not know them.

";

/// A page while it is written; `done` are the definitions that have a chapter already.
struct Page<'a> {
    schema: &'a Value,
    out: String,
    done: Vec<String>,
}

impl Page<'_> {
    /// Chapters for what this definition refers to, and for what these refer to.
    fn below(&mut self, definition: &Value, level: usize) {
        let mut names = Vec::new();
        let members = definition.get("properties").and_then(Value::as_object);
        members.into_iter().flatten().for_each(|(_, member)| references(member, &mut names));
        for name in names {
            self.chapter(name, level);
        }
    }

    fn chapter(&mut self, name: &str, level: usize) {
        if self.done.iter().any(|done| done == name) {
            return;
        }
        self.done.push(name.to_owned());
        let _ = write!(self.out, "\n{} {name}\n\n", "#".repeat(level));
        self.body(name);
        let definition = self.schema["$defs"][name].clone();
        self.below(&definition, level);
    }

    fn body(&mut self, name: &str) {
        let definition = &self.schema["$defs"][name];
        let description = definition["description"].as_str().unwrap_or_default();
        let _ = write!(self.out, "{}\n\n{}", escaped(description), table(definition));
    }
}

/// The members of an object, or the values of an enumeration.
fn table(definition: &Value) -> String {
    let mut out = String::new();
    if let Some(values) = definition.get("oneOf").and_then(Value::as_array) {
        out.push_str("| value | means |\n|---|---|\n");
        for value in values {
            let description = value["description"].as_str().unwrap_or_default();
            let _ = writeln!(out, "| `{}` | {} |", value["const"].as_str().unwrap_or("…"), escaped(description));
        }
        return out;
    }
    let required: Vec<&str> =
        definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    out.push_str("| member | type | means |\n|---|---|---|\n");
    for (name, member) in definition["properties"].as_object().into_iter().flatten() {
        let always = if required.contains(&name.as_str()) { ", always" } else { "" };
        let description = member["description"].as_str().unwrap_or_default();
        let _ = writeln!(out, "| `{name}` | {}{always} | {} |", kind(member), escaped(description));
    }
    out
}

/// What a member is, as a reader says it.
fn kind(member: &Value) -> String {
    if let Some(name) = reference(member) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let alternatives = member.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    if let Some(one) = alternatives.into_iter().find(|one| one["type"] != "null") {
        return kind(one);
    }
    let own = match &member["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|one| *one != "null"),
        one => one.as_str(),
    };
    match own {
        Some("array") => format!("list of {}", kind(&member["items"])),
        Some("object") => match member.get("additionalProperties").filter(|value| value.is_object()) {
            Some(value) => format!("map to {}", kind(value)),
            None => "object".to_owned(),
        },
        Some(own) => own.to_owned(),
        None => "any".to_owned(),
    }
}

/// The name of the definition that this refers to, itself.
fn reference(member: &Value) -> Option<&str> {
    member.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"))
}

/// The names of all definitions that this refers to.
fn references<'a>(member: &'a Value, names: &mut Vec<&'a str>) {
    names.extend(reference(member));
    match member {
        Value::Array(values) => values.iter().for_each(|value| references(value, names)),
        Value::Object(members) => members.values().for_each(|value| references(value, names)),
        _ => {}
    }
}

/// Text for a cell of a table.
fn escaped(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|").replace('<', "&lt;")
}

/// The one table of exit statuses.
pub(crate) fn exit_status() -> String {
    let rows: String =
        record::Exit::TABLE.iter().map(|(code, meaning)| format!("| {code} | {} |\n", escaped(meaning))).collect();
    format!("{EXIT}| code | means |\n|---|---|\n{rows}{LAST}")
}

const EXIT: &str = "\
# Exit status

The same in all tools; not every tool uses every one. The status of a pipe is its last stage's, and a stage that gets a failed
record ends with the status of the one that failed: so it is the true cause, in any shell.

";

const LAST: &str = "
What to do about it: 3, look at the release; 5, look at the server, at once; 6, decide; 65 and 66, look at the message of the
stage before; 75, wait, or see who is at work; 77, read the hint. For a timer 75 is no failure (`SuccessExitStatus=75`).

The record has the status as `error.exit`, a stable word for the reason as `error.code`, and whether it is the release's own
fault as `error.blame`.
";

/// All recipes, word by word.
pub(crate) fn recipes(folder: &Path) -> Result<String> {
    let read = || format!("read {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(read)?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut out = RECIPES.to_owned();
    for path in paths {
        let text = std::fs::read_to_string(&path).with_context(read)?;
        let name = path.file_name().unwrap_or_default().display().to_string();
        let language = if name.ends_with(".mk") { "make" } else { "sh" };
        let _ = write!(out, "\n## {name}\n\n```{language}\n{}\n```\n", text.trim_end());
    }
    Ok(out)
}

const RECIPES: &str = "\
# The scripts, whole

What the [recipes](cookbook.md) describe, as it is installed in `share/cutover/recipes`.
";
