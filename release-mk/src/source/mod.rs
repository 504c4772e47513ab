//! Where a release comes from. Each source fills an empty tree and says what it put there.

pub(crate) mod archive;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod fill;
pub(crate) mod git;
pub(crate) mod survey;

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dir::Dir;
use record::{Exit, Failure};

use crate::request::Request;
use crate::shown::shown;
use archive::Format;
use git::Git;

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
    /// An archive, unpacked.
    Archive {
        /// Where it is, absolute; `None` for a stream on stdin.
        path: Option<PathBuf>,
        /// Its content.
        file: File,
        /// How it is read.
        format: Format,
    },
    /// A revision of a git repository.
    Git(Git),
}

/// Opens what `--from` names. Writes nothing.
pub(crate) fn open(request: &Request) -> Result<Source> {
    let given = &request.from;
    if let Some(reference) = &request.reference {
        return Git::new(given, reference, request.submodules).map(Source::Git);
    }
    if given.as_os_str() == "-" {
        let file = File::from(std::io::stdin().as_fd().try_clone_to_owned().context("read stdin")?);
        return Ok(Source::Archive { path: None, file, format: Format::Tar });
    }
    let missing = || {
        Failure::new(Exit::Failed, "mk.source", format!("cannot read the source {}", shown(given)))
            .hint("--from names a directory, a file, an archive, or - for a tar stream on stdin")
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
                .hint("--from names a directory, a file, an archive, or - for a tar stream on stdin")
        );
    }
    let file = File::open(&path).with_context(missing)?;
    if let Some(format) = Format::of_name(&path).or_else(|| Format::of_name(given)) {
        return Ok(Source::Archive { path: Some(path), file, format });
    }
    // The name that was given, not the one a link leads to: who ships current.jar wants that name.
    let name = given.file_name().or_else(|| path.file_name()).map(OsString::from).unwrap_or_default();
    Ok(Source::File { path, name, file })
}

impl Source {
    /// Refuses to wait for a stream that nobody sends.
    pub(crate) fn refuse_terminal(&self) -> Result<()> {
        match self {
            Self::Archive { path: None, file, .. } if file.is_terminal() => bail!(
                Failure::new(Exit::Usage, "usage", "--from - reads a tar stream, and stdin is a terminal")
                    .hint("ssh build 'tar c dist' | release-mk --from - …")
            ),
            _ => Ok(()),
        }
    }

    /// Where it is, absolute; nowhere for a stream.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Directory { path, .. } | Self::File { path, .. } => Some(path),
            Self::Archive { path, .. } => path.as_deref(),
            Self::Git(_) => None,
        }
    }

    /// What a message calls it.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Directory { path, .. } | Self::File { path, .. } | Self::Archive { path: Some(path), .. } => {
                shown(path)
            }
            Self::Archive { path: None, .. } => "stdin".to_owned(),
            Self::Git(git) => git.title(),
        }
    }

    /// What the record says of it.
    pub(crate) fn to_record(&self) -> record::Source {
        let kind = match self {
            Self::Directory { .. } => "directory",
            Self::File { .. } => "file",
            Self::Archive { path: None, .. } => "stream",
            Self::Archive { format: Format::Tar, .. } => "tar",
            Self::Archive { format: Format::Zip, .. } => "zip",
            Self::Git(git) => return git.to_record(),
        };
        record::Source {
            kind: kind.into(),
            path: self.path().map(|path| path.display().to_string()),
            ..record::Source::default()
        }
    }
}
