//! The one file in a release that `--link-path` means. Writes nothing.

use std::path::PathBuf;

use anyhow::bail;
use dir::{Dir, Kind};
use record::{Exit, Failure};
use store::{ReleaseId, Root};

use crate::pattern::Pattern;

/// How many matches an error names.
const NAMED: usize = 3;

/// Finds the regular file in the release that matches; none, or more than one, is an error. No symlink is followed.
pub(crate) fn find(root: &Root, id: &ReleaseId, pattern: &Pattern) -> anyhow::Result<PathBuf> {
    let mut matching = vec![(root.releases().open_dir(id)?, PathBuf::new())];
    let (file, directories) = match pattern.components() {
        [directories @ .., file] => (file, directories),
        [] => bail!("the glob is empty"),
    };
    for component in directories {
        let mut below = Vec::new();
        for (dir, path) in &matching {
            for name in matches(dir, component, Kind::Directory)? {
                below.push((dir.open_dir(&name)?, path.join(&name)));
            }
        }
        matching = below;
    }
    let mut files = Vec::new();
    for (dir, path) in &matching {
        files.extend(matches(dir, file, Kind::File)?.into_iter().map(|name| path.join(name)));
    }
    match files.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!(
            Failure::new(Exit::Failed, "switch.no_match", format!("no file in {id} matches {pattern}"))
                .hint(format!("ls {}", root.release_path(id).display()))
        ),
        several => {
            let shown: Vec<String> = several.iter().take(NAMED).map(|path| path.display().to_string()).collect();
            let more = if several.len() > NAMED { ", …" } else { "" };
            let message = format!("{} files in {id} match {pattern}: {}{more}", several.len(), shown.join(", "));
            bail!(
                Failure::new(Exit::Failed, "switch.many_match", message)
                    .hint("give a glob that only one of them matches")
            )
        }
    }
}

fn matches(dir: &Dir, glob: &globset::GlobMatcher, kind: Kind) -> anyhow::Result<Vec<std::ffi::OsString>> {
    let mut found = Vec::new();
    for name in dir.names()? {
        if glob.is_match(&name) && name.to_str().is_some() && dir.stat(&name)?.kind() == kind {
            found.push(name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test makes its own tree")]
    fn exactly_one_regular_file_must_match() {
        let temp = tempfile::tempdir().expect("a directory");
        let (root, _) = store::Root::create(temp.path(), true).expect("a root");
        let tree = temp.path().join("releases/r1/target");
        std::fs::create_dir_all(&tree).expect("a tree");
        for name in ["app-1.jar", "lib-1.jar", "app-1.pom"] {
            std::fs::write(tree.join(name), name).expect("a file");
        }
        symlink("/etc/passwd", tree.join("passwd.jar")).expect("a link");
        let id: ReleaseId = "r1".parse().expect("legal");
        let of = |glob: &str| find(&root, &id, &glob.parse().expect("legal")).map_err(|e| e.to_string());
        assert_eq!(of("target/app-*.jar"), Ok(PathBuf::from("target/app-1.jar")));
        assert_eq!(of("*/{app,web}-?.jar"), Ok(PathBuf::from("target/app-1.jar")));
        assert!(of("*.jar").is_err(), "a glob stays on its level");
        assert!(of("target").is_err(), "a directory is no file");
        assert!(of("target/passwd.jar").is_err(), "a symlink is no file");
        assert!(of("target/*.jar").expect_err("two match").contains("app-1.jar, target/lib-1.jar"));
    }
}
