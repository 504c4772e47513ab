//! Where lines go: to stdout, and with `--report` to a file as well.

use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::Request;

/// Takes lines; the first error of writing them is told at the end.
pub(crate) struct Out {
    stdout: BufWriter<Stdout>,
    failed: Option<std::io::Error>,
    report: Option<(PathBuf, Vec<u8>)>,
}

impl Out {
    /// Writes to stdout, and at the end to the report that `request` asks for.
    pub(crate) fn new(request: &Request) -> Self {
        let report = request.options.report.clone().map(|path| (path, Vec::new()));
        Self { stdout: BufWriter::with_capacity(1 << 16, std::io::stdout()), failed: None, report }
    }

    /// One line.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        if self.failed.is_none() {
            self.failed = writeln!(self.stdout, "{line}").err();
        }
        if let Some((_, text)) = &mut self.report {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
    }

    /// Several lines.
    pub(crate) fn lines(&mut self, lines: Vec<String>) {
        lines.iter().for_each(|line| self.line(line));
    }

    /// Lets what was written so far be seen.
    pub(crate) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.stdout.flush().err();
        }
    }

    /// Writes what is left, and the report.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.flush();
        if let Some((path, text)) = &self.report {
            write_report(path, text)?;
        }
        match self.failed {
            // Whoever reads only the first lines has what was wanted.
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to stdout"),
            _ => Ok(()),
        }
    }
}

fn write_report(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let what = || format!("write the report {}", path.display());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().with_context(what)?;
    dir::Dir::open(parent).and_then(|dir| dir.replace_file(name, text, 0o644)).with_context(what)
}
