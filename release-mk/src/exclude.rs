//! Which paths of a source stay behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use record::{Exit, Failure};

/// The patterns of `--exclude`, ready to ask.
#[derive(Debug, Clone)]
pub(crate) struct Exclude {
    set: GlobSet,
    replaced: Vec<PathBuf>,
}

impl Exclude {
    /// Reads the patterns: one with a slash is anchored at the top of the source, one without matches a name at any depth;
    /// `*` and `?` stop at slashes, `**` does not. What matches stays behind with everything beneath. So do the
    /// paths in `replaced`, which the build itself puts something under.
    pub(crate) fn new(patterns: &[String], replaced: Vec<PathBuf>) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(glob(pattern, "--exclude")?);
        }
        let set = set.build().context("read --exclude")?;
        Ok(Self { set, replaced })
    }

    /// Whether nothing stays behind, so that no path need be put together to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.replaced.is_empty()
    }

    /// Whether `path`, relative to the source, stays behind. Directories above it are asked before.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        (!self.set.is_empty() && self.set.is_match(path)) || self.replaced.iter().any(|replaced| replaced == path)
    }
}

/// One pattern for paths relative to the top of a tree.
pub(crate) fn glob(pattern: &str, option: &str) -> Result<globset::Glob> {
    let trimmed = pattern.trim_end_matches('/');
    let anchored = match trimmed.strip_prefix('/').or_else(|| trimmed.strip_prefix("./")) {
        Some(rest) => rest.to_owned(),
        None if trimmed.contains('/') => trimmed.to_owned(),
        None => format!("**/{trimmed}"),
    };
    let wrong =
        || Failure::new(Exit::Usage, "mk.pattern", format!("{option} '{}' is no pattern", pattern.escape_debug()));
    if trimmed.is_empty() || anchored.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(wrong().hint("it is relative to the top of the tree, without '.' and '..'").into());
    }
    GlobBuilder::new(&anchored).literal_separator(true).build().with_context(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_a_slash_is_anchored_and_one_without_matches_anywhere() {
        for (pattern, path, excluded) in [
            (".git", ".git", true),
            (".git", "vendor/x/.git", true),
            (".git", ".gitignore", false),
            ("*.pyc", "a/b/c.pyc", true),
            ("/build", "build", true),
            ("/build", "a/build", false),
            ("./build", "build", true),
            ("./build", "a/build", false),
            ("build/", "a/build", true),
            ("a/*.log", "a/x.log", true),
            ("a/*.log", "a/b/x.log", false),
            ("a/**/x.log", "a/b/c/x.log", true),
            ("nothing", "taken", true),
            ("nothing", "a/taken", false),
        ] {
            let exclude = Exclude::new(&[pattern.to_owned()], vec!["taken".into()]).unwrap();
            assert_eq!(exclude.matches(Path::new(path)), excluded, "{pattern} on {path}");
        }
        for wrong in ["", "/", "a[", "{a", "../a", "a/../b", "a/./b", "."] {
            assert!(Exclude::new(&[wrong.to_owned()], Vec::new()).is_err(), "{wrong} was taken");
        }
    }
}
