//! Archives as sources. What a crate accepts is not what is accepted here: crates only parse, every entry
//! is judged by the rules below and written through directory descriptors of our own.
//!
//! One entry that breaks a rule refuses the archive as a whole: a release with a part of it left out is not what
//! was built. Owners and extended attributes are not restored, modes are normalised.

mod complete;
pub(crate) mod names;
mod plain;
mod sparse;
mod state;
pub(crate) mod stream;
pub(crate) mod symlinks;
pub(crate) mod tar;
pub(crate) mod target;
pub(crate) mod unpack;
mod window;
mod write;
pub(crate) mod zip;

use std::path::Path;

use record::{Exit, Failure};

/// How much an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of all files together, if that was said.
    pub(crate) bytes: Option<u64>,
    /// Entries of any kind, if that was said.
    pub(crate) files: Option<u64>,
    /// Whether symlinks may be absolute or lead out of the tree.
    pub(crate) external_symlinks: bool,
}

impl Limits {
    /// Bytes that an archive may unpack to: a small one can hold very many.
    pub(crate) fn archive_bytes(self) -> u64 {
        self.bytes.unwrap_or(32 << 30)
    }

    /// Entries that an archive may have.
    pub(crate) fn archive_files(self) -> u64 {
        self.files.unwrap_or(1_000_000)
    }

    /// Bytes that its directories and links may take in memory, where they are held until all are known: 256 for each entry
    /// that it may have, but no less than 64 MiB.
    fn archive_held(self) -> usize {
        usize::try_from(self.archive_files().saturating_mul(256)).unwrap_or(usize::MAX).max(64 << 20)
    }

    /// Refuses more entries than an archive may have.
    fn refuse_entries(self, entries: u64) -> anyhow::Result<()> {
        let most = self.archive_files();
        if entries > most {
            anyhow::bail!(
                refuse("archive.limit", format!("the archive is refused: it has more than {most} entries"))
                    .hint("if that is meant, allow more with --max-files")
            );
        }
        Ok(())
    }
}

/// The formats, as far as they are read in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A tar archive, compressed or not; the content tells how.
    Tar,
    /// A zip archive.
    Zip,
}

impl Format {
    /// What the name says; any other name is a single file, an app.jar for example.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let tar = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz"];
        match () {
            () if tar.iter().any(|end| name.ends_with(end)) => Some(Self::Tar),
            () if name.ends_with(".zip") => Some(Self::Zip),
            () => None,
        }
    }
}

/// The refusal of a whole archive, 77.
pub(crate) fn refuse(code: &'static str, message: impl Into<String>) -> Failure {
    Failure::new(Exit::Unsafe, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_whether_a_file_is_unpacked() {
        for (name, format) in [
            ("dist.tar", Some(Format::Tar)),
            ("dist-1.2.TAR.GZ", Some(Format::Tar)),
            ("dist.tgz", Some(Format::Tar)),
            ("a/dist.tar.zst", Some(Format::Tar)),
            ("dist.tar.xz", Some(Format::Tar)),
            ("dist.zip", Some(Format::Zip)),
            ("app.jar", None),
            ("data.gz", None),
            ("tar", None),
        ] {
            assert_eq!(Format::of_name(Path::new(name)), format, "{name}");
        }
    }
}
