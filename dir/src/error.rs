//! What was attempted on which path, and the errno that stopped it.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// The result of one operation beneath a directory.
pub type Result<T> = std::result::Result<T, Error>;

/// One failed operation: `Display` says what was attempted on what, `source` the kernel's answer.
#[derive(Debug, Clone)]
pub struct Error {
    verb: &'static str,
    path: PathBuf,
    errno: Errno,
}

impl Error {
    /// An error of `verb` ("open", "rename", …) on `path`.
    pub fn new(verb: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        Self { verb, path: path.into(), errno }
    }

    /// The same for an error of the standard library; one without an errno counts as `EIO`.
    pub fn from_io(verb: &'static str, path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        Self::new(verb, path, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }

    /// The kernel's answer.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// The path the operation was meant for, as people know it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the entry, or a directory above it, is not there.
    pub fn is_not_found(&self) -> bool {
        self.errno == Errno::ENOENT
    }

    /// Whether the entry is there already.
    pub fn is_already_there(&self) -> bool {
        matches!(self.errno, Errno::EEXIST | Errno::ENOTEMPTY)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.path.display().to_string().escape_debug())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}
