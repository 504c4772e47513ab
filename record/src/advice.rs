//! The next step where the system said no and the tool itself has none to offer.

use nix::errno::Errno;

use crate::pipe::Pipe;

/// The kernel's answer that an error goes back to, if it goes back to one.
pub fn errno_of(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error).map(Errno::from_raw);
        cause.downcast_ref::<Errno>().copied().or(io)
    })
}

/// What to look at, in one line.
pub(crate) fn of(error: &anyhow::Error, pipe: Option<&Pipe>) -> Option<String> {
    match errno_of(error)? {
        Errno::EACCES => denied_to_owner(pipe?),
        Errno::EROFS => {
            Some("the file system is read-only, as after an error of its disk: see dmesg and mount".to_owned())
        }
        Errno::ENOSPC | Errno::EDQUOT => {
            let root = pipe?.root.as_ref()?.path().display();
            Some(format!("the disk is full: release-gc -n --root {root} makes room"))
        }
        Errno::EIO => Some("the disk did not answer: see dmesg".to_owned()),
        _ => None,
    }
}

/// What may puzzle uid 0, to whom nothing is denied: the tools act as the owner of the root.
fn denied_to_owner(pipe: &Pipe) -> Option<String> {
    let owner = pipe.root.as_ref()?.owner();
    let is_another = pipe.by_uid_0 && owner.uid != 0;
    let name = is_another.then(|| owner.user_name())?;
    Some(format!("the tools act as {name}, who owns the root, and not as uid 0: let him in there"))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_answer_of_the_kernel_is_found_however_deep_it_lies() {
        let here = || -> anyhow::Result<()> { Err(dir::Error::new("open", "/srv/shop", Errno::EROFS).into()) };
        let io = || -> anyhow::Result<()> { Err(std::io::Error::from_raw_os_error(Errno::EIO as i32).into()) };
        assert_eq!(errno_of(&here().context("take the lock").unwrap_err()), Some(Errno::EROFS));
        assert_eq!(errno_of(&io().context("read").context("switch").unwrap_err()), Some(Errno::EIO));
        assert_eq!(errno_of(&anyhow::anyhow!("no")), None);
        assert!(of(&here().unwrap_err(), None).is_some_and(|said| said.contains("read-only")));
        assert_eq!(of(&anyhow::anyhow!("no"), None), None);
    }
}
