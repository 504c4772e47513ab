//! Work that can only block, such as running a command, beside the engine: in a thread of its own, and never left behind.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use rustix::net::RecvFlags;

use crate::engine::Io;

/// Runs `work` in a thread. Its argument becomes readable when nobody wants the result any more: `work` then has to end
/// soon, because whoever drops the attempt waits for that, so that no child outlives us.
pub(crate) async fn aside<T: Send + 'static>(
    io: &Io,
    work: impl FnOnce(BorrowedFd<'_>) -> T + Send + 'static,
) -> std::io::Result<T> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || work(theirs.as_fd()))?;
    let mut joined = Joined { ours: Some(ours), thread: Some(thread) };
    if let Some(ours) = &joined.ours {
        // The thread closes its end when it is done; nothing is ever written.
        let wait = || Ok(rustix::net::recv(ours, &mut [0u8; 1], RecvFlags::empty())?.0);
        io.ready(ours, &Cell::new(false), wait).await?;
    }
    joined.thread.take().and_then(|thread| thread.join().ok()).ok_or_else(|| std::io::Error::other("a thread died"))
}

struct Joined<T> {
    ours: Option<UnixStream>,
    thread: Option<JoinHandle<T>>,
}

impl<T> Drop for Joined<T> {
    fn drop(&mut self) {
        // Closing our end first is what tells the thread to stop.
        drop(self.ours.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
