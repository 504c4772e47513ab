//! The tools, built to print what belongs beside them. The only module here that starts processes or writes files.
#![expect(clippy::disallowed_methods, reason = "a task of the developer, who asked for these files")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where the tools are, and which there are.
pub(crate) struct Built {
    folder: PathBuf,
    /// Their names, sorted.
    pub(crate) names: Vec<String>,
}

/// Builds every tool of the workspace with the feature `record/manual`, beside what is built already: the next usual
/// build puts the usual binaries back.
pub(crate) fn build(top: &Path) -> Result<Built> {
    let entries = std::fs::read_dir(top).with_context(|| format!("read {}", top.display()))?;
    let is_tool = |name: &String| {
        (name.starts_with("release-") || name.starts_with("svc-")) && top.join(name).join("Cargo.toml").exists()
    };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(is_tool).collect();
    names.sort();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top.join("target"), |named| top.join(named));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(top).args(["build", "--locked", "--quiet", "--features", "record/manual", "-p", "record"]);
    for name in &names {
        cargo.args(["-p", name]);
    }
    let status = cargo.status().context("start cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    Ok(Built { folder: target.join("debug"), names })
}

impl Built {
    /// What `tool` prints of this kind.
    pub(crate) fn ask(&self, tool: &str, kind: &str) -> Result<Vec<u8>> {
        let output = Command::new(self.folder.join(tool))
            .args(["--generate-manual", kind])
            .output()
            .with_context(|| format!("start {tool}"))?;
        ensure!(output.status.success() && !output.stdout.is_empty(), "{tool} printed no {kind}");
        Ok(output.stdout)
    }
}

/// Writes a generated file and the folders above it.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

/// One line for the developer.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}
