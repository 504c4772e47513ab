//! `--require-env`: whether a file sets what a release needs. Values are looked at here and never kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::request::RequiredVariables;
use crate::shown::shown;

/// Larger files are no environment files.
const LARGEST: u64 = 1 << 20;

/// Something that is not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    /// `FILE: NAME`, or the file itself; the whole path, as options count their paths from different places.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) hint: String,
}

/// What is missing, variables or whole files. Relative files are below `root`.
pub(crate) fn missing(required: &[RequiredVariables], root: &Path) -> Result<Vec<Lack>> {
    let mut missing = Vec::new();
    for one in required {
        let path = plain(&root.join(&one.file));
        let stat = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(Lack { what: format!("{}: no such file", shown(&path)), hint: without_file(one, root) });
                continue;
            }
            stat => stat.with_context(|| format!("look at {}", shown(&path)))?,
        };
        anyhow::ensure!(
            stat.is_file() && stat.len() <= LARGEST,
            "{} is no environment file: a regular one of at most 1 MiB",
            shown(&path)
        );
        let text = std::fs::read(&path).with_context(|| format!("read {}", shown(&path)))?;
        let text = String::from_utf8_lossy(&text);
        let unset = one.names.iter().filter(|name| !is_set(&text, name));
        missing.extend(unset.map(|name| Lack {
            what: format!("{}: {name}", shown(&path)),
            hint: "set each to a value that is not empty, then run again".to_owned(),
        }));
    }
    Ok(missing)
}

/// What to do where there is no file: `--share` counts its paths from `shared/`, and this one may have been meant so.
fn without_file(required: &RequiredVariables, root: &Path) -> String {
    if required.file.is_absolute() {
        return "make the file, or name another one".to_owned();
    }
    let meant = plain(&Path::new("shared").join(&required.file));
    if root.join(&meant).is_file() {
        return format!("the path counts from the root: did you mean {}:{}?", shown(&meant), required.names.join(","));
    }
    "make the file, or name another one; the path counts from the root".to_owned()
}

/// The path without `.`.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
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
    fn a_file_that_is_not_there_is_named_in_full_and_looked_for_in_shared() {
        let root = tempfile::tempdir().unwrap();
        let lack = |file: &str| {
            let required = RequiredVariables { file: file.into(), names: vec!["A".into(), "B".into()] };
            let mut missing = missing(&[required], root.path()).unwrap();
            assert_eq!(missing.len(), 1);
            missing.remove(0)
        };
        let full = |file: &str| format!("{}/{file}: no such file", root.path().display());
        let plain = "make the file, or name another one; the path counts from the root";
        let shared = dir::Dir::open(root.path()).unwrap().create_dir("shared", 0o755).unwrap();
        shared.create_dir(".env", 0o755).unwrap();
        assert_eq!(lack(".env"), Lack { what: full(".env"), hint: plain.into() }, "a directory is not meant");
        shared.remove_dir(".env").unwrap();
        shared.create_file(".env", b"A=1", 0o644).unwrap();
        let meant = "the path counts from the root: did you mean shared/.env:A,B?";
        for file in [".env", "./.env"] {
            assert_eq!(lack(file), Lack { what: full(".env"), hint: meant.into() });
        }
        assert_eq!(lack("shared/x"), Lack { what: full("shared/x"), hint: plain.into() });
        assert_eq!(lack("/no/such").hint, "make the file, or name another one");
    }

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
