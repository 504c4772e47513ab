//! INT, TERM and HUP as something to ask for and to poll, never as a sudden end.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::socket::{MsgFlags, recv};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// The signals that count. Readable (by poll) from the moment one counted.
#[derive(Debug)]
pub struct Interrupts {
    /// The signal that came last, or 0.
    last: Arc<AtomicUsize>,
    /// A byte for each signal that came.
    came: UnixStream,
    patient: OnceLock<Patient>,
}

/// Where the first signals are let pass, a thread counts them; most stages need none.
#[derive(Debug)]
struct Patient {
    is_over: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Interrupts {
    /// Takes INT, TERM and HUP from now on, and lets all of them pass until [`Interrupts::heed`]. One
    /// that was ignored when the tool was started (`nohup`, a shell's background job) stays ignored.
    pub(crate) fn watch() -> std::io::Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        let (came, writer) = UnixStream::pair()?;
        let ignored = ignored_signals();
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0) {
            // The value first, actions run in this order: whoever is woken must find it.
            signal_hook::flag::register_usize(signal, Arc::clone(&last), usize::try_from(signal).unwrap_or(0))?;
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        // Beyond ulimit -f a write shall fail, as on a full disk, and not be the end of us without a word. What is started has
        // the default again.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        Ok(Self { last, came, patient: OnceLock::new() })
    }

    /// From now on signals count, after the first `patience` ones.
    pub(crate) fn heed(&self, patience: usize) {
        // Forgotten before the bytes are: one that comes in between is found by asking, if not by polling.
        self.last.store(0, Ordering::SeqCst);
        while matches!(recv(self.came.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_DONTWAIT), Ok(1..)) {}
        if patience > 0
            && let Ok(patient) = Patient::count(&self.came, patience)
        {
            let _ = self.patient.set(patient);
        }
    }

    /// The signal that counted, if one did.
    pub fn pending(&self) -> Option<i32> {
        let is_over = self.patient.get().is_none_or(|patient| patient.is_over.load(Ordering::SeqCst));
        let last = i32::try_from(self.last.load(Ordering::SeqCst)).unwrap_or(0);
        Some(last).filter(|signal| *signal != 0 && is_over)
    }
}

impl Patient {
    fn count(came: &UnixStream, patience: usize) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (wake, mut waker) = UnixStream::pair()?;
        let (over, mut came) = (Arc::clone(&is_over), came.try_clone()?);
        std::thread::Builder::new().name("signals".into()).stack_size(64 << 10).spawn(move || {
            for _ in 0..=patience {
                if came.read_exact(&mut [0]).is_err() {
                    return;
                }
            }
            over.store(true, Ordering::SeqCst);
            let _ = waker.write_all(b"!");
        })?;
        Ok(Self { is_over, wake })
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.patient.get().map_or(&self.came, |patient| &patient.wake).as_fd()
    }
}

/// The mask of ignored signals, bit n-1 for signal n, as the kernel tells it.
fn ignored_signals() -> u64 {
    // Room for all of it: without, it is read in ever larger pieces from 32 bytes on.
    let mut bytes = Vec::with_capacity(2 << 10);
    let _ = std::fs::File::open("/proc/self/status").and_then(|mut status| status.read_to_end(&mut bytes));
    let status = String::from_utf8_lossy(&bytes);
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::{Signal, raise};

    use super::*;

    fn is_readable(interrupts: &Interrupts, within: u16) -> bool {
        poll(&mut [PollFd::new(interrupts.as_fd(), PollFlags::POLLIN)], PollTimeout::from(within)).unwrap() > 0
    }

    #[test]
    fn signals_count_once_heeded_and_after_as_many_as_are_let_pass() {
        let (plain, patient) = (Interrupts::watch().unwrap(), Interrupts::watch().unwrap());
        raise(Signal::SIGHUP).unwrap();
        plain.heed(0);
        patient.heed(1);
        assert_eq!((plain.pending(), is_readable(&plain, 0)), (None, false), "what came before means nobody");
        raise(Signal::SIGTERM).unwrap();
        assert_eq!((plain.pending(), is_readable(&plain, 0)), (Some(SIGTERM), true));
        assert_eq!((patient.pending(), is_readable(&patient, 50)), (None, false), "the first one passes");
        // Not SIGINT: in the background of a script, where tests may run, it is ignored.
        raise(Signal::SIGTERM).unwrap();
        assert!(is_readable(&patient, 20_000));
        assert_eq!(patient.pending(), Some(SIGTERM));
    }
}
