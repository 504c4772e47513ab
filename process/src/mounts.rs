//! Mount tables, and where a path lies inside its file system.
//!
//! One directory has as many paths as it has mounts: bind mounts and other mount namespaces show a
//! release under names of their own. Inside its file system it has one path only, and that is what is
//! compared here.

use std::fs;
use std::io;

use crate::uses::is_beneath;

/// One line of a mountinfo file (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) id: u64,
    /// `major:minor` of the file system.
    pub(crate) device: String,
    /// The directory of the file system that is mounted.
    pub(crate) root: Vec<u8>,
    /// Where it is mounted.
    pub(crate) point: Vec<u8>,
}

/// A path counted from the root of its file system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Location {
    pub(crate) device: String,
    pub(crate) path: Vec<u8>,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let id = fields.next()?.parse().ok()?;
        let device = fields.nth(1)?.to_owned();
        let root = unescaped(fields.next()?);
        let point = unescaped(fields.next()?);
        Some(Self { id, device, root, point })
    }

    /// Where `path` lies, if it goes through this mount.
    pub(crate) fn locate(&self, path: &[u8]) -> Option<Vec<u8>> {
        if !is_beneath(path, &self.point) {
            return None;
        }
        let rest = path.get(trimmed(&self.point).len()..).unwrap_or_default();
        Some([trimmed(&self.root), rest].concat())
    }

    /// Puts the mount point beneath the root directory of the process it was read from.
    pub(crate) fn seen_from_above(mut self, root: &[u8]) -> Self {
        self.point = [trimmed(root), &self.point].concat();
        self
    }
}

/// Reads a mount table, `/proc/PID/mountinfo`.
pub(crate) fn read(path: &str) -> io::Result<Vec<Mount>> {
    let bytes = fs::read(path)?;
    // Names that are no UTF-8 are escaped by nobody; such a mount is compared in its lossy form, which
    // can only miss what no path of ours can name.
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(Mount::parse).collect())
}

/// A path without its final slashes, so that `/` is empty and anything may be joined to it.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    &path[..end]
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(field: &str) -> Vec<u8> {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 4 } else { 1 };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_from_the_root_of_its_file_system() {
        let mount = |root: &str, point: &str| Mount::parse(&format!("7 1 8:1 {root} {point} rw - ext4 x rw")).unwrap();
        assert_eq!(mount("/", "/").locate(b"/srv/a").unwrap(), b"/srv/a");
        assert_eq!(mount("/srv/a", "/app").locate(b"/app/bin").unwrap(), b"/srv/a/bin");
        assert_eq!(mount("/srv/a", "/app").locate(b"/app").unwrap(), b"/srv/a");
        assert_eq!(mount("/srv/a", "/app").locate(b"/apple"), None);
        assert_eq!(mount("/", "/mnt\\040x").locate(b"/mnt x/y").unwrap(), b"/y");
        assert_eq!(mount("/", "/x").seen_from_above(b"/jail").point, b"/jail/x");
        assert_eq!(mount("/", "/x").seen_from_above(b"/").point, b"/x");
    }

    #[test]
    fn our_own_table_can_be_read() {
        assert!(read("/proc/self/mountinfo").unwrap().iter().any(|mount| mount.point == b"/"));
    }
}
