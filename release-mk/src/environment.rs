//! `--require-env`: whether a file sets what a release needs. Values are looked at here and never kept.

use std::path::Path;

use anyhow::{Context, Result};

use crate::request::RequiredVariables;

/// Larger files are no environment files.
const LARGEST: u64 = 1 << 20;

/// What is missing, as `FILE: NAME`, or the file itself. Relative files are below `root`.
pub(crate) fn missing(required: &[RequiredVariables], root: &Path) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for RequiredVariables { file, names } in required {
        let path = root.join(file);
        let stat = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(format!("{}: no such file", file.display()));
                continue;
            }
            stat => stat.with_context(|| format!("look at {}", path.display()))?,
        };
        anyhow::ensure!(
            stat.is_file() && stat.len() <= LARGEST,
            "{} is no environment file: a regular one of at most 1 MiB",
            path.display()
        );
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        let unset = names.iter().filter(|name| !is_set(&text, name));
        missing.extend(unset.map(|name| format!("{}: {name}", file.display())));
    }
    Ok(missing)
}

/// Whether the last line that assigns `name` gives it a value: as systemd and dotenv read such files, with or
/// without `export`, in quotes or not.
fn is_set(text: &str, name: &str) -> bool {
    let value_of = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let value = line.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim();
        let bare = value.trim_matches(|c| c == '"' || c == '\'');
        Some(!bare.is_empty() && !value.starts_with('#'))
    };
    text.lines().filter_map(value_of).next_back().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_when_its_last_assignment_has_a_value() {
        for (text, set) in [
            ("KEY=value", true),
            ("  export KEY = 'x y'", true),
            ("KEY=\"v\"\nOTHER=", true),
            ("KEY=", false),
            ("KEY=''", false),
            ("KEY=\"\"", false),
            ("KEY= # later", false),
            ("#KEY=value", false),
            ("KEYS=value", false),
            ("MY_KEY=value", false),
            ("KEY=a\nKEY=", false),
            ("", false),
        ] {
            assert_eq!(is_set(text, "KEY"), set, "{text:?}");
        }
    }
}
