//! The per-file listing of a tree that is there already. Reads only, follows no link, and keeps few directories open
//! however deep the tree is.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, bail};
use dir::{Dir, Kind, Names};
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use store::listing::{Entry, Sum, What, Writer};

/// How many directories of the way down are kept open; the ones above are opened again when they are needed.
const OPEN: usize = 64;

/// One directory on the way down.
struct Level {
    dir: Option<Dir>,
    names: Names,
}

/// Writes the listing of `tree` to `out`. Entries that are neither file, directory nor link go to `others`; `step` is
/// told the bytes that were read and may end the walk.
pub(crate) fn list(
    tree: &Dir,
    out: impl Write,
    others: &mut Vec<String>,
    mut step: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Sum> {
    let mut writer = Writer::new(out);
    let mut path: Vec<OsString> = Vec::new();
    let mut levels = vec![Level { dir: None, names: tree.names()? }];
    let mut buffer = vec![0; 256 << 10];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.next() else {
            levels.pop();
            path.pop();
            continue;
        };
        if level.dir.is_none() && !path.is_empty() {
            level.dir = Some(reopen(tree, &path)?);
        }
        let dir = level.dir.as_ref().unwrap_or(tree);
        let stat = dir.stat(&name)?;
        let bytes = relative(&path, &name);
        let what = match stat.kind() {
            Kind::Directory => What::Directory { mode: stat.mode() },
            Kind::Symlink => What::Symlink { target: dir.read_link(&name)?.into_vec() },
            Kind::File => {
                let (size, sha256) = hash(dir, &name, &mut buffer, &mut step)?;
                What::File { mode: stat.mode(), size, sha256 }
            }
            Kind::Other => {
                others.push(String::from_utf8_lossy(&bytes).into_owned());
                continue;
            }
        };
        writer.entry(&Entry { path: bytes, what })?;
        if stat.kind() == Kind::Directory {
            let below = dir.open_dir(&name)?;
            let names = below.names()?;
            path.push(name);
            levels.push(Level { dir: Some(below), names });
            if let Some(far) = levels.len().checked_sub(OPEN + 1).filter(|far| *far > 0) {
                levels[far].dir = None;
            }
        }
    }
    Ok(writer.finish()?.1)
}

fn reopen(tree: &Dir, path: &[OsString]) -> anyhow::Result<Dir> {
    let (first, rest) = path.split_first().context("the top of the tree is always open")?;
    let mut dir = tree.open_dir(first)?;
    for name in rest {
        dir = dir.open_dir(name)?;
    }
    Ok(dir)
}

fn relative(path: &[OsString], name: &OsString) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.iter().chain([name]).map(|part| part.as_bytes()).collect();
    parts.join(&b'/')
}

fn hash(
    dir: &Dir,
    name: &OsString,
    buffer: &mut [u8],
    step: &mut impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<(u64, [u8; 32])> {
    let mut file = dir.open_file(name, OFlag::O_RDONLY, 0)?;
    let (mut size, mut sum) = (0, Sha256::new());
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((size, sum.finalize().into())),
            Ok(n) => {
                sum.update(&buffer[..n]);
                size += n as u64;
                step(n as u64)?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => bail!(anyhow::Error::new(e).context(format!("read {}", dir.path().join(name).display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test makes its own tree")]
    fn a_deep_tree_is_listed_in_order_with_few_descriptors() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut deep = temp.path().to_path_buf();
        for _ in 0..200 {
            deep.push("d");
            std::fs::create_dir(&deep).expect("a directory");
            // After the way down, so that each level has to be opened again.
            std::fs::write(deep.join("z"), "z").expect("a file");
        }
        symlink("/etc/passwd", temp.path().join("link")).expect("a link");
        let tree = Dir::open(temp.path()).expect("opened");
        let (mut text, mut others) = (Vec::new(), Vec::new());
        let sum = list(&tree, &mut text, &mut others, |_| Ok(())).expect("listed");
        assert_eq!((sum.files, sum.bytes), (401, 200));
        let mut reader = store::listing::Reader::new(text.as_slice()).expect("a listing");
        let mut entries = 0;
        while reader.entry().expect("reads").is_some() {
            entries += 1;
        }
        assert_eq!((entries, reader.digest()), (401, sum.digest));
        assert!(others.is_empty());
    }
}
