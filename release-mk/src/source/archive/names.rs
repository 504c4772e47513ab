//! Which names an archive may use.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use record::Failure;

use super::refuse;

/// Deeper paths are refused.
const DEEPEST: usize = 64;

/// The path of an entry as one below the top; empty for the top itself. Refused are absolute paths, `..`, NUL,
/// names over 255 bytes and more than 64 levels.
pub(crate) fn path(given: &[u8]) -> Result<PathBuf, Failure> {
    let wrong = |why: &str| {
        let shown = String::from_utf8_lossy(&given[..given.len().min(300)]).escape_debug().to_string();
        Err(refuse("archive.path", format!("the archive is refused: the path '{shown}' {why}")))
    };
    match given.first() {
        None => return wrong("is empty"),
        Some(b'/') => return wrong("is absolute"),
        Some(_) => {}
    }
    let mut path = PathBuf::with_capacity(given.len());
    for (depth, name) in given.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).enumerate() {
        match name {
            b".." => return wrong("leads out of the tree"),
            name if name.len() > 255 => return wrong("has a name of more than 255 bytes"),
            name if name.contains(&0) => return wrong("contains a NUL"),
            _ if depth >= DEEPEST => return wrong("is more than 64 levels deep"),
            name => path.push(OsStr::from_bytes(name)),
        }
    }
    // It may be held until all entries are known, and what was left out with it.
    path.shrink_to_fit();
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_top_or_the_archive_is_refused() {
        for (given, taken) in [
            ("a", "a"),
            ("./a/b/", "a/b"),
            ("a//b/./c", "a/b/c"),
            ("./", ""),
            (".", ""),
            ("a\nb", "a\nb"),
            ("...", "..."),
            ("-rf", "-rf"),
        ] {
            assert_eq!(path(given.as_bytes()).unwrap(), PathBuf::from(taken), "{given}");
        }
        let deep = "d/".repeat(65);
        let long = "x".repeat(256);
        for given in ["", "/", "/etc/passwd", "..", "../evil", "a/../b", "a/..", "./../a", "a\0b", &deep, &long] {
            assert!(path(given.as_bytes()).is_err(), "{given:?} was taken");
        }
        assert!(path("d/".repeat(64).as_bytes()).is_ok());
        assert!(path("x".repeat(255).as_bytes()).is_ok());
    }
}
