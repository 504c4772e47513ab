//! Users and groups as `/etc/passwd` and `/etc/group` state them.
//!
//! The files are read here rather than asked for through the C library: a statically linked program that calls
//! `getpwuid` or `initgroups` loads whatever NSS modules the host has, of whatever C library version, and may fail or
//! crash in them. Accounts that only a directory service knows therefore appear by number, with their primary group
//! alone.

use std::fs;
use std::io;

/// One line of `/etc/passwd`, as far as anybody here asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// The home directory, as stated: it need not exist.
    pub home: String,
}

/// Both account files, read once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group`; a missing file is an empty one, as in a bare container.
    pub fn read() -> io::Result<Self> {
        Ok(Self { passwd: text("/etc/passwd")?, group: text("/etc/group")? })
    }

    /// Takes the contents of the two files as given. Reads nothing.
    pub fn parse(passwd: impl Into<String>, group: impl Into<String>) -> Self {
        Self { passwd: passwd.into(), group: group.into() }
    }

    /// The first user with this id, as `getpwuid` would answer.
    pub fn user(&self, uid: u32) -> Option<User> {
        self.users().find(|user| user.uid == uid)
    }

    /// The first user of this name, as `getpwnam` would answer.
    pub fn user_named(&self, name: &str) -> Option<User> {
        self.users().find(|user| user.name == name)
    }

    /// The first group of this name, as `getgrnam` would answer.
    pub fn group_named(&self, name: &str) -> Option<u32> {
        self.groups().find(|group| group.name == name).map(|group| group.gid)
    }

    /// Every group that `user` belongs to, the primary one first, none twice, as `initgroups` would set them.
    pub fn groups_of(&self, user: &User) -> Vec<u32> {
        let mut gids = vec![user.gid];
        for group in self.groups().filter(|group| group.members().any(|member| member == user.name)) {
            if !gids.contains(&group.gid) {
                gids.push(group.gid);
            }
        }
        gids
    }

    /// Whether anybody but `uid` is in group `gid`, by its list of members or as primary group.
    pub fn has_others(&self, gid: u32, uid: u32) -> bool {
        let owner = self.user(uid).map(|user| user.name);
        self.users().any(|user| user.gid == gid && user.uid != uid)
            || self
                .groups()
                .filter(|group| group.gid == gid)
                .any(|group| group.members().any(|member| owner.as_deref() != Some(member)))
    }

    fn users(&self) -> impl Iterator<Item = User> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            let home = fields.nth(1).unwrap_or("/").to_owned();
            Some(User { name: name.to_owned(), uid, gid, home })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            Some(Group { name, gid: fields.nth(1)?.parse().ok()?, members: fields.next().unwrap_or("") })
        })
    }
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn members(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.members.split(',').map(str::trim).filter(|member| !member.is_empty())
    }
}

fn text(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::parse(
            "root:x:0:0:root:/root:/bin/sh\n\
             # a comment\n\
             shop:x:1001:1001:The shop:/srv/shop:/bin/sh\n\
             half:x:12\n\
             +nis::::::\n\
             clerk:x:1002:50::/:/bin/sh\n\
             twin:x:1001:7::/:/bin/sh\n",
            "root:x:0:\nshop:x:1001:shop\nstaff:x:50:shop, clerk\nweb:x:33:shop\nweb:x:33:shop\nbroken:x:y:shop\nmixed:x:60:shop,ghost\n",
        )
    }

    #[test]
    fn the_first_line_with_an_id_answers_and_malformed_lines_are_passed_over() {
        let accounts = accounts();
        assert_eq!(
            accounts.user(1001),
            Some(User { name: "shop".into(), uid: 1001, gid: 1001, home: "/srv/shop".into() })
        );
        assert_eq!(accounts.user_named("clerk").map(|user| user.uid), Some(1002));
        assert_eq!(accounts.user(12), None);
        assert_eq!(accounts.group_named("web"), Some(33));
        assert_eq!(accounts.group_named("broken"), None);
    }

    #[test]
    fn a_user_has_the_primary_group_first_and_each_further_one_once() {
        let accounts = accounts();
        let shop = accounts.user(1001).unwrap();
        assert_eq!(accounts.groups_of(&shop), [1001, 50, 33, 60]);
    }

    #[test]
    fn others_in_a_group_are_seen_by_list_and_by_primary_group() {
        let accounts = accounts();
        for (gid, uid, others) in [
            (0, 0, false),
            (1001, 1001, false),
            (33, 1001, false),
            (33, 1002, true),
            (50, 1001, true),
            (60, 1001, true), // a member that is in no account file is somebody all the same
            (7, 1002, true),
            (4711, 1001, false),
        ] {
            assert_eq!(accounts.has_others(gid, uid), others, "group {gid}, owner {uid}");
        }
    }

    #[test]
    fn this_machine_knows_uid_0() {
        assert_eq!(Accounts::read().unwrap().user(0).unwrap().name, "root");
    }
}
