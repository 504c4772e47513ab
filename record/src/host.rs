//! Who and where: the host's name and the user's, as records and locks show them.

use nix::unistd::{gethostname, getuid};

/// The host's own name; `localhost` where it has none.
pub fn host_name() -> String {
    gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

/// The name of the user who runs this process, or the number where none is known.
pub fn user_name() -> String {
    dir::Owner { uid: getuid().as_raw(), gid: 0 }.user_name()
}
