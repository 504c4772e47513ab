//! Takes the lock and becomes the command.

#![expect(clippy::disallowed_methods, reason = "this process becomes the command; it never is its parent")]

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use record::{DEPLOY_FD, DeployLock, Exit, Failure, Holder, Pipe, RootDir};

use crate::cli::Request;
use crate::descriptor::Reserved;

/// Replaces this process by the command, under the deploy lock of `root`. Returns only with an error.
///
/// Below a deploy of the same root the lock is held already, so that a script may call another.
pub(crate) fn become_command(pipe: &Pipe, root: &RootDir, request: &Request, number: Reserved) -> anyhow::Result<()> {
    let (program, arguments) = request.command.split_first().context("no command is given")?;
    let mut command = Command::new(program);
    command.args(arguments).env("CUTOVER_ROOT", root.path());
    if let Some(link) = &request.options.link {
        command.env("CUTOVER_LINK", link.as_str());
    }
    // Both are held until the command takes over: the lock's own descriptor closes with the exec, the other does not.
    let mut inherited = None;
    let lock = match DeployLock::inherited(root)? {
        Some(inherited) => inherited,
        None => {
            let holder = Holder { deploy: Some(dir::random_suffix()), ..Holder::this("release-lock") };
            let lock = pipe.wait_for_deploy_lock(root, &holder)?;
            if let DeployLock::Taken(flock) = &lock {
                let filled = number.fill(flock.file()).context("hand the lock on")?;
                let filled =
                    filled.context("the descriptors 3 to 9 are all taken: none is left to hand the lock on")?;
                // Below the deploy of another root that one's lock is still held, by its own descriptor.
                let others = std::env::var(DEPLOY_FD).ok().filter(|others| !others.is_empty());
                let own = filled.as_raw_fd().to_string();
                command.env(DEPLOY_FD, others.map_or_else(|| own.clone(), |others| format!("{others},{own}")));
                inherited = Some(filled);
            }
            lock
        }
    };
    // A signal that came while this waited for the lock ends it here, with nothing begun.
    pipe.check_signals()?;
    let error = command.exec();
    drop((inherited, lock));
    let (status, code) = match error.kind() {
        std::io::ErrorKind::NotFound => (127, "lock.command_not_found"),
        _ => (126, "lock.command_not_started"),
    };
    bail!(anyhow::Error::new(error).context(Failure::new(
        Exit::Of(status),
        code,
        format!("run {}", program.to_string_lossy().escape_debug())
    )))
}
