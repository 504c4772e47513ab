//! Whose a root is, and how root (uid 0) works in it without leaving files of its own behind.

use nix::unistd::{Gid, Uid, getgroups, setegid, seteuid, setgroups};

use crate::Accounts;

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
        match Accounts::read().ok().and_then(|accounts| accounts.user(self.uid)) {
            Some(user) => user.name,
            None => self.uid.to_string(),
        }
    }

    /// Whether the owning group has members besides the owner, as /etc/passwd and /etc/group say; a
    /// group that neither names counts as having some.
    pub fn group_has_others(&self) -> bool {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
        let field = |line: &str, at: usize| line.split(':').nth(at).unwrap_or_default().to_owned();
        let number = |line: &str, at: usize| field(line, at).parse::<u32>().ok();
        let own_name = users.lines().find(|line| number(line, 2) == Some(self.uid)).map(|line| field(line, 0));
        let primary = users
            .lines()
            .filter(|line| number(line, 3) == Some(self.gid))
            .any(|line| number(line, 2) != Some(self.uid));
        let Some(group) = groups.lines().find(|line| number(line, 2) == Some(self.gid)) else { return true };
        let members = field(group, 3);
        primary
            || members.split(',').map(str::trim).any(|member| !member.is_empty() && Some(member) != own_name.as_deref())
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
        let accounts = Accounts::read().map_err(|error| errno(&error))?;
        let mut groups = vec![gid];
        if let Some(user) = accounts.user(self.uid) {
            groups.extend(accounts.groups_of(&user).into_iter().filter(|group| *group != self.gid).map(Gid::from_raw));
        }
        setgroups(&groups)?;
        nix::unistd::setresgid(gid, gid, gid)?;
        nix::unistd::setresuid(uid, uid, uid)
    }
}

fn errno(error: &std::io::Error) -> nix::Error {
    error.raw_os_error().map_or(nix::Error::EIO, nix::Error::from_raw)
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
