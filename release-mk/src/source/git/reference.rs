//! Which repositories and references are accepted at all.

use std::borrow::Cow;

use anyhow::{Result, bail};
use percent_encoding::percent_decode_str;
use record::{Exit, Failure};

/// Refuses references that could be taken for an option, a range, a path or a moment of a log.
pub(super) fn check(reference: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | '-' | '#' | '@');
    let plain = !reference.is_empty()
        && reference.len() <= 250
        && reference.chars().all(legal)
        && !reference.starts_with(['-', '/', '.'])
        && !reference.ends_with(['/', '.'])
        && !reference.contains("..")
        && !reference.contains("//")
        && !reference.contains("@{")
        && reference != "@";
    if plain {
        return Ok(());
    }
    bail!(
        Failure::new(Exit::Usage, "usage", format!("'{}' names no branch, tag or commit", reference.escape_debug()))
            .hint("--ref takes a branch, a tag or the id of a commit")
    )
}

/// Whether the address is a URL, or `host:path` as ssh has it; else it is a local path. Refuses every protocol but
/// file, ssh and https.
pub(super) fn is_remote(address: &str) -> Result<bool> {
    let refuse = |why: &str| {
        Failure::new(Exit::Usage, "usage", format!("the repository is refused: {why}"))
            .hint("--from takes a local path or an ssh, https or file URL")
    };
    if address.starts_with('-') || address.chars().any(char::is_control) {
        bail!(refuse("its address begins with '-' or contains a control character"));
    }
    if let Some((scheme, rest)) = address.split_once("://") {
        if !matches!(scheme, "file" | "ssh" | "https") {
            bail!(refuse("only the protocols file, ssh and https are spoken"));
        }
        if rest.is_empty() || rest.starts_with('-') {
            bail!(refuse("its address has no host"));
        }
        return Ok(true);
    }
    if address.contains("::") {
        bail!(refuse("helper protocols are not run"));
    }
    // As git reads it: a colon before the first slash makes it ssh's.
    let is_ssh = address.split_once(':').is_some_and(|(host, _)| !host.contains('/') && !host.is_empty());
    Ok(is_ssh)
}

/// What is secret in an address, by where it stands.
struct Parts<'a> {
    /// `https://`, or nothing before `host:path` as ssh has it and before a path.
    scheme: &'a str,
    /// Before the `@`: a name, and a password behind a colon.
    user: &'a str,
    host: &'a str,
    path: &'a str,
    /// A URL's query and fragment.
    query: &'a str,
}

impl Parts<'_> {
    fn of(address: &str) -> Parts<'_> {
        let Some(at) = address.find("://") else {
            let end = address.find('/').unwrap_or(address.len());
            let (before, path) = address.split_at(end);
            let (user, host) = match before.split_once(':') {
                // In `user:password@host:path` the colon comes first, in `user@host:a@b` it does not.
                Some((first, rest)) if !first.contains('@') && rest.contains('@') => {
                    before.rsplit_once('@').unwrap_or(("", before))
                }
                Some((first, _)) => first.rfind('@').map_or(("", before), |at| (&before[..at], &before[at + 1..])),
                None => ("", before),
            };
            return Parts { scheme: "", user, host, path, query: "" };
        };
        let (scheme, rest) = address.split_at(at + 3);
        let (rest, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let (before, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = before.rsplit_once('@').unwrap_or(("", before));
        Parts { scheme, user, host, path, query }
    }

    /// Over ssh a name alone is how one gets in, and no secret; over https it may be a token.
    fn names_its_user(&self) -> bool {
        matches!(self.scheme, "" | "ssh://")
    }
}

/// The address without what may be secret in it: a password, over https all that stands before an `@` in its host part,
/// and a URL's query and fragment.
pub(super) fn without_secrets(address: &str) -> String {
    let parts = Parts::of(address);
    let name = parts.user.split(':').next().filter(|name| parts.names_its_user() && !name.is_empty());
    let user = name.map(|name| format!("{name}@")).unwrap_or_default();
    format!("{}{user}{}{}", parts.scheme, parts.host, parts.path)
}

/// The address without all that may be secret in it, and without the name of who fetches: what goes into a release and
/// stays on record.
pub(super) fn without_user(address: &str) -> String {
    let parts = Parts::of(address);
    format!("{}{}{}", parts.scheme, parts.host, parts.path)
}

