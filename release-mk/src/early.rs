//! Lets the disk begin while a tree is still being filled.
//!
//! With one sync at the end the disk is idle while files are copied, and the processors are idle while it writes. What is
//! promised rests on that last sync alone; the ones here only leave less for it to do.

use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use dir::Dir;

use crate::progress::Meter;

/// So much is put together before the disk is asked to take it for the first time.
const FIRST: u64 = 32 << 20;
/// Later half as much as it has taken so far, up to this: a large tree needs no more syncs per byte than it has to.
const MOST: u64 = 128 << 20;
/// Towards the end half of what is still to come, but no less than this.
const LEAST: u64 = 16 << 20;
/// Less than this is left to the last sync.
const WORTH: u64 = 4 << 20;
/// How often the progress is looked at.
const PAUSE: Duration = Duration::from_millis(20);

const FILLING: u8 = 0;
const COMPLETE: u8 = 1;
const OVER: u8 = 2;

/// Runs `work`, while the file system of `dir` is synced each time that `meter` has gone on far enough towards all `files`,
/// where their number is known, and when `work` says that the tree is complete. A write error that any of these syncs meets
/// is told once only, so it ends the build as one of the last sync would.
pub(crate) fn syncing<T>(
    dir: &Dir,
    meter: &Meter,
    files: Option<u64>,
    work: impl FnOnce(&dyn Fn()) -> Result<T>,
) -> Result<T> {
    let stage = AtomicU8::new(FILLING);
    thread::scope(|scope| {
        let syncing = thread::Builder::new().spawn_scoped(scope, || {
            let mut synced = 0;
            loop {
                let (now, written) = (stage.load(Ordering::Acquire), meter.written());
                if now == FILLING && written - synced < enough(synced, foreseen(meter, files)) {
                    thread::park_timeout(PAUSE);
                    continue;
                }
                if now != OVER && written - synced >= WORTH {
                    dir.sync_file_system()?;
                }
                if now != FILLING {
                    return Ok::<_, dir::Error>(());
                }
                synced = written;
            }
        });
        // The last sync is enough where there is no thread to be had.
        let Ok(syncing) = syncing else { return work(&|| ()) };
        let worked = work(&|| {
            stage.store(COMPLETE, Ordering::Release);
            syncing.thread().unpark();
        });
        let _ = stage.compare_exchange(FILLING, OVER, Ordering::AcqRel, Ordering::Acquire);
        syncing.thread().unpark();
        let synced = syncing.join().map_err(|_| anyhow!("the thread that syncs is gone"))?;
        let worked = worked?;
        synced.context("make the tree durable")?;
        Ok(worked)
    })
}

/// How many bytes there will be, as far as the files tell that are there.
fn foreseen(meter: &Meter, files: Option<u64>) -> Option<u64> {
    meter.written().checked_mul(files?)?.checked_div(meter.files())
}

fn enough(synced: u64, total: Option<u64>) -> u64 {
    let half_of_the_rest = total.map_or(u64::MAX, |total| (total.saturating_sub(synced) / 2).max(LEAST));
    (FIRST + synced / 2).min(MOST).min(if synced == 0 { u64::MAX } else { half_of_the_rest })
}
