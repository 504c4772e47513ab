//! `--expect-release`: who answers here, and from which release does it run?
//!
//! After a restart an old process may still hold the port and answer well: a status proves nothing about the new
//! release. The processes that hold the listening socket do, as far as /proc shows them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use process::listener::{self, Listening, Owners};
use process::{By, Tree, Use};

use crate::verdict::Answer;

/// The release that must answer, and the others beside it that must not.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    release: Rc<PathBuf>,
}

impl Owner {
    /// The release at `path`. Nothing is looked at yet: it may be switched to while we wait.
    pub(crate) fn new(path: PathBuf) -> Self {
        Owner { release: Rc::new(path) }
    }

    /// Judges who listens on `address`.
    pub(crate) fn of_tcp(&self, address: SocketAddr) -> Result<(), Answer> {
        self.of(&Listening::Tcp(address))
    }

    /// Judges who listens on the socket at `path`.
    pub(crate) fn of_unix(&self, path: &Path) -> Result<(), Answer> {
        self.of(&Listening::Unix(path.to_owned()))
    }

    fn of(&self, listening: &Listening) -> Result<(), Answer> {
        let cannot = |error: anyhow::Error| Answer::CannotTell(format!("who answers is not known: {error:#}"));
        let owners = listener::owners(listening).map_err(cannot)?;
        if !owners.listening {
            return Err(Answer::CannotTell("who answers is not known: nobody on this host listens there".into()));
        }
        self.judge(&owners, &owners.pids)
    }

    /// Judges a process that is known by its number.
    pub(crate) fn of_pid(&self, pid: u32) -> Result<(), Answer> {
        self.judge(&Owners { listening: true, pids: vec![pid], unseen_processes: 0 }, &[pid])
    }

    fn judge(&self, owners: &Owners, pids: &[u32]) -> Result<(), Answer> {
        let cannot = |error: anyhow::Error| Answer::CannotTell(format!("who answers is not known: {error:#}"));
        let (trees, wanted) = self.trees().map_err(cannot)?;
        let mut seen = Vec::new();
        let mut refused = owners.pids.is_empty().then(|| "its process may not be looked at".to_owned());
        for &pid in pids {
            match process::uses_of(pid, &trees) {
                Ok(uses) => seen.push((pid, uses)),
                Err(error) => refused = Some(format!("{error:#}")),
            }
        }
        concluded(&wanted, &seen, refused)
    }

    /// The releases beside the wanted one, and that one's label among them.
    fn trees(&self) -> anyhow::Result<(Vec<Tree>, String)> {
        let mut release = Tree::at("release", &self.release)?;
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = name(&release.path);
        let beside = release.path.parent().map(std::fs::read_dir).transpose()?;
        // What disappears meanwhile, or is no directory, nobody runs from in this moment.
        let others = beside.into_iter().flatten().flatten().map(|entry| entry.path());
        let others = others.filter(|path| *path != release.path && !path.is_symlink());
        let mut trees: Vec<Tree> = others.filter_map(|path| Tree::at(name(&path), &path).ok()).collect();
        release.label.clone_from(&wanted);
        trees.push(release);
        Ok((trees, wanted))
    }
}

/// What the holders of the socket say together: one of another release spoils it, because nobody knows which of them
/// answers next; one that runs from none, as a manager that passes sockets on does, says nothing.
fn concluded(wanted: &str, seen: &[(u32, Vec<Use>)], refused: Option<String>) -> Result<(), Answer> {
    let mut found = false;
    for (pid, uses) in seen {
        match runs_from(uses) {
            Some(release) if release == wanted => found = true,
            Some(release) => {
                let command = uses.first().map_or("", |held| held.command.as_str());
                return Err(Answer::Fail(format!(
                    "process {pid} ({command}) answers, and runs from release {release}, not from {wanted}"
                )));
            }
            None => {}
        }
    }
    match (found, refused, seen.first()) {
        (true, ..) => Ok(()),
        (false, Some(reason), _) => Err(Answer::CannotTell(format!("who answers is not known: {reason}"))),
        (false, None, Some((pid, _))) => {
            Err(Answer::Fail(format!("process {pid} answers, and runs from no release, not from {wanted}")))
        }
        (false, None, None) => Err(Answer::CannotTell("who answers is not known: it has ended".into())),
    }
}

/// The release a process runs from: by what it executes, else by where it stands, else by what it holds open or has
/// mapped. A server that keeps an old log open while it executes the new program runs from the new one.
fn runs_from(uses: &[Use]) -> Option<&str> {
    let by = |wanted: &[By]| uses.iter().find(|held| wanted.contains(&held.by)).map(|held| held.tree.as_str());
    by(&[By::Exe]).or_else(|| by(&[By::Cwd])).or_else(|| by(&[By::Map, By::File, By::Root]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(pid: u32, tree: &str, by: By) -> Use {
        Use { pid, command: "shop".into(), tree: tree.into(), by, path: "/x".into() }
    }

    #[test]
    fn who_answers_is_concluded_from_all_holders_of_the_socket() {
        let of = |pid: u32, uses: &[(&str, By)]| (pid, uses.iter().map(|(tree, by)| held(pid, tree, *by)).collect());
        let new = of(8, &[("v2", By::Exe)]);
        let old = of(7, &[("v1", By::Cwd)]);
        let manager = of(1, &[]);
        let mixed = of(9, &[("v1", By::File), ("v2", By::Exe)]);
        let refused = || Some("look at process 7: not allowed".to_owned());
        for (name, seen, refused, expected) in [
            ("the new release", vec![new.clone()], None, "pass"),
            ("a manager passed the socket on", vec![manager.clone(), new.clone()], None, "pass"),
            ("some child may not be looked at", vec![new.clone()], refused(), "pass"),
            (
                "the old one alone",
                vec![old.clone()],
                None,
                "process 7 (shop) answers, and runs from release v1, not from v2",
            ),
            (
                "old and new",
                vec![new.clone(), old.clone()],
                None,
                "process 7 (shop) answers, and runs from release v1, not from v2",
            ),
            ("what is executed counts most", vec![mixed], None, "pass"),
            ("something else", vec![manager], None, "process 1 answers, and runs from no release, not from v2"),
            ("nothing can be seen", vec![], refused(), "who answers is not known: look at process 7: not allowed"),
            ("it ended", vec![], None, "who answers is not known: it has ended"),
        ] {
            let concluded = match concluded("v2", &seen, refused) {
                Ok(()) => "pass".to_owned(),
                Err(Answer::Fail(reason) | Answer::CannotTell(reason)) => reason,
                Err(other) => panic!("{name}: {other:?}"),
            };
            assert_eq!(concluded, expected, "{name}");
        }
    }
}
