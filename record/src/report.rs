//! `--report FILE`: this stage's entry, whole. The one file outside the root that a tool writes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::{Exit, Failure, RootDir, Stage};

/// Refuses a file among those that only the tools themselves write; says whether it lies beneath the root at all.
pub(crate) fn refuse_own(path: &Path, root: &RootDir) -> anyhow::Result<bool> {
    let real_root = std::fs::canonicalize(root.path()).with_context(|| format!("resolve {}", root.path().display()))?;
    let Some(real) = std::fs::canonicalize(path).ok().or_else(|| resolve_parent(path)) else { return Ok(false) };
    if [".cutover", "releases"].iter().any(|own| real.starts_with(real_root.join(own))) {
        bail!(
            Failure::new(
                Exit::Usage,
                "usage",
                format!("--report {} is a place that only the tools write", path.display())
            )
            .hint("name a file outside the root")
        );
    }
    Ok(real.starts_with(real_root))
}

/// Writes the entry on one line. A regular file is replaced whole; through a link, into a device or a FIFO it is written,
/// for these are never ours to replace.
pub(crate) fn write(path: &Path, stage: &Stage, root: Option<&RootDir>) -> anyhow::Result<()> {
    let what = || format!("write the report {}", path.display());
    let beneath = root.map(|root| refuse_own(path, root)).transpose()? == Some(true);
    // Whatever is made beneath a root is its owner's.
    let _acting = root.filter(|_| beneath).map(RootDir::act_as_owner).transpose()?;
    let mut bytes = serde_json::to_vec(stage)?;
    bytes.push(b'\n');
    let standing = std::fs::symlink_metadata(path);
    if standing.is_ok_and(|standing| !standing.is_file()) {
        // A FIFO without a reader is an error, not a wait.
        let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mut file = open(path, flags, Mode::empty()).map(File::from).with_context(what)?;
        return file.write_all(&bytes).with_context(what);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().with_context(what)?;
    dir::Dir::open(parent).and_then(|dir| dir.replace_file(name, &bytes, 0o644)).with_context(what)
}

fn resolve_parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(std::fs::canonicalize(parent).ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, symlink};

    #[test]
    fn a_link_is_written_through_and_a_device_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, fifo) = (dir.path().join("file"), dir.path().join("link"), dir.path().join("fifo"));
        write(&file, &Stage::default(), None).unwrap();
        symlink("file", &link).unwrap();
        let longer = Stage { tool: "release-mk".into(), ..Stage::default() };
        write(&link, &longer, None).unwrap();
        assert!(link.is_symlink());
        assert!(std::fs::read_to_string(&file).unwrap().contains("release-mk"));
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        assert!(write(&fifo, &longer, None).is_err());
        assert!(std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
        write(Path::new("/dev/null"), &longer, None).unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }

    #[test]
    fn the_tools_own_files_are_no_place_for_a_report() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".cutover")).unwrap();
        std::fs::create_dir_all(dir.path().join("releases/v1")).unwrap();
        symlink("releases/v1", dir.path().join("current")).unwrap();
        let root = RootDir::open_to_read(dir.path()).unwrap();
        for own in [".cutover/history.jsonl", "releases/x", "current/x", "releases/../.cutover/run.json"] {
            assert!(refuse_own(&dir.path().join(own), &root).is_err(), "{own}");
        }
        for free in ["report.json", "../report.json"] {
            assert!(refuse_own(&dir.path().join(free), &root).is_ok(), "{free}");
        }
    }
}
