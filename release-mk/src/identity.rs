//! Whose environment the children get, where uid 0 became the root's owner.
//!
//! A step or a git that finds root's HOME would read what the owner may not, or leave files of his where he cannot.

use std::os::unix::fs::MetadataExt;

use dir::Accounts;

/// Whether HOME is the directory of somebody else than the user this process is by now.
pub(crate) fn has_foreign_home() -> bool {
    let me = nix::unistd::geteuid().as_raw();
    let home = std::env::var_os("HOME").and_then(|home| std::fs::metadata(home).ok());
    home.is_none_or(|home| home.uid() != me)
}

/// The name of the user this process is by now, where it is not the one whose environment it has.
pub(crate) fn became() -> Option<String> {
    let me = nix::unistd::geteuid().as_raw();
    let name = || Accounts::read().ok()?.user(me).map(|user| user.name);
    has_foreign_home().then(|| name().unwrap_or_else(|| format!("#{me}")))
}

/// HOME, USER and LOGNAME as a login of the owner would have them; empty where they are his already, or where
/// `/etc/passwd` does not know him.
pub(crate) fn variables() -> Vec<(&'static str, String)> {
    if !has_foreign_home() {
        return Vec::new();
    }
    let me = nix::unistd::geteuid().as_raw();
    let Some(user) = Accounts::read().ok().and_then(|accounts| accounts.user(me)) else { return Vec::new() };
    vec![("HOME", user.home), ("USER", user.name.clone()), ("LOGNAME", user.name)]
}
