//! What belongs to a file besides its bytes: mode, modification time, extended attributes, ACLs.

use std::ffi::CStr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, fchmod, futimens, umask};
use nix::sys::time::TimeSpec;
use nix::unistd::{getegid, geteuid};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};

/// Attributes that belong to the machine's security policy, not to the file; the kernel sets them on the copy.
const POLICY: [&[u8]; 5] =
    [b"security.selinux", b"security.ima", b"security.evm", b"security.apparmor", b"security.SMACK64"];

/// The mode a copy gets: the source's, but set-user-id and set-group-id only where the copy has the same user or group, since
/// they would lend somebody else's rights otherwise.
pub(crate) fn mode_of_copy(source: &FileStat, uid: u32, gid: u32) -> u32 {
    let mut mode = source.st_mode & 0o7777;
    if source.st_uid != uid {
        mode &= !0o4000;
    }
    if source.st_gid != gid {
        mode &= !0o2000;
    }
    mode
}

/// Uid and gid of what this process makes.
pub(crate) fn user() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

/// The modification time as the calls that set it want it.
pub(crate) fn modified(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}

/// Sets mode and modification time of the open file or directory `fd`, in this order, since a write
/// after it would change the time again.
pub(crate) fn finish(fd: impl AsFd, mode: u32, mtime: &TimeSpec) -> nix::Result<()> {
    fchmod(&fd, Mode::from_bits_truncate(mode))?;
    set_time(fd, mtime)
}

/// Sets the modification time alone, of a file that was made with its mode.
pub(crate) fn set_time(fd: impl AsFd, mtime: &TimeSpec) -> nix::Result<()> {
    futimens(&fd, &TimeSpec::UTIME_OMIT, mtime)
}

/// Lets files be made with their modes as long as it lives, so that these need not be set once more: takes away the
/// process's umask. Only for as long as no other thread makes anything that relies on one.
pub(crate) struct ExactModes {
    former: Mode,
    /// Directories below have no default ACL, which would decide in the umask's place.
    plain: bool,
}

impl ExactModes {
    /// For what is made in `top` and in directories that are made in there.
    pub(crate) fn beneath(top: impl AsFd) -> Self {
        let acl = fgetxattr(top, c"system.posix_acl_default", &mut [0_u8; 0][..]);
        let plain = matches!(acl, Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP));
        Self { former: umask(Mode::empty()), plain }
    }

    /// The mode to make a file with, and whether that is the one it is to have. A file that its owner may not write
    /// would take no attributes, and one with special bits would lose them when it is written.
    pub(crate) fn for_new(&self, mode: u32) -> (Mode, bool) {
        let exact = self.plain && mode & 0o7600 == 0o600;
        (Mode::from_bits_truncate(if exact { mode } else { 0o600 }), exact)
    }
}

impl Drop for ExactModes {
    fn drop(&mut self) {
        umask(self.former);
    }
}

/// Copies extended attributes and ACLs from one open file or directory to another. Those a plain user may not set
/// (`trusted.*`, `security.*`) are copied by uid 0 only. A target whose file system has none of them is an error.
pub(crate) fn copy_attributes(from: impl AsFd, to: impl AsFd, privileged: bool) -> nix::Result<()> {
    let mut names = [0_u8; 1024];
    let length = match flistxattr(&from, &mut names[..]) {
        Ok(0) | Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Ok(length) => return copy_named(&from, &to, &names[..length], privileged),
        Err(rustix::io::Errno::RANGE) => flistxattr(&from, &mut [0_u8; 0][..]).map_err(errno)?,
        Err(error) => return Err(errno(error)),
    };
    let mut names = vec![0_u8; length + 4096];
    let length = flistxattr(&from, &mut names[..]).map_err(errno)?;
    copy_named(&from, &to, &names[..length], privileged)
}

/// Whether an open file has attributes of its own, or may have.
pub(crate) fn has_attributes(file: impl AsFd) -> bool {
    let mut names = [0_u8; 1024];
    match flistxattr(file, &mut names[..]) {
        Ok(length) => names[..length].split(|byte| *byte == 0).any(|name| is_copied(name, true)),
        Err(error) => error != rustix::io::Errno::OPNOTSUPP,
    }
}

fn copy_named(from: impl AsFd, to: impl AsFd, names: &[u8], privileged: bool) -> nix::Result<()> {
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        if !is_copied(name.to_bytes(), privileged) {
            continue;
        }
        let mut value = vec![0_u8; 64 * 1024];
        let length = match fgetxattr(&from, name, &mut value[..]) {
            Ok(length) => length,
            // Gone meanwhile.
            Err(rustix::io::Errno::NODATA) => continue,
            Err(error) => return Err(errno(error)),
        };
        fsetxattr(&to, name, &value[..length], XattrFlags::empty()).map_err(errno)?;
    }
    Ok(())
}

fn is_copied(name: &[u8], privileged: bool) -> bool {
    let open = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
    open || (privileged
        && (name.starts_with(b"security.") || name.starts_with(b"trusted."))
        && !POLICY.iter().any(|policy| name.starts_with(policy)))
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_machines_policy_stay_where_they_are() {
        for (name, plain, privileged) in [
            ("user.note", true, true),
            ("system.posix_acl_access", true, true),
            ("system.nfs4_acl", false, false),
            ("security.capability", false, true),
            ("security.selinux", false, false),
            ("security.SMACK64EXEC", false, false),
            ("trusted.overlay.opaque", false, true),
        ] {
            assert_eq!(is_copied(name.as_bytes(), false), plain, "{name} for a plain user");
            assert_eq!(is_copied(name.as_bytes(), true), privileged, "{name} for uid 0");
        }
    }
}