/// Foreign text about an address, without what [`without_secrets`] leaves out of it, in whatever part of it that is quoted.
pub(super) fn told_without_secrets(text: &str, address: &str) -> String {
    let told = text.replace(address, &without_secrets(address));
    let parts = Parts::of(address);
    let password = parts.user.split_once(':').map_or("", |(_, password)| password);
    let user = if password.is_empty() && parts.names_its_user() { "" } else { parts.user };
    // What stands in a URL encoded is quoted decoded, too: ssh gets it so.
    let secrets = [user, password, parts.query, parts.query.get(1..).unwrap_or("")];
    let both =
        secrets.into_iter().flat_map(|secret| [Cow::Borrowed(secret), percent_decode_str(secret).decode_utf8_lossy()]);
    both.filter(|secret| secret.len() > 2).fold(told, |told, secret| told.replace(&*secret, "…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_commits_are_references() {
        for good in ["main", "v1.4.2", "feature/x-1", "refs/tags/v1", "0123abcd", "HEAD", "a@b", "release+1"] {
            assert!(check(good).is_ok(), "{good} was refused");
        }
        for bad in [
            "",
            "-rf",
            "--upload-pack=x",
            "HEAD@{1}",
            "@",
            "a..b",
            "a...b",
            ":path",
            "main:file",
            "main^",
            "main~2",
            "a b",
            "a\nb",
            "*",
            "a?",
            "a[b",
            "a\\b",
            "/a",
            "a/",
            ".a",
            "a.",
            "a//b",
            "^main",
            "@{u}",
        ] {
            assert!(check(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn only_three_protocols_are_spoken() {
        for (address, remote) in [
            ("/srv/git/shop", false),
            ("../shop", false),
            ("./a:b", false),
            ("file:///srv/git/shop", true),
            ("https://example.org/shop.git", true),
            ("ssh://git@example.org/shop.git", true),
            ("git@example.org:shop.git", true),
        ] {
            assert_eq!(is_remote(address).unwrap(), remote, "{address}");
        }
        for bad in [
            "ext::sh -c true",
            "ext::/bin/sh",
            "http://example.org/x",
            "git://example.org/x",
            "ftp://x/y",
            "-oProxy=x",
            "--upload-pack=x",
            "fd::17",
            "https://",
            "ssh://-oProxyCommand=x/y",
            "a\nb",
        ] {
            assert!(is_remote(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn no_message_tells_a_password_or_a_token() {
        for (address, shown) in [
            ("https://user:token@example.org/shop.git", "https://example.org/shop.git"),
            ("https://example.org/shop.git?private_token=x#y", "https://example.org/shop.git"),
            ("https://example.org?token=x/shop.git", "https://example.org"),
            ("https://example.org/a@b/c", "https://example.org/a@b/c"),
            ("https://t0ken@example.org/shop.git", "https://example.org/shop.git"),
            ("file://user:token@host/shop.git", "file://host/shop.git"),
            ("git@example.org:shop.git", "git@example.org:shop.git"),
            ("git@example.org:a@b/shop.git", "git@example.org:a@b/shop.git"),
            ("git@[::1]:shop.git", "git@[::1]:shop.git"),
            ("git:token@example.org:shop.git", "git@example.org:shop.git"),
            ("example.org:shop.git", "example.org:shop.git"),
            ("ssh://git@example.org:22/shop", "ssh://git@example.org:22/shop"),
            ("ssh://git:token@example.org:22/shop?token", "ssh://git@example.org:22/shop"),
            ("/srv/git/a@b", "/srv/git/a@b"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }

    #[test]
    fn no_record_tells_who_fetched() {
        for (address, shown) in [
            ("https://user:token@example.org/shop.git?x#y", "https://example.org/shop.git"),
            ("git@example.org:shop.git", "example.org:shop.git"),
            ("git:token@example.org:shop.git", "example.org:shop.git"),
            ("ssh://git@example.org:22/shop", "ssh://example.org:22/shop"),
            ("/srv/git/a@b", "/srv/git/a@b"),
        ] {
            assert_eq!(without_user(address), shown);
        }
    }

    #[test]
    fn what_git_quotes_of_an_address_has_no_secret_either() {
        for (address, said, told) in [
            (
                "https://h/shop.git?token=abc",
                "fatal: unable to access 'https://h/shop.git?token=abc/'",
                "fatal: unable to access 'https://h/shop.git/'",
            ),
            ("file:///srv/shop?token=abc", "fatal: '/srv/shop?token=abc' is none", "fatal: '/srv/shop…' is none"),
            ("https://u:abc@h/x", "fatal: u:abc and abc of https://u:abc@h/x", "fatal: … and … of https://h/x"),
            ("https://t0ken@h/x", "fatal: t0ken of https://t0ken@h/x", "fatal: … of https://h/x"),
            ("ssh://git@h/x", "fatal: git@h says no", "fatal: git@h says no"),
            ("git@h:x", "fatal: of git@h:x", "fatal: of git@h:x"),
            ("ssh://u:a%40bc@h/x", "u:a@bc@h: Permission denied, a@bc, a%40bc", "…@h: Permission denied, …, …"),
            ("u:abc@h:x", "ssh: resolve u: abc@h:x", "ssh: resolve u: …@h:x"),
        ] {
            assert_eq!(told_without_secrets(said, address), told, "{address}");
        }
    }
}
