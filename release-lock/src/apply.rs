//! Takes the lock and becomes the command.

#![expect(clippy::disallowed_methods, reason = "this process becomes the command; it never is its parent")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use record::{DEPLOY_FD, DeployLock, Exit, Failure, Holder, Pipe, RootDir};

use crate::cli::Request;
use crate::descriptor::inheritable;

/// Replaces this process by the command, under the deploy lock of `root`. Returns only with an error.
///
/// Below a deploy of the same root the lock is held already, so that a script may call another.
pub(crate) fn become_command(pipe: &Pipe, root: &RootDir, request: &Request) -> anyhow::Result<()> {
    let (program, arguments) = request.command.split_first().context("no command is given")?;
    let mut command = Command::new(program);
    command.args(arguments).env("CUTOVER_ROOT", root.path());
    if let Some(link) = &request.options.link {
        command.env("CUTOVER_LINK", link.as_str());
    }
    // Held until the command takes over: its own descriptor closes with the exec, the inherited one does not.
    let lock = match DeployLock::inherited(root)? {
        Some(inherited) => inherited,
        None => {
            let holder = Holder { deploy: Some(dir::random_suffix()), ..Holder::this("release-lock") };
            let lock = DeployLock::take(root, pipe.wait(), &holder)?;
            if let DeployLock::Taken(flock) = &lock {
                let number = inheritable(flock.file()).context("find a descriptor from 3 to 9 for the lock")?;
                command.env(DEPLOY_FD, number.to_string());
            }
            lock
        }
    };
    // A signal that came while this waited for the lock ends it here, with nothing begun.
    pipe.check_signals()?;
    let error = command.exec();
    drop(lock);
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
