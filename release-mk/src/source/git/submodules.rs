//! Submodules: which repositories a commit names within its tree, each fetched into a mirror of its own.
//!
//! What may be fetched is decided here, not by git: `.gitmodules` is written by whoever wrote the commit, so a
//! repository from elsewhere cannot name a path of this machine.

use std::path::Path;

use anyhow::{Result, bail};
use dir::Dir;
use record::{Exit, Failure, Pipe};

use super::mirror::{self, Commit};
use super::reference::{is_remote, without_secrets};

/// Submodules within submodules, and submodules in all.
const DEEPEST: usize = 16;
const MOST: usize = 1000;

/// A commit and the directory of the release that its tree fills.
#[derive(Debug)]
pub(super) struct Part {
    /// Relative to the release, with a slash at its end; empty for the repository itself.
    pub(super) prefix: Vec<u8>,
    /// What it has.
    pub(super) commit: Commit,
}

/// The submodules of a commit and theirs, each after the one that names it. Writes their mirrors below `state`.
pub(super) fn fetch(address: &str, commit: &Commit, state: &Dir, pipe: &Pipe) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut open = vec![(Vec::new(), address.to_owned(), commit.clone(), 0)];
    while let Some((prefix, address, commit, depth)) = open.pop() {
        for Named { path, url, revision } in named(&commit, &address, pipe)? {
            if depth == DEEPEST || parts.len() == MOST {
                bail!(refuse(&path, &format!("there are more than {MOST}, or more than {DEEPEST} within each other")));
            }
            let address = resolve(&address, &url).map_err(|why| refuse(&path, &why))?;
            let fetched = mirror::fetch(&address, &revision, state, pipe)?;
            let inside = [&prefix, path.as_bytes(), b"/"].concat();
            open.push((inside.clone(), address, fetched.clone(), depth + 1));
            parts.push(Part { prefix: inside, commit: fetched });
        }
    }
    Ok(parts)
}

/// One entry of `.gitmodules` that the tree has, too.
struct Named {
    path: String,
    url: String,
    revision: String,
}

fn named(commit: &Commit, address: &str, pipe: &Pipe) -> Result<Vec<Named>> {
    let git = |arguments: &[&str]| mirror::run(&commit.mirror, address, arguments, pipe);
    if !at(&commit.revision, ".gitmodules", &git)?.is_some_and(|(mode, _)| mode.starts_with("100")) {
        return Ok(Vec::new());
    }
    let blob = format!("{}:.gitmodules", commit.revision);
    let settings = git(&["config", "--blob", &blob, "--null", "--list"])?;
    let value = |name: &str, of: &str| {
        let key = format!("submodule.{name}.{of}");
        let mut pairs = settings.split('\0').filter_map(|setting| setting.split_once('\n'));
        // The last one counts, as git has it.
        pairs.rfind(|(given, _)| *given == key).map(|(_, value)| value.to_owned())
    };
    let mut names: Vec<&str> = settings
        .split('\0')
        .filter_map(|setting| setting.split_once('\n')?.0.strip_prefix("submodule.")?.strip_suffix(".path"))
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        let Some(path) = value(name, "path") else { continue };
        let Some((mode, revision)) = at(&commit.revision, &path, &git)? else { continue };
        if mode != "160000" {
            continue;
        }
        match value(name, "url") {
            Some(url) => found.push(Named { path, url, revision }),
            None => bail!(refuse(&path, "its url is missing in .gitmodules")),
        }
    }
    Ok(found)
}

/// Mode and id of one path of a commit.
fn at(revision: &str, path: &str, git: &dyn Fn(&[&str]) -> Result<String>) -> Result<Option<(String, String)>> {
    let listed =
        git(&["--literal-pathspecs", "ls-tree", "-z", "--full-tree", "--end-of-options", revision, "--", path])?;
    let entry = listed.split('\0').find_map(|line| {
        let (about, listed) = line.split_once('\t')?;
        let mut words = about.split(' ');
        (listed == path).then(|| Some((words.next()?.to_owned(), words.nth(1)?.to_owned())))?
    });
    Ok(entry)
}

