//! Which repositories and references are accepted at all.

use anyhow::{Result, bail};
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

/// The address without what may be secret in it: what stands before an `@` in its host part, and a URL's query and
/// fragment.
pub(super) fn without_secrets(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    if scheme.is_empty() && address.starts_with('/') {
        return address.to_owned();
    }
    let rest = if scheme.is_empty() { rest } else { rest.split(['?', '#']).next().unwrap_or(rest) };
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

/// Foreign text about an address, without what [`without_secrets`] leaves out of it, in whatever part of it that is quoted.
pub(super) fn told_without_secrets(text: &str, address: &str) -> String {
    let told = text.replace(address, &without_secrets(address));
    let Some((scheme, rest)) = address.split_once("://") else { return told };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let user = rest[..end].rsplit_once('@').map_or("", |(user, _)| user);
    let password = user.split_once(':').map_or("", |(_, password)| password);
    let query = rest.find(['?', '#']).map_or("", |at| &rest[at..]);
    // A name alone is a token over https, and only a name over ssh.
    let user = if user.contains(':') || scheme == "https" { user } else { "" };
    let secrets = [user, password, query, query.get(1..).unwrap_or("")];
    secrets.iter().filter(|secret| secret.len() > 2).fold(told, |told, secret| told.replace(secret, "…"))
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
    fn no_record_tells_who_fetched() {
        for (address, shown) in [
            ("https://user:token@example.org/shop.git", "https://example.org/shop.git"),
            ("https://example.org/shop.git?private_token=x#y", "https://example.org/shop.git"),
            ("https://example.org?token=x/shop.git", "https://example.org"),
            ("https://example.org/a@b/c", "https://example.org/a@b/c"),
            ("git@example.org:shop.git", "example.org:shop.git"),
            ("ssh://git@example.org:22/shop", "ssh://example.org:22/shop"),
            ("/srv/git/a@b", "/srv/git/a@b"),
        ] {
            assert_eq!(without_secrets(address), shown);
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
            ("git@h:x", "fatal: of git@h:x", "fatal: of h:x"),
        ] {
            assert_eq!(told_without_secrets(said, address), told, "{address}");
        }
    }
}
