//! Whoever reads through the link while it is switched never sees an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stories::{Shop, skip};

/// Switches to and fro 500 times while a reader opens a file through the link. Returns how often it was read.
fn read_during_500_switches() -> u64 {
    let shop = Shop::in_memory();
    let a = shop.deploy_well("v1");
    let b = shop.deploy_well("v2");
    let file = shop.root().join("current/version");
    let done = AtomicBool::new(false);
    let (reads, run) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let version = std::fs::read_to_string(&file).expect("read through the link");
                assert!(version == "v1" || version == "v2", "read {version:?}");
                reads += 1;
            }
            reads
        });
        let switch = |id: &str| format!("release-switch -q --root $ROOT --to {id} >/dev/null || exit");
        let script = format!("i=0; while [ $i -lt 250 ]; do i=$((i+1)); {}; {}; done", switch(&a), switch(&b));
        let run = shop.pipe(script).deadline(Duration::from_secs(200)).run();
        done.store(true, Ordering::Relaxed);
        (reader.join().expect("the reader saw no error"), run)
    });
    run.exits(0);
    let switched = shop.history().iter().filter(|line| line["kind"] == "done").count();
    assert!(switched >= 500, "{switched} switches\n{run}");
    reads
}

// Four histories of 500, because a history is read whole at every switch.
#[test]
fn a_reader_during_2000_switches_sees_no_error() {
    let begun = Instant::now();
    let reads: u64 = (0..4).map(|_| read_during_500_switches()).sum();
    skip::measured(&format!("{reads} reads through the link during 2,000 switches in {:?}", begun.elapsed()));
}
