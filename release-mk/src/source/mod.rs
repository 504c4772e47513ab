//! Where a release comes from. Each source fills an empty tree and says what it put there.

pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod survey;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dir::Dir;
use record::{Exit, Failure};

use crate::plan::Request;
use crate::shown::shown;

/// An opened source. Opened before anything else is done, as the user who asked.
#[derive(Debug)]
pub(crate) enum Source {
    /// A directory, taken whole.
    Directory {
        /// Where it is, absolute.
        path: PathBuf,
        /// Its descriptor.
        dir: Dir,
    },
    /// One file, which becomes the release's only one.
    File {
        /// Where it is, absolute.
        path: PathBuf,
        /// Its name in the release.
        name: OsString,
        /// Its content.
        file: File,
    },
}

/// Opens what `--from` names. Writes nothing.
pub(crate) fn open(request: &Request) -> Result<Source> {
    let given = &request.from;
    let missing = || {
        Failure::new(Exit::Failed, "mk.source", format!("cannot read the source {}", shown(given)))
            .hint("--from names a directory or a file")
    };
    let path = std::fs::canonicalize(given).with_context(missing)?;
    let kind = std::fs::metadata(&path).with_context(missing)?.file_type();
    if kind.is_dir() {
        let dir = Dir::open(&path).with_context(missing)?;
        return Ok(Source::Directory { path, dir });
    }
    if !kind.is_file() {
        bail!(
            Failure::new(Exit::Failed, "mk.source", format!("{} is neither a directory nor a file", shown(given)))
                .hint("--from names a directory or a file")
        );
    }
    let file = File::open(&path).with_context(missing)?;
    // The name that was given, not the one a link leads to: who ships current.jar wants that name.
    let name = given.file_name().or_else(|| path.file_name()).map(OsString::from).unwrap_or_default();
    Ok(Source::File { path, name, file })
}

impl Source {
    /// Where it is, absolute.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory { path, .. } | Self::File { path, .. } => path,
        }
    }

    /// What the record says of it.
    pub(crate) fn to_record(&self) -> record::Source {
        let kind = match self {
            Self::Directory { .. } => "directory",
            Self::File { .. } => "file",
        };
        record::Source { kind: kind.into(), path: Some(self.path().display().to_string()), ..record::Source::default() }
    }
}
