//! How long a release build takes to start, beside `/bin/true`. A measurement: it is printed, not judged.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stories::{binaries, skip};

#[test]
fn a_release_build_starts_about_as_fast_as_true() {
    let builds = ["x86_64-unknown-linux-musl/release/tools", "x86_64-unknown-linux-gnu/release/tools"];
    let mut switches = builds.iter().map(|build| binaries::target().join(build).join("release-switch"));
    let Some(release) = switches.find(|switch| switch.exists()) else {
        skip!("no release build here (make release); nothing is measured");
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..60 {
        let (a, b) = (started(&release, "--version"), started(Path::new("/bin/true"), "--ignored"));
        if round > 0 {
            ours.push(a);
            theirs.push(b);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    skip::measured(&format!("release-switch --version starts in {ours:?}, /bin/true in {theirs:?}: {ratio:.2} of it"));
}

fn started(program: &Path, argument: &str) -> Duration {
    let begun = Instant::now();
    let status =
        Command::new(program).arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("run the program").success(), "{} fails", program.display());
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
