//! The only way to a record: through the committed JSON Schema.

use std::ops::Index;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

/// A record that is one valid line and matches the schema. Index it as the JSON object that it is.
#[derive(Debug, Clone)]
pub struct Record(Value);

impl Record {
    /// Reads what a pipe printed. The error says which rule of the format was broken.
    pub fn parse(stdout: &str) -> Result<Self, String> {
        let line = stdout.strip_suffix('\n').ok_or("the record does not end with a line feed")?;
        if line.contains('\n') {
            return Err("more than one line on stdout".to_owned());
        }
        if stdout.len() > 1 << 20 {
            return Err(format!("a record of {} bytes", stdout.len()));
        }
        let value: Value = serde_json::from_str(line).map_err(|error| format!("stdout is not JSON: {error}"))?;
        let faults: Vec<_> =
            schema().iter_errors(&value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        if faults.is_empty() { Ok(Self(value)) } else { Err(format!("against the schema: {}", faults.join("; "))) }
    }

    /// The tools of the stages in order, undo stages as `release-switch --undo`.
    pub fn stages(&self) -> Vec<String> {
        let stages = self.0["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
        stages
            .iter()
            .map(|stage| {
                let tool = stage["tool"].as_str().unwrap_or("?");
                if stage["undo"] == true { format!("{tool} --undo") } else { tool.to_owned() }
            })
            .collect()
    }

    /// The first stage of a tool: where it acted, before any undo stage of it.
    pub fn stage(&self, tool: &str) -> &Value {
        let stages = self.0["stages"].as_array().expect("stages is an array");
        stages.iter().find(|stage| stage["tool"] == tool).unwrap_or_else(|| panic!("no {tool} in {self:#?}"))
    }

    /// The release id.
    pub fn id(&self) -> &str {
        self.0["release"]["id"].as_str().expect("the record names a release")
    }

    /// `error.code`, or an empty string when nothing failed.
    pub fn code(&self) -> &str {
        self.0["error"]["code"].as_str().unwrap_or_default()
    }

    /// The object as it came.
    pub fn json(&self) -> &Value {
        &self.0
    }
}

impl Index<&str> for Record {
    type Output = Value;
    fn index(&self, member: &str) -> &Value {
        &self.0[member]
    }
}

/// The committed schema; a story compares it with what the tools print.
pub fn schema() -> &'static Validator {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let path = crate::binaries::workspace().join("docs/record.schema.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            crate::skip::note(&format!(
                "{}: {error}; records are held against release-switch --schema",
                path.display()
            ));
            printed()
        });
        let schema = serde_json::from_str(&text).expect("the schema is JSON");
        jsonschema::draft202012::new(&schema).expect("the schema is a schema")
    })
}

fn printed() -> String {
    let tool = crate::binaries::directory().join("release-switch");
    let output = std::process::Command::new(tool).arg("--schema").output().expect("ask for the schema");
    String::from_utf8(output.stdout).expect("UTF-8")
}
