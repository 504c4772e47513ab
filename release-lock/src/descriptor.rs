//! The number under which children inherit the lock.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{dup2, fcntl_dupfd_cloexec};

/// Numbers a script in dash can still close (`8>&-`): it knows one digit only. 3 and 4 come last because scripts use them.
const PREFERRED: [i32; 7] = [8, 7, 6, 5, 9, 4, 3];

/// A number of one digit that was free when this process began, and so is free in the command too.
#[derive(Debug)]
pub(crate) struct Reserved(Option<OwnedFd>);

impl Reserved {
    /// Reserves one. To be called before anything else is opened, as that takes the low numbers.
    pub(crate) fn take() -> Self {
        let stdin = std::io::stdin();
        let free = PREFERRED.iter().find_map(|&number| {
            // The lowest free number from here on (fcntl(2)); another one means that this one is taken.
            fcntl_dupfd_cloexec(&stdin, number).ok().filter(|got| got.as_raw_fd() == number)
        });
        Self(free)
    }

    /// Puts the open file of the lock under the number; children inherit it there, so the lock lasts until the last
    /// process that has it ends. `None` when 3 to 9 are all taken.
    pub(crate) fn fill(self, lock: &File) -> std::io::Result<Option<OwnedFd>> {
        let Some(mut number) = self.0 else { return Ok(None) };
        // dup2 leaves FD_CLOEXEC unset.
        dup2(lock, &mut number)?;
        Ok(Some(number))
    }
}
