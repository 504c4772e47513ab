//! A root in a temporary directory.

use std::time::{Duration, SystemTime};

use dir::{Name, Wait};
use record::Failure;
use store::history::{self, Change, Kind};
use store::link::{self, Target};
use store::listing::{self, What};
use store::staging::{self};
use store::{Manifest, ReleaseId, Root, trash};

/// Long enough for the instant in which a child of another test, forked and not yet executed, holds our lock too.
pub(crate) const SOON: Wait = Wait(Duration::from_secs(10));

pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) root: Root,
}

pub(crate) fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::create(&dir.path().join("shop"), false).unwrap().0;
    Scene { dir, root }
}

pub(crate) fn id(name: &str) -> ReleaseId {
    ReleaseId::new(name).unwrap()
}

pub(crate) fn current() -> Name {
    Name::new("current").unwrap()
}

pub(crate) fn code(error: &anyhow::Error) -> (u8, &'static str) {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .or_else(|| error.downcast_ref::<Failure>())
        .map_or((1, ""), |failure| (failure.exit().code(), failure.code()))
}

impl Scene {
    pub(crate) fn path(&self, below: &str) -> std::path::PathBuf {
        self.dir.path().join("shop").join(below)
    }

    pub(crate) fn manifest(build: &staging::Staging, digest: String) -> Manifest {
        Manifest {
            id: build.id.clone(),
            seq: build.seq,
            digest,
            files: 1,
            bytes: 5,
            created_at: "2026-11-21T07:10:00Z".into(),
            source: None,
            source_digest: None,
            shared: Vec::new(),
            pipe: Some("p".into()),
            by: None,
            host: None,
            tool_version: None,
        }
    }

    pub(crate) fn build(&self, name: &str) -> (staging::Staging, Manifest) {
        let lock = self.root.lock(SOON, "test").unwrap();
        let seq = store::next_seq(&lock).unwrap();
        let build = staging::begin(&lock, id(name), seq, "p", "test").unwrap();
        build.tree.create_file("app", b"hello", 0o644).unwrap();
        let mut listing = listing::Writer::new(Vec::new());
        let what = What::File { mode: 0o644, size: 5, sha256: sha(b"hello") };
        listing.entry(&listing::Entry { path: b"app".to_vec(), what }).unwrap();
        let (bytes, sum) = listing.finish().unwrap();
        build.dir.create_file("listing", &bytes, 0o600).unwrap();
        let manifest = Self::manifest(&build, sum.digest);
        (build, manifest)
    }

    pub(crate) fn release(&self, name: &str) -> Manifest {
        let (build, manifest) = self.build(name);
        let lock = self.root.lock(SOON, "test").unwrap();
        let left = build.publish(&lock, &manifest, "listing").unwrap();
        drop(lock);
        trash::delete_small(&self.root, &left).unwrap();
        manifest
    }

    pub(crate) fn change(to: &Manifest) -> Change {
        Change {
            pipe: "p".into(),
            link: current(),
            from: None,
            to: to.id.clone(),
            to_seq: Some(to.seq),
            digest: Some(to.digest.clone()),
            target: format!("releases/{}", to.id),
            reason: None,
            stages: Vec::new(),
            at: SystemTime::now(),
        }
    }

    pub(crate) fn switch(&self, to: &Manifest) {
        let lock = self.root.lock(SOON, "test").unwrap();
        let intent = history::intent(&lock, Self::change(to)).unwrap();
        link::replace(&lock, &current(), &Target::release(to.id.clone())).unwrap();
        history::done(&lock, intent, SystemTime::now()).unwrap();
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let _ = self.root.lock(SOON, "test").unwrap();
        store::History::read(&self.root).unwrap().entries().iter().map(|entry| entry.kind).collect()
    }
}

pub(crate) fn sha(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}
