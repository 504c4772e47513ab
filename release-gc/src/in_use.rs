//! What processes use, asked with all the rights this process has.
//!
//! Under the lock uid 0 acts as the root's owner, who may look at few processes. The question is
//! therefore asked by a thread of its own that takes uid 0 back: credentials are each thread's own to the
//! kernel, and the other threads keep acting as the owner.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use process::{Tree, Use};
use rustix::process::{Uid, getuid};
use store::Root;

use crate::retention::InUse;

/// Users of one tree that are named; the others are counted.
const NAMED: usize = 3;

/// Directories by the parent they lie in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    places: Vec<(PathBuf, Vec<String>)>,
}

impl Places {
    /// Releases and builds.
    pub(crate) fn of<S: ToString>(root: &Root, releases: impl IntoIterator<Item = S>, builds: &[String]) -> Self {
        let releases = releases.into_iter().map(|id| id.to_string()).collect();
        let staging = root.state().path().join("staging");
        Self { places: vec![(root.releases().path().to_path_buf(), releases), (staging, builds.to_vec())] }
    }

    /// What lies in the trash.
    pub(crate) fn trash(root: &Root, names: &[String]) -> Self {
        Self { places: vec![(root.state().path().join("trash"), names.to_vec())] }
    }
}

/// Looks at every process.
pub(crate) fn scan(places: &Places) -> Result<InUse> {
    let scan = with_all_rights(|| {
        let trees = trees(places)?;
        process::scan(&trees)
    })?;
    let mut of_tree: BTreeMap<String, Vec<Use>> = BTreeMap::new();
    for found in scan.uses {
        of_tree.entry(found.tree.clone()).or_default().push(found);
    }
    let users = of_tree.into_iter().map(|(tree, uses)| (tree, told(&uses))).collect();
    Ok(InUse { users, unseen_processes: scan.unseen_processes })
}

fn trees(places: &Places) -> Result<Vec<Tree>> {
    let mut trees = Vec::new();
    for (parent, names) in places.places.iter().filter(|(_, names)| !names.is_empty()) {
        let above = Tree::at("", Path::new(parent))?;
        for name in names {
            trees.extend(above.within(name.as_str(), name)?);
        }
    }
    Ok(trees)
}

/// `cwd of python3 (pid 812), exe of …`, in the order of pids.
fn told(uses: &[Use]) -> String {
    let mut by_process: BTreeMap<u32, (String, Vec<&str>)> = BTreeMap::new();
    for found in uses {
        let (_, ways) = by_process.entry(found.pid).or_insert_with(|| (found.command.clone(), Vec::new()));
        ways.push(found.by.as_str());
    }
    let count = by_process.len();
    let named = by_process.into_iter().take(NAMED);
    let mut words: Vec<String> =
        named.map(|(pid, (command, ways))| format!("{command} (pid {pid}: {})", ways.join(", "))).collect();
    if count > NAMED {
        words.push(format!("{} more", count - NAMED));
    }
    words.join(", ")
}

fn with_all_rights<T: Send>(ask: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !getuid().is_root() {
        return ask();
    }
    let asked = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            // Allowed as long as the real or saved id is 0. Were it refused, more processes count as unseen.
            let _ = rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT);
            ask()
        });
        thread.ok()?.join().ok()
    });
    asked.context("look at processes")?
}

#[cfg(test)]
mod tests {
    use super::*;
    use process::By;

    #[test]
    fn few_users_are_named_and_many_are_counted() {
        let user = |pid, by| Use { pid, command: "puma".into(), tree: "1".into(), by, path: "/x".into() };
        assert_eq!(told(&[user(7, By::Exe), user(7, By::Cwd)]), "puma (pid 7: exe, cwd)");
        let many: Vec<Use> = (1..=10).map(|pid| user(pid, By::Cwd)).collect();
        assert!(told(&many).ends_with("puma (pid 3: cwd), 7 more"));
    }
}
