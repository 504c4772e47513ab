//! The name of a release.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::SystemTime;

use dir::Name;
use serde::{Deserialize, Deserializer, Serialize};

/// A release's name under `releases/`: a letter or digit, then at most 127 letters, digits, `.`, `_`, `+` or `-`.
/// It is safe in paths, in a shell and in a terminal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ReleaseId(Name);

/// Why a string is no [`ReleaseId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    given: String,
}

impl ReleaseId {
    /// Checks `given` and keeps it.
    pub fn new(given: impl Into<String>) -> Result<Self, InvalidId> {
        let given = given.into();
        let legal = given.len() <= 128
            && given.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && given.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'));
        if !legal {
            return Err(InvalidId { given });
        }
        Name::new(given).map(Self).map_err(|_| InvalidId { given: String::new() })
    }

    /// The id of a directory entry, where it is a legal one.
    pub fn of_entry(entry: &OsStr) -> Option<Self> {
        entry.to_str().and_then(|name| Self::new(name).ok())
    }

    /// `20261121T071000Z-12`: the id a release gets when nobody names it.
    pub fn default_for(now: SystemTime, seq: u64) -> Result<Self, InvalidId> {
        Self::new(format!("{}-{seq}", record::clock::compact(now)))
    }

    /// The sequence number in an id of the default form.
    pub(crate) fn default_seq(&self) -> Option<u64> {
        let (time, seq) = self.as_str().split_once('-')?;
        let shape = time.len() == 16 && time.ends_with('Z') && time.as_bytes().get(8) == Some(&b'T');
        shape.then(|| seq.parse().ok()).flatten()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The id as a name of one directory entry.
    pub fn as_name(&self) -> &Name {
        &self.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<OsStr> for ReleaseId {
    fn as_ref(&self) -> &OsStr {
        self.as_str().as_ref()
    }
}

impl AsRef<Path> for ReleaseId {
    fn as_ref(&self) -> &Path {
        self.as_str().as_ref()
    }
}

impl FromStr for ReleaseId {
    type Err = InvalidId;

    fn from_str(given: &str) -> Result<Self, InvalidId> {
        Self::new(given)
    }
}

impl<'de> Deserialize<'de> for ReleaseId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no release id: a letter or digit, then at most 127 letters, digits, '.', '_', '+' or '-'",
            self.given.escape_debug()
        )
    }
}

impl std::error::Error for InvalidId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_harmless_in_a_path_a_shell_and_a_terminal() {
        let long = "x".repeat(129);
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/etc",
            "a/b",
            "-rf",
            ".cutover",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            "a\u{202e}b",
            "ä",
            "_a",
            "+a",
            "a b",
            "a;b",
            "a$b",
            "a*b",
            &long,
        ] {
            assert!(ReleaseId::new(bad).is_err(), "{bad:?} was taken");
        }
        for good in ["a", "0", "v1.4.2", "20261121T071000Z-12", "a..b", "A_b+c-d", &long[..128]] {
            assert!(ReleaseId::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn the_sequence_is_read_from_default_ids_only() {
        let of = |id: &str| ReleaseId::new(id).unwrap().default_seq();
        assert_eq!(of("20261121T071000Z-12"), Some(12));
        for other in ["v1-12", "20261121T071000Z", "20261121T071000Z-x", "20261121-071000Z-12"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
