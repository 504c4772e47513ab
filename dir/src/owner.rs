//! Whose a root is, and how root (uid 0) works in it without leaving files of its own behind.

use nix::unistd::{Gid, Uid, User, getgroups, setegid, seteuid, setgroups};

/// The user and group that own a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// While it lives, this process acts as the owner; dropping it takes the former identity back.
#[derive(Debug)]
#[must_use]
pub struct ActingAs {
    groups: Option<Vec<Gid>>,
}

impl Owner {
    /// The user's name, or the number where none is known.
    pub fn user_name(&self) -> String {
        match User::from_uid(Uid::from_raw(self.uid)) {
            Ok(Some(user)) => user.name,
            _ => self.uid.to_string(),
        }
    }

    /// Whether this process is uid 0 and the root is somebody else's.
    pub fn needs_acting(&self) -> bool {
        nix::unistd::geteuid().is_root() && self.uid != 0
    }

    /// Takes the owner's effective identity for the whole process when it runs as uid 0 and the
    /// owner is somebody else; else changes nothing. Files made meanwhile are the owner's, and the
    /// kernel refuses what the owner could not do.
    pub fn act(&self) -> nix::Result<ActingAs> {
        if !self.needs_acting() {
            return Ok(ActingAs { groups: None });
        }
        let groups = getgroups()?;
        let gid = Gid::from_raw(self.gid);
        // Groups first: only uid 0 may change them.
        setgroups(&[gid])?;
        let acting = ActingAs { groups: Some(groups) };
        setegid(gid)?;
        seteuid(Uid::from_raw(self.uid))?;
        Ok(acting)
    }

    /// Becomes the owner for good, real and saved ids too, when it runs as uid 0 and the owner is
    /// somebody else: for tools that start commands inside the root.
    pub fn become_for_good(&self) -> nix::Result<()> {
        if !self.needs_acting() {
            return Ok(());
        }
        let gid = Gid::from_raw(self.gid);
        let uid = Uid::from_raw(self.uid);
        match User::from_uid(uid)? {
            Some(user) => {
                let name = std::ffi::CString::new(user.name).map_err(|_| nix::Error::EINVAL)?;
                nix::unistd::initgroups(&name, gid)?;
            }
            None => setgroups(&[gid])?,
        }
        nix::unistd::setresgid(gid, gid, gid)?;
        nix::unistd::setresuid(uid, uid, uid)
    }
}

impl Drop for ActingAs {
    fn drop(&mut self) {
        let Some(groups) = self.groups.take() else { return };
        // The saved ids are still 0, so these cannot be refused; were they, the process would go
        // on with fewer rights, never with more.
        let _ = seteuid(Uid::from_raw(0));
        let _ = setegid(Gid::from_raw(0));
        let _ = setgroups(&groups);
    }
}
