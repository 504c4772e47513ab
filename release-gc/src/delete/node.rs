//! One open directory of a tree that is being taken apart.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use dir::Dir;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, chmod, fchmod, fstat, openat2, renameat, unlinkat};
use rustix::io::Errno;

/// A directory that is open until everything in it is gone.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) fd: OwnedFd,
    pub(super) name: CString,
    /// The directory it is in; `None` for the one that was given, which stays.
    pub(super) parent: Option<Arc<Node>>,
    /// The directory right below the one that was given, to which what lies too deep is moved; `None` for itself.
    top: Option<Arc<Node>>,
    /// Levels below the directory that was given.
    pub(super) depth: u32,
    /// Its own disk space.
    pub(super) bytes: u64,
    /// Steps that must be done before it can be removed: its own reading and its subdirectories.
    pending: AtomicUsize,
    /// Whether something in it could not be removed.
    pub(super) has_leftovers: AtomicBool,
    was_opened_up: AtomicBool,
    pub(super) rereadings: AtomicU32,
}

/// Why an entry is not entered as a directory.
pub(super) enum NoDirectory {
    /// It is gone.
    Gone,
    /// It is something else: removed as a file, a link included.
    Other,
    /// Another file system or a bind mount begins there.
    Mount,
    /// The kernel refuses.
    Refused(Errno),
}

impl Node {
    /// The directory that holds the trees. Its descriptor is a duplicate.
    pub(super) fn above(dir: &Dir) -> Option<Self> {
        let fd = dir.as_fd().try_clone_to_owned().ok()?;
        Some(Self::of(fd, CString::default(), None, None, 0))
    }

    fn of(fd: OwnedFd, name: CString, parent: Option<Arc<Node>>, top: Option<Arc<Node>>, bytes: u64) -> Self {
        Self {
            depth: parent.as_ref().map_or(0, |parent| parent.depth + 1),
            fd,
            name,
            parent,
            top,
            bytes,
            pending: AtomicUsize::new(1),
            has_leftovers: AtomicBool::new(false),
            was_opened_up: AtomicBool::new(false),
            rereadings: AtomicU32::new(0),
        }
    }

    /// Opens the entry `name` of `parent`: as a directory, of the same mount, by no link. One that its
    /// owner closed to himself is opened up first.
    pub(super) fn enter(parent: &Arc<Node>, name: CString) -> Result<Self, NoDirectory> {
        let fd = match open(&parent.fd, &name, OFlags::RDONLY) {
            Err(Errno::ACCESS) => open_up(parent, &name).and_then(|()| open(&parent.fd, &name, OFlags::RDONLY)),
            opened => opened,
        };
        let fd = fd.map_err(|errno| match errno {
            Errno::NOENT => NoDirectory::Gone,
            Errno::NOTDIR | Errno::LOOP => NoDirectory::Other,
            Errno::XDEV => NoDirectory::Mount,
            errno => NoDirectory::Refused(errno),
        })?;
        let bytes = fstat(&fd).map_or(0, |stat| space(stat.st_blocks));
        let top = match &parent.parent {
            None => None,
            Some(_) => parent.top.clone().or_else(|| Some(Arc::clone(parent))),
        };
        Ok(Self::of(fd, name, Some(Arc::clone(parent)), top, bytes))
    }

    /// Removes an entry of this directory, making the directory writable first where its mode forbids it.
    pub(super) fn unlink(&self, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
        match unlinkat(&self.fd, name, flags) {
            Err(Errno::ACCESS) if !self.was_opened_up.swap(true, Ordering::Relaxed) => {
                fchmod(&self.fd, Mode::RWXU)?;
                unlinkat(&self.fd, name, flags)
            }
            removed => removed,
        }
    }

    /// Moves the subdirectory `name` to the top of the tree; its new name there and the top.
    pub(super) fn lift(&self, name: &CStr) -> Option<(Arc<Node>, CString)> {
        let top = self.top.clone()?;
        let lifted = CString::new(format!(".deep-{}", dir::random_suffix())).ok()?;
        let rename = || renameat(&self.fd, name, &top.fd, &lifted);
        match rename() {
            // A directory that changes its parent is written itself (its `..`), which its own mode may forbid.
            Err(Errno::ACCESS) => open_up(self, name).and_then(|()| rename()).ok()?,
            renamed => renamed.ok()?,
        }
        Some((top, lifted))
    }

    /// Removes the contents of the directory that a link leads to: what no deletion may do, see [`dir::planted`].
    pub(super) fn empty_where_it_leads(&self, link: &CStr) {
        let path = format!("/proc/self/fd/{}/{}", self.fd.as_raw_fd(), link.to_string_lossy());
        let Ok(target) = Dir::open(path.as_ref()) else { return };
        let names = target.names().unwrap_or_default();
        super::delete(&target, &names.filter_map(|name| name.into_string().ok()).collect::<Vec<_>>(), &|| false);
    }

    /// Notes `count` more steps before it can be removed.
    pub(super) fn expect(&self, count: usize) {
        self.pending.fetch_add(count, Ordering::Relaxed);
    }

    /// Notes a step as done; says whether it was the last.
    pub(super) fn is_done(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The path of an entry below the directory that was given, for people.
    pub(super) fn path_of(&self, name: &CStr) -> String {
        let mut names = vec![name.to_string_lossy().into_owned()];
        let mut node = Some(self);
        while let Some(here) = node.filter(|here| here.parent.is_some()) {
            names.push(here.name.to_string_lossy().into_owned());
            node = here.parent.as_deref();
        }
        names.reverse();
        names.join("/")
    }
}

/// Bytes of a number of blocks as stat(2) counts them.
pub(super) fn space(blocks: impl TryInto<u64>) -> u64 {
    blocks.try_into().map_or(0, |blocks| blocks.saturating_mul(512))
}

fn open(parent: &OwnedFd, name: &CStr, access: OFlags) -> Result<OwnedFd, Errno> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // NO_XDEV stops at bind mounts of the same file system too, which no device number shows.
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    loop {
        match openat2(parent, name, flags, Mode::empty(), resolve) {
            // The kernel cannot rule out a race with a rename and asks to try again (openat2(2)).
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
}

/// Gives the owner all rights on a directory that he has closed to himself.
fn open_up(parent: &Node, name: &CStr) -> Result<(), Errno> {
    let held = match open(&parent.fd, name, OFlags::PATH) {
        // The parent itself may not be searched.
        Err(Errno::ACCESS) => {
            fchmod(&parent.fd, Mode::RWXU)?;
            open(&parent.fd, name, OFlags::PATH)?
        }
        held => held?,
    };
    // fchmod refuses such descriptors; the link in /proc leads to exactly the directory that is held.
    chmod(format!("/proc/self/fd/{}", held.as_raw_fd()), Mode::RWXU)
}
