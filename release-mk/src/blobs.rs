//! Digests of git blobs that were unpacked before: `--link-unchanged` then links what it knows by its object id, and
//! git need not decode it.
//!
//! An object id stands for one content for ever, so nothing here goes out of date. That the previous release still has
//! this content under this path is another question, which its listing answers.

use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use dir::Dir;
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use crate::content::Sha;

const MAGIC: &[u8; 16] = b"cutover.blobs/1\n";
const RECORD: usize = 72;
/// Further blobs are decoded each time: some 16 MiB of memory.
const MOST: usize = 150_000;

/// An object id; one of 20 bytes has zeros behind it.
pub(crate) type Blob = [u8; 32];

/// The blobs of one mirror.
#[derive(Default)]
pub(crate) struct Blobs {
    known: HashMap<Blob, (Sha, u64)>,
    met: Mutex<Vec<(Blob, Sha, u64)>>,
}

impl Blobs {
    /// Reads what is remembered under `name`; nothing readable is nothing known.
    pub(crate) fn read(state: &Dir, name: &str) -> Self {
        let known = state
            .open_dir("cache")
            .ok()
            .and_then(|cache| cache.open_file(name, OFlag::O_RDONLY, 0).ok())
            .and_then(|file| parse(BufReader::with_capacity(256 * 1024, file)).ok())
            .unwrap_or_default();
        Self { known, met: Mutex::default() }
    }

    /// Digest and size of a blob.
    pub(crate) fn get(&self, blob: &Blob) -> Option<(Sha, u64)> {
        self.known.get(blob).copied()
    }

    /// Remembers a blob that the tree has.
    pub(crate) fn put(&self, blob: Blob, sha256: Sha, size: u64) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() < MOST {
            met.push((blob, sha256, size));
        }
    }

    /// Writes what was met in place of what was known, if there is anything new.
    pub(crate) fn write(self, state: &Dir, name: &str) -> Result<()> {
        let met = self.met.into_inner().unwrap_or_else(PoisonError::into_inner);
        if met.iter().all(|(blob, ..)| self.known.contains_key(blob)) {
            return Ok(());
        }
        let (cache, _) = state.ensure_dir("cache", 0o700)?;
        let temporary = format!(".{name}.{}", dir::random_suffix());
        let file = cache.open_file(&temporary, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?;
        let mut writer = BufWriter::with_capacity(256 * 1024, file);
        let mut sum = Sha256::new();
        let mut put = |bytes: &[u8]| {
            sum.update(bytes);
            writer.write_all(bytes)
        };
        let written = put(MAGIC)
            .and_then(|()| {
                met.iter().try_for_each(|(blob, sha256, size)| {
                    put(blob)?;
                    put(sha256)?;
                    put(&size.to_le_bytes())
                })
            })
            .and_then(|()| writer.write_all(&sum.finalize()))
            .and_then(|()| writer.flush());
        // Not synced: the digest at its end tells a torn one, and a lost one is only slow.
        let renamed = written.context("write the cache").and_then(|()| Ok(cache.rename(&temporary, &cache, name)?));
        if renamed.is_err() {
            let _ = cache.remove_file(&temporary);
        }
        renamed
    }
}

fn parse(mut from: impl Read) -> Result<HashMap<Blob, (Sha, u64)>> {
    let mut bytes = Vec::new();
    from.by_ref().take((MAGIC.len() + MOST * RECORD + 32) as u64).read_to_end(&mut bytes)?;
    let (content, sum) = bytes.split_last_chunk::<32>().context("torn")?;
    ensure!(Sha256::digest(content)[..] == sum[..], "torn");
    let records = content.strip_prefix(MAGIC).context("another format")?;
    ensure!(records.len() % RECORD == 0, "torn");
    let mut known = HashMap::with_capacity(records.len() / RECORD);
    for record in records.chunks_exact(RECORD) {
        let (mut blob, mut sha256, mut size) = ([0; 32], [0; 32], [0; 8]);
        blob.copy_from_slice(&record[..32]);
        sha256.copy_from_slice(&record[32..64]);
        size.copy_from_slice(&record[64..]);
        known.insert(blob, (sha256, u64::from_le_bytes(size)));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_known_again_unless_a_byte_of_the_cache_is_another() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::open(temporary.path()).unwrap();
        let blobs = Blobs::read(&dir, "git");
        assert_eq!(blobs.get(&[1; 32]), None);
        blobs.put([1; 32], [7; 32], 5);
        blobs.put([2; 32], [8; 32], 1 << 40);
        blobs.write(&dir, "git").unwrap();
        let blobs = Blobs::read(&dir, "git");
        assert_eq!((blobs.get(&[1; 32]), blobs.get(&[3; 32])), (Some(([7; 32], 5)), None));
        assert_eq!(blobs.get(&[2; 32]), Some(([8; 32], 1 << 40)));

        let path = temporary.path().join("cache/git");
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 20, 60, whole.len() - 1] {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            assert!(parse(&torn[..]).is_err(), "byte {at}");
        }
        for cut in [0, 16, 48, whole.len() - 72] {
            assert!(parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
