//! `source_digest`: everything that decides what a release contains, known before it is built.

use std::ffi::OsString;
use std::io::sink;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::listing::{Writer, hex};

use crate::content::Sha;
use crate::entries::Entries;
use crate::request::Request;

/// What identifies the content of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// The digest over the listing of a directory.
    Listing(String),
    /// The digest of an archive, whatever its name.
    Archive(Sha),
    /// The digest of a single file, and its name, which it keeps.
    File(Sha, OsString),
    /// The full id of a commit.
    Revision(String),
}

impl Content {
    /// Of a directory whose entries have been collected.
    pub(crate) fn of_entries(entries: &Entries) -> Result<Self> {
        let mut writer = Writer::new(sink());
        entries.for_each(|path, what| Ok(writer.put(path, what)?))?;
        Ok(Self::Listing(writer.finish()?.1.digest))
    }
}

/// The digest of the content and of the options that change what is made of it: exclude, steps, artifact and share. Where
/// the stamp goes counts too, its text does not.
pub(crate) fn source_digest(content: &Content, request: &Request) -> String {
    let mut sha = Sha256::new();
    // Each part with its length, so that no two requests look alike.
    let mut part = |kind: &str, text: &[u8]| {
        sha.update(kind.as_bytes());
        sha.update((text.len() as u64).to_le_bytes());
        sha.update(text);
    };
    match content {
        Content::Listing(digest) => part("listing", digest.as_bytes()),
        Content::Archive(sha256) => part("archive", sha256),
        Content::File(sha256, name) => {
            part("file", sha256);
            part("name", name.as_encoded_bytes());
        }
        Content::Revision(revision) => part("revision", revision.as_bytes()),
    }
    if request.submodules {
        part("submodules", b"");
    }
    for pattern in &request.exclude {
        part("exclude", pattern.as_bytes());
    }
    for step in &request.steps {
        part("step", step.name.as_bytes());
        part("command", step.command.as_bytes());
    }
    for pattern in &request.artifact {
        part("artifact", pattern.as_bytes());
    }
    for share in &request.share {
        part(if share.directory { "share directory" } else { "share file" }, share.path.as_os_str().as_encoded_bytes());
    }
    if let Some(stamp) = &request.stamp {
        part("stamp", stamp.as_os_str().as_encoded_bytes());
    }
    format!("sha256:{}", hex(&sha.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Share, Step};

    #[test]
    fn every_option_that_changes_the_release_changes_the_digest() {
        let request = crate::request::tests::request;
        let step = |command: &str| Step { name: "build".into(), command: command.into() };
        let share = |directory| Share { path: "log".into(), directory };
        let requests = [
            request(),
            Request { submodules: true, ..request() },
            Request { exclude: vec!["a".into()], ..request() },
            Request { exclude: vec!["a".into(), "b".into()], ..request() },
            Request { exclude: vec!["ab".into()], ..request() },
            Request { artifact: vec!["a".into()], ..request() },
            Request { steps: vec![step("make")], ..request() },
            Request { steps: vec![step("make all")], ..request() },
            Request { share: vec![share(true)], ..request() },
            Request { share: vec![share(false)], ..request() },
            Request { stamp: Some("log".into()), ..request() },
        ];
        let contents = [
            Content::Archive([1; 32]),
            Content::Archive([2; 32]),
            Content::File([1; 32], "a".into()),
            Content::File([1; 32], "b".into()),
            Content::Revision("a".into()),
        ];
        let mut digests: Vec<String> = contents
            .iter()
            .flat_map(|content| requests.iter().map(|request| source_digest(content, request)))
            .collect();
        let all = digests.len();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), all);
        let same = source_digest(&contents[0], &Request { min_free: 7, ..request() });
        assert_eq!(same, source_digest(&contents[0], &request()));
    }
}
