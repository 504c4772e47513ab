//! A shop: one application to deploy, with its sources, its root and a canary beside it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::listing::Listing;
use crate::{Pipe, Services, binaries};

/// A directory of its own for one story: `root` is deployed to, `v1`, `v2`, … are sources, `canary` must never change.
#[derive(Debug)]
pub struct Shop {
    // Before the directory: the services end when their lock is dropped.
    services: Services,
    dir: TempDir,
}

impl Shop {
    /// A shop without a root; release-mk makes it.
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// A shop in memory, where the machine has such a place: for stories of thousands of durable steps.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory) } else { Self::new() }
    }

    fn within(place: &Path) -> Self {
        let builder = &mut tempfile::Builder::new();
        let dir = builder.prefix("cutover-story-").tempdir_in(place).expect("make a directory for the story");
        // Another user's story must be able to pass through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
        let canary = dir.path().join("canary");
        fs::create_dir_all(canary.join("kept")).expect("make the canary");
        fs::write(canary.join("kept/file"), "untouched").expect("write the canary");
        symlink("kept", canary.join("link")).expect("link in the canary");
        Self { services: Services::new(dir.path()), dir }
    }

    /// The story's directory, where its scripts run.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The root that is deployed to; `$ROOT` in scripts.
    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// The instances of the shop's service and their manager.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Makes a source `NAME/` whose service says `NAME` and serves well.
    pub fn source(&self, name: &str) -> PathBuf {
        self.source_that(name, "ok")
    }

    /// Makes a source whose service behaves as `mode` says: see `shop-service` for the modes.
    pub fn source_that(&self, name: &str, mode: &str) -> PathBuf {
        let source = self.path().join(name);
        fs::create_dir_all(source.join("assets/deep")).expect("make a source");
        fs::write(source.join("version"), name).expect("write a source");
        fs::write(source.join("mode"), mode).expect("write a source");
        fs::write(source.join("assets/deep/page"), format!("page of {name}\n").repeat(100)).expect("write a source");
        let _ = fs::remove_file(source.join("assets/index"));
        symlink("deep/page", source.join("assets/index")).expect("link in a source");
        source
    }

    /// A script in the story's directory, not started yet.
    pub fn pipe(&self, script: impl Into<String>) -> Pipe {
        Pipe::new(self, script.into())
    }

    /// Makes a release from a source and switches to it, without services. Returns its id.
    pub fn deploy(&self, name: &str) -> String {
        if !self.path().join(name).exists() {
            self.source(name);
        }
        let run = self.pipe(format!("release-mk --root $ROOT --from {name} | release-switch")).run();
        run.exits(0).record().id().to_owned()
    }

    /// Makes, switches to and calls good a release, without services. Returns its id.
    pub fn deploy_well(&self, name: &str) -> String {
        if !self.path().join(name).exists() {
            self.source(name);
        }
        let script = format!("release-mk --root $ROOT --from {name} | release-switch | release-switch --undo");
        self.pipe(script).run().exits(0).record().id().to_owned()
    }

    /// The id the link names.
    pub fn current(&self) -> Option<String> {
        self.named("current")
    }

    /// The id that the link of this name names.
    pub fn named(&self, link: &str) -> Option<String> {
        let target = fs::read_link(self.root().join(link)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// The names in `releases/`, sorted.
    pub fn releases(&self) -> Vec<String> {
        names(&self.root().join("releases"))
    }

    /// The lines of the history, each parsed.
    pub fn history(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.root().join(".cutover/history.jsonl")).unwrap_or_default();
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("history line {line:?}: {error}")))
            .collect()
    }

    /// The kinds of the history's lines that concern a release, such as `["intent", "done", "bad"]`.
    pub fn kinds_of(&self, id: &str) -> Vec<String> {
        let lines = self.history();
        let concerned = lines.iter().filter(|line| line["to"] == id);
        concerned.map(|line| line["kind"].as_str().unwrap_or("?").to_owned()).collect()
    }

    /// Installs a shell script as a program in the story's `bin/`.
    pub fn program(&self, name: &str, body: &str) {
        let path = self.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("write a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
    }

    /// The binaries again, where any user may reach them: a clone may lie in somebody's home.
    pub fn binaries_for_all(&self) -> PathBuf {
        let shelf = self.path().join("binaries");
        if !shelf.exists() {
            fs::create_dir(&shelf).expect("make a shelf");
            for binary in fs::read_dir(binaries::directory()).expect("list the binaries").flatten() {
                if ["release-", "svc-"].iter().any(|kind| binary.file_name().to_string_lossy().starts_with(kind)) {
                    let place = shelf.join(binary.file_name());
                    fs::hard_link(binary.path(), &place)
                        .or_else(|_| fs::copy(binary.path(), &place).map(drop))
                        .expect("place a binary");
                }
            }
        }
        shelf
    }

    /// Whether the history calls a release bad.
    pub fn is_bad(&self, id: &str) -> bool {
        self.kinds_of(id).iter().any(|kind| kind == "bad")
    }

    /// Writes a file in the story's directory: a story's way to let something go on.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("write a file of the story");
    }

    /// Everything under the root, for a comparison before and after.
    pub fn listing(&self) -> Listing {
        Listing::of(&self.root())
    }

    /// Everything in the story's directory outside the root: nothing there may ever change.
    pub fn surroundings(&self) -> Listing {
        Listing::of(self.path()).without("root").without("services")
    }

    /// What lies in staging/ and trash/; a rerun and a collection must leave nothing.
    pub fn debris(&self) -> Vec<String> {
        let state = self.root().join(".cutover");
        let within =
            |name: &'static str| names(&state.join(name)).into_iter().map(move |entry| format!("{name}/{entry}"));
        within("staging").chain(within("trash")).collect()
    }
}

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

/// The names in a directory, sorted; none when it is not there.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
