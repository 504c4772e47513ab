//! The promises, seen from outside: what anybody can tell of a root by looking at its files.
//!
//! Nothing here is shared with the tools: formats are read by the letter of docs/contract.md, so that a mistake in a
//! tool's own reader does not hide one in its writer. A checker is made before something happens to a root; afterwards
//! it tells which promises were broken.

mod history;
mod rules;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Shop;
use crate::listing::Listing;

/// A promise that does not hold, and how that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Such as `I1`.
    pub promise: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

fn violation(promise: &'static str, what: impl Into<String>) -> Violation {
    Violation { promise, what: what.into() }
}

/// A root as it was, and what lay beside it.
#[derive(Debug)]
pub struct Checker {
    root: PathBuf,
    links: BTreeMap<String, String>,
    history: Vec<u8>,
    parts: BTreeMap<String, Vec<String>>,
    everything: BTreeMap<PathBuf, String>,
    outside: Option<(PathBuf, Listing)>,
    strangers: BTreeSet<String>,
    secrets: Vec<String>,
}

impl Checker {
    /// Remembers a root as it is now.
    pub fn of(root: &Path) -> Self {
        let strangers =
            tree::names(&root.join("releases")).into_iter().filter(|name| !tree::manifest(root, name).is_file());
        Self {
            root: root.to_owned(),
            links: links(root),
            history: fs::read(root.join(".cutover/history.jsonl")).unwrap_or_default(),
            parts: tree::by_id(root),
            everything: tree::fingerprints(root),
            outside: None,
            strangers: strangers.collect(),
            secrets: Vec::new(),
        }
    }

    /// Remembers a shop's root and all that lies beside it, the sources and the canary.
    pub fn of_shop(shop: &Shop) -> Self {
        let outside = Some((shop.path().to_owned(), outside(shop.path())));
        Self { outside, ..Self::of(&shop.root()) }
    }

    /// A text that must not be in any file that the tools keep.
    pub fn secret(mut self, text: &str) -> Self {
        self.secrets.push(text.to_owned());
        self
    }

    /// Whether not one byte, name or mode under the root is another one; what locks say of their last holder aside.
    pub fn is_unchanged(&self) -> bool {
        self.everything == tree::fingerprints(&self.root)
    }

    /// What must hold at every instant, also when a tool was killed a moment ago: I1, I2, I6, I8, I12 and I14.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = self.releases_that_are_not_whole();
        found.extend(self.links_that_do_not_resolve());
        found.extend(history::violations(&self.root, &self.history, &links(&self.root)));
        if let Some((path, before)) = &self.outside
            && let Some(difference) = before.difference(&outside(path))
        {
            found.push(violation("I8", format!("outside the root: {difference}")));
        }
        found.extend(self.secrets_told());
        found
    }

    /// Panics, with the promises that do not hold, when there are any.
    #[track_caller]
    pub fn holds(&self, context: impl fmt::Display) {
        let found = self.violations();
        let list: Vec<_> = found.iter().map(Violation::to_string).collect();
        assert!(found.is_empty(), "{}\n{context}", list.join("\n"));
    }

    fn releases_that_are_not_whole(&self) -> Vec<Violation> {
        let names = tree::names(&self.root.join("releases")).into_iter().filter(|name| !self.strangers.contains(name));
        names
            .filter_map(|id| tree::is_whole(&self.root, &id).err().map(|why| violation("I1", format!("{id}: {why}"))))
            .collect()
    }

    fn links_that_do_not_resolve(&self) -> Vec<Violation> {
        let now = links(&self.root);
        let gone = self.links.keys().filter(|name| !now.contains_key(*name));
        let mut found: Vec<_> = gone.map(|name| violation("I2", format!("{name} is gone"))).collect();
        for (name, target) in &now {
            let id = target.trim_start_matches("releases/").split('/').next().unwrap_or_default();
            let whole = tree::is_whole(&self.root, id)
                .and_then(|()| fs::metadata(self.root.join(name)).map(drop).map_err(|error| error.to_string()));
            found.extend(whole.err().map(|why| violation("I2", format!("{name} -> {target}: {why}"))));
        }
        found
    }

    fn secrets_told(&self) -> Vec<Violation> {
        let state = self.root.join(".cutover");
        let mut found = Vec::new();
        for path in tree::files_under(&state) {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            let told = self.secrets.iter().filter(|secret| text.contains(secret.as_str()));
            found.extend(told.map(|_| violation("I14", format!("a secret is in {}", path.display()))));
        }
        found
    }

    /// I7: what a rerun and a collection must not leave: anything in staging or trash, files without a release, files
    /// whose names are not the contract's.
    pub fn debris(&self) -> Vec<Violation> {
        tree::debris(&self.root).into_iter().map(|path| violation("I7", format!("{path} is left"))).collect()
    }

    /// I9: changes to releases, their papers and `shared/` that are about none of the ids that may change.
    pub fn changed_besides(&self, may_change: impl Fn(&str) -> bool) -> Vec<Violation> {
        let now = tree::by_id(&self.root);
        let ids: BTreeSet<_> = self.parts.keys().chain(now.keys()).collect();
        let changed = ids.into_iter().filter(|id| self.parts.get(*id) != now.get(*id) && !may_change(id));
        changed.map(|id| violation("I9", format!("{id} changed"))).collect()
    }

    /// I5: releases that were to be kept when this checker was made and are not there any more, or not whole.
    pub fn removed_although_kept(&self, keep: usize) -> Vec<Violation> {
        let lost = self.kept(keep).into_iter().filter_map(|(id, why)| match tree::is_whole(&self.root, &id) {
            Ok(()) => None,
            Err(now) => Some(violation("I5", format!("{id} is {why}, but {now}"))),
        });
        lost.collect()
    }

    /// Releases that a collection keeps, each with a reason; not all of them, but each by a rule of the contract that
    /// can be told from outside.
    pub fn kept(&self, keep: usize) -> BTreeMap<String, String> {
        rules::kept(&self.parts, &history::lines(&self.history), &self.links, keep)
    }

    /// The ids of the releases that were there when this checker was made.
    pub fn releases(&self) -> Vec<String> {
        let ids = self.parts.iter().filter(|(_, parts)| parts.iter().any(|part| part.starts_with("releases/")));
        ids.map(|(id, _)| id.clone()).collect()
    }
}

/// The links directly in a root that lead into `releases/`.
fn links(root: &Path) -> BTreeMap<String, String> {
    let names = tree::names(root).into_iter().filter(|name| !name.starts_with('.'));
    let links = names.filter_map(|name| {
        let target = fs::read_link(root.join(&name)).ok()?.to_str()?.to_owned();
        Some((name, target))
    });
    links.filter(|(_, target)| target.starts_with("releases/")).collect()
}

/// What lies beside a root but for what a story itself writes there.
fn outside(path: &Path) -> Listing {
    ["root", "services", "calls", "template", "record"]
        .iter()
        .fold(Listing::of(path), |listing, own| listing.without(own))
}

/// The permission bits.
fn mode(meta: &fs::Metadata) -> u32 {
    meta.mode() & 0o7777
}
