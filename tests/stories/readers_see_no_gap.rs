//! Whoever reads through the link while it is switched never sees an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stories::{Shop, skip};

#[test]
fn a_reader_during_2000_switches_sees_no_error() {
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
        let script = format!(
            "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); release-switch -q --root $ROOT --to {a} >/dev/null || exit 90; \
             release-switch -q --root $ROOT --to {b} >/dev/null || exit 91; done"
        );
        let run = shop.pipe(script).deadline(Duration::from_secs(300)).run();
        done.store(true, Ordering::Relaxed);
        (reader.join().expect("the reader saw no error"), run)
    });
    run.exits(0);
    let switched = shop.history().iter().filter(|line| line["kind"] == "done").count();
    assert!(switched >= 2000, "{switched} switches");
    skip::measured(&format!("{reads} reads during {switched} switches in {:?}", run.elapsed));
}
