//! INT, TERM and HUP as something to ask for and to poll, never as a sudden end.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The signals that count. Readable (by poll) from the moment one counted.
#[derive(Debug)]
pub struct Interrupts {
    state: Arc<State>,
    wake: UnixStream,
}

#[derive(Debug)]
struct State {
    /// How many signals are still let pass without effect.
    patience: AtomicUsize,
    /// The signal that counted, or 0.
    counted: AtomicI32,
}

/// While a tool waits for its record every signal passes: it ends when its input does.
const WAITING: usize = usize::MAX;

impl Interrupts {
    /// Takes INT, TERM and HUP from now on, and lets all of them pass until [`Interrupts::heed`]. One
    /// that was ignored when the tool was started (`nohup`, a shell's background job) stays ignored.
    pub(crate) fn watch() -> std::io::Result<Self> {
        let state = Arc::new(State { patience: AtomicUsize::new(WAITING), counted: AtomicI32::new(0) });
        let (wake, mut waker) = UnixStream::pair()?;
        let ignored = ignored_signals();
        let taken = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let mut signals = Signals::new(taken)?;
        let shared = Arc::clone(&state);
        std::thread::Builder::new().name("signals".into()).stack_size(64 << 10).spawn(move || {
            for signal in signals.forever() {
                let spent = shared.patience.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                    WAITING => Some(WAITING),
                    left => left.checked_sub(1),
                });
                if spent.is_err() {
                    // The value first: whoever is woken must find it.
                    let _ = shared.counted.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
                    let _ = waker.write_all(b"!");
                }
            }
        })?;
        Ok(Self { state, wake })
    }

    /// From now on signals count, after the first `patience` ones.
    pub(crate) fn heed(&self, patience: usize) {
        self.state.patience.store(patience, Ordering::SeqCst);
    }

    /// The signal that counted, if one did.
    pub fn pending(&self) -> Option<i32> {
        Some(self.state.counted.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// The mask of ignored signals, bit n-1 for signal n, as the kernel tells it.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
