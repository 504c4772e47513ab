//! `cargo xtask generate` writes what is shipped beside the tools; `cargo xtask check` says whether it is up to date.
//!
//! Manual pages and completions come from the tools' own command lines; the JSON Schema and three pages of the book from
//! the record's types and the recipes. Each tool is built once with the feature `record/manual` and asked; the sections
//! that no command line knows (examples, files) are files in `xtask/man`.

mod completions;
mod page;
mod reference;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Generate manual pages, completions, the JSON Schema and pages of the book, or check that they are up to date.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Write every generated file
    Generate,
    /// Exit 1 and name the files that `generate` would change
    Check,
}

fn main() -> ExitCode {
    match Task::parse().run() {
        Ok(status) => status,
        Err(error) => {
            tools::say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Task {
    fn run(self) -> Result<ExitCode> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("find the workspace")?;
        let wanted = wanted(top)?;
        let differing: Vec<&PathBuf> = wanted
            .iter()
            .filter(|(path, text)| std::fs::read(top.join(path)).ok().as_ref() != Some(text))
            .map(|(path, _)| path)
            .collect();
        if matches!(self, Self::Generate) {
            for path in &differing {
                tools::write(&top.join(path), &wanted[*path])?;
                tools::say(&format!("wrote {}", path.display()));
            }
            return Ok(ExitCode::SUCCESS);
        }
        for path in &differing {
            tools::say(&format!("xtask: {} is not what would be generated: cargo xtask generate", path.display()));
        }
        Ok(if differing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Every generated file with its content.
fn wanted(top: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let built = tools::build(top)?;
    let mut files = BTreeMap::new();
    for tool in &built.names {
        let parts_file = top.join("xtask/man").join(tool);
        let parts = std::fs::read_to_string(&parts_file).with_context(|| format!("read {}", parts_file.display()))?;
        let page = page::whole(&built.ask(tool, "man")?, &parts, tool, &built.names)?;
        files.insert(format!("docs/man/{tool}.1").into(), page.into_bytes());
        for (shell, path) in [
            ("bash", format!("docs/completions/bash/{tool}")),
            ("zsh", format!("docs/completions/zsh/_{tool}")),
            ("fish", format!("docs/completions/fish/{tool}.fish")),
        ] {
            let source = top.join("xtask/completions").join(shell);
            let functions = std::fs::read_to_string(&source).with_context(|| format!("read {}", source.display()))?;
            let printed = String::from_utf8(built.ask(tool, shell)?).context("read completions")?;
            files.insert(path.into(), completions::with_values(&printed, shell, tool, &functions)?.into_bytes());
        }
    }
    files.insert("docs/record.schema.json".into(), (record::schema::text() + "\n").into_bytes());
    files.insert("docs/record.md".into(), reference::record(&record::schema::value()).into_bytes());
    files.insert("docs/exit-status.md".into(), reference::exit_status().into_bytes());
    files.insert("docs/recipes.md".into(), reference::recipes(&top.join("scripts/recipes"))?.into_bytes());
    Ok(files)
}
