//! One path component that cannot lead anywhere else.

use std::fmt;

use nix::NixPath;
use serde::{Deserialize, Deserializer, Serialize};

/// A single file name of at most 255 bytes of UTF-8: no `/`, no NUL, no control characters, neither `.` nor `..`
/// nor empty. Whoever holds one need not check again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Why a string is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    given: String,
    reason: &'static str,
}

impl Name {
    /// Checks `given` and keeps it.
    pub fn new(given: impl Into<String>) -> Result<Self, InvalidName> {
        let given = given.into();
        let reason = match given.as_str() {
            "" => "is empty",
            "." | ".." => "names a directory above or itself",
            s if s.contains('/') => "contains a slash",
            s if s.chars().any(char::is_control) => "contains a control character",
            s if s.len() > 255 => "is longer than 255 bytes",
            _ => return Ok(Self(given)),
        };
        Err(InvalidName { given, reason })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::ffi::OsStr> for Name {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.0.as_ref()
    }
}

impl AsRef<std::path::Path> for Name {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl std::str::FromStr for Name {
    type Err = InvalidName;

    fn from_str(given: &str) -> Result<Self, InvalidName> {
        Self::new(given)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl NixPath for Name {
    fn is_empty(&self) -> bool {
        false
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn with_nix_path<T, F: FnOnce(&std::ffi::CStr) -> T>(&self, f: F) -> nix::Result<T> {
        self.0.as_str().with_nix_path(f)
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no name: it {}", self.given.escape_debug(), self.reason)
    }
}

impl std::error::Error for InvalidName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component_and_nothing_else() {
        for bad in ["", ".", "..", "a/b", "/", "/etc", "../x", "a\nb", "\u{1b}[1m", "a\0b"] {
            assert!(Name::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(Name::new("x".repeat(256)).is_err());
        for good in ["current", "...", "-rf", "a b", "ä", &"x".repeat(255)] {
            assert!(Name::new(good).is_ok(), "{good:?} was refused");
        }
    }
}