/// The address a submodule's `url` means in a repository of this address.
fn resolve(parent: &str, url: &str) -> Result<String, String> {
    let relative = url.starts_with("./") || url.starts_with("../");
    let address = if relative { beside(parent, url)? } else { url.to_owned() };
    let local = |address: &str| -> Result<bool, String> {
        let remote = is_remote(address).map_err(|error| error.to_string())?;
        Ok(!remote || address.starts_with("file://"))
    };
    if !local(&address)? {
        return Ok(address);
    }
    if !local(parent)? {
        return Err("a repository from elsewhere names a path of this machine".into());
    }
    if !address.starts_with("file://") && !Path::new(&address).is_absolute() {
        return Err("its url is neither a URL nor an absolute path, nor begins with ./ or ../".into());
    }
    Ok(address)
}

/// `../other.git` as seen from a repository, as git reads it: from its address as if that were a directory.
fn beside(parent: &str, url: &str) -> Result<String, String> {
    let mut base = parent.trim_end_matches('/');
    let mut rest = url;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            let cut = match base.find("://") {
                Some(scheme) => base[scheme + 3..].rfind('/').map(|at| scheme + 3 + at),
                None => base.rfind(['/', ':']),
            };
            base = &base[..cut.ok_or("its url leads above the host")?];
            rest = after;
        } else {
            break;
        }
    }
    if rest.split('/').any(|part| part == "..") {
        return Err("its url has a .. within it".into());
    }
    // `host:shop.git` without its last part is the host alone.
    let colon = !parent.contains("://") && !base.contains('/') && !base.contains(':') && parent.contains(':');
    Ok(format!("{base}{}{rest}", if colon { ':' } else { '/' }))
}

fn refuse(path: &str, why: &str) -> Failure {
    let message = format!("the submodule {} is refused: {}", path.escape_debug(), without_secrets(why));
    Failure::new(Exit::Failed, "mk.submodule", message).hint("without --submodules its directory stays empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_means_what_git_makes_of_it() {
        for (parent, url, expected) in [
            ("https://host/a/shop.git", "../lib.git", "https://host/a/lib.git"),
            ("https://host/a/shop.git/", "../../b/lib.git", "https://host/b/lib.git"),
            ("https://host:8443/shop.git", "../lib.git", "https://host:8443/lib.git"),
            ("https://host/a/shop.git", "./lib.git", "https://host/a/shop.git/lib.git"),
            ("git@host:a/shop.git", "../lib.git", "git@host:a/lib.git"),
            ("git@host:shop.git", "../lib.git", "git@host:lib.git"),
            ("/srv/shop", "../lib", "/srv/lib"),
            ("file:///srv/shop", "../lib", "file:///srv/lib"),
            ("/srv/shop", "/srv/lib", "/srv/lib"),
            ("/srv/shop", "https://host/lib.git", "https://host/lib.git"),
        ] {
            assert_eq!(resolve(parent, url).as_deref(), Ok(expected), "{parent} {url}");
        }
    }

    #[test]
    fn a_url_that_leads_elsewhere_is_refused() {
        for (parent, url) in [
            ("https://host/shop.git", "/etc"),
            ("https://host/shop.git", "file:///etc"),
            ("git@host:shop.git", "/etc"),
            ("https://host:8443/shop.git", "../../lib.git"),
            ("https://host/shop.git", "ext::touch x"),
            ("https://host/shop.git", "git://host/lib.git"),
            ("https://host/shop.git", "http://host/lib.git"),
            ("https://host/shop.git", "-u"),
            ("/srv/shop", "lib"),
            ("/srv/shop", "../a/../../b"),
        ] {
            assert!(resolve(parent, url).is_err(), "{parent} {url}: {:?}", resolve(parent, url));
        }
    }
}
