//! The number under which children inherit the lock.

use std::fs::File;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::close;

/// Numbers a script in dash can still close (`8>&-`): it knows one digit only. 3 and 4 come last because scripts use them.
const PREFERRED: [RawFd; 7] = [8, 7, 6, 5, 9, 4, 3];

/// Makes a second descriptor of the same open file that children inherit, under a number of one digit.
/// The lock then lasts until the last process that has it ends.
pub(crate) fn inheritable(file: &File) -> nix::Result<RawFd> {
    for number in PREFERRED {
        // F_DUPFD takes the lowest free number from here on, and leaves FD_CLOEXEC unset (fcntl(2)).
        let got = fcntl(file, FcntlArg::F_DUPFD(number))?;
        if got == number {
            return Ok(got);
        }
        close(got)?;
    }
    Err(Errno::EMFILE)
}
