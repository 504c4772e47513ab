//! The names of one directory, however many, in little memory.

use std::ffi::{CStr, OsStr, OsString};
use std::iter::FusedIterator;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

/// A directory's names in bytewise order, handed out one by one. A million of them take some 20 MiB: they lie in one
/// piece, and none has an allocation of its own before it is handed out.
#[derive(Debug, Default)]
pub struct Names {
    /// Each name with a zero byte behind it.
    bytes: Vec<u8>,
    /// Where each begins, in the order of the names.
    starts: std::vec::IntoIter<usize>,
}

impl Names {
    /// Reads a stream of directory entries to its end; `.` and `..` are left out.
    pub(crate) fn read(listing: &mut nix::dir::Dir) -> Result<Self, Errno> {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for entry in listing.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                starts.push(bytes.len());
                bytes.extend_from_slice(name.to_bytes_with_nul());
            }
        }
        starts.sort_unstable_by(|&one, &other| at(&bytes, one).cmp(at(&bytes, other)));
        Ok(Self { bytes, starts: starts.into_iter() })
    }
}

impl Iterator for Names {
    type Item = OsString;

    fn next(&mut self) -> Option<OsString> {
        let start = self.starts.next()?;
        Some(OsStr::from_bytes(at(&self.bytes, start).to_bytes()).to_owned())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.starts.size_hint()
    }
}

impl ExactSizeIterator for Names {}
impl FusedIterator for Names {}

/// The name that begins at `start`.
fn at(bytes: &[u8], start: usize) -> &CStr {
    CStr::from_bytes_until_nul(&bytes[start..]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::Dir;

    #[test]
    fn names_come_in_bytewise_order_without_the_dots() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        assert!(dir.names().unwrap().next().is_none());
        let sorted = [".", "..", ".a", "A", "a", "a b", "a-", "aa", "\u{e9}"].map(|name| name.to_owned());
        for name in sorted[2..].iter().rev() {
            dir.create_file(name, b"", 0o600).unwrap();
        }
        let names = dir.names().unwrap();
        assert_eq!(names.len(), sorted.len() - 2);
        assert!(names.eq(sorted[2..].iter().map(|name| name.as_str())));
    }
}
