//! Build steps: their logs, how they fail, and how a build goes on.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use site::{Run, Site};

#[test]
fn a_failed_build_goes_on_with_its_first_unfinished_step() {
    let site = Site::new();
    site.write("source/f", "x");
    let steps = [
        "--step",
        "build=echo once >> $RELEASE_ROOT/built; echo token-4711; mkdir out; cp f out/app",
        "--step",
        "test=test -e $RELEASE_ROOT/ready",
        "--artifact",
        "out/app",
    ];
    let run = site.mk(&site.path("source"), &[&["--name", "v1"], &steps[..]].concat()).expect(1);
    assert_eq!(run.code(), "mk.step");
    let stage = &run.record["stages"][0];
    assert_eq!((&stage["steps"][0]["outcome"], &stage["steps"][1]["outcome"]), (&"done".into(), &"failed".into()));
    assert!(run.record["error"]["hint"].as_str().unwrap().contains("--resume v1"));
    assert!(std::path::Path::new(stage["steps"][1]["log"].as_str().unwrap()).exists());
    assert!(!run.record.to_string().contains("token-4711"), "a step's output got into the record");
    assert_eq!(site.state()[0], Vec::<String>::new());

    std::fs::write(site.path("root/ready"), "").unwrap();
    let run = site.mk(&site.path("source"), &[&["--resume", "v1"], &steps[..]].concat()).expect(0);
    assert_eq!(run.record["stages"][0]["steps"][0]["outcome"], "skipped");
    assert_eq!(std::fs::read_to_string(site.path("root/built")).unwrap(), "once\n");
    assert!(site.path("root/releases/v1/out/app").exists());
    assert!(!site.path("root/releases/v1/f").exists(), "only the artifact is kept");
    site.sha256sum("v1");
    assert_eq!(site.state(), [vec!["v1".to_owned()], vec![], vec![]]);

    let again = site.mk(&site.path("source"), &[&["--resume", "v1"], &steps[..]].concat()).expect(0);
    assert_eq!(again.record["changed"], false);
    assert_eq!(site.mk(&site.path("source"), &["--resume", "v9"]).expect(69).code(), "mk.no_build");
}

#[test]
fn a_signal_ends_the_whole_step_and_leaves_a_build_that_can_be_resumed() {
    let site = Site::new();
    site.write("source/f", "x");
    let mut command = site.command();
    command.arg("--from").arg(site.path("source")).args(["--name", "v1", "--step", "slow=echo $$; sleep 600 & wait"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let group: i32 = lines.find_map(|line| line.unwrap().parse().ok()).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let run = Run::of(&child.wait_with_output().unwrap()).expect(143);
    assert_eq!(run.code(), "interrupted");
    assert_eq!(alive(group), Vec::<String>::new(), "the step lives on");
    assert_eq!(site.state()[1].len(), 1);
    site.mk(&site.path("source"), &["--resume", "v1", "--step", "slow=true"]).expect(0);
}

/// The members of a process group that have not ended; one that nobody has reaped yet has.
fn alive(group: i32) -> Vec<String> {
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("stat")).ok());
    stats
        .filter(|stat| {
            let mut words = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
            let (state, group_of) = (words.next(), words.nth(1));
            state != Some("Z") && group_of == Some(group.to_string().as_str())
        })
        .collect()
}

#[test]
fn nothing_is_built_of_what_is_live_already() {
    let site = Site::new();
    site.write("source/f", "x");
    let build = |name: &str, more: &[&str]| {
        site.mk(&site.path("source"), &[&["--if-changed", "--name", name], more].concat()).expect(0)
    };
    assert_eq!(build("v1", &[]).record["changed"], true);
    std::os::unix::fs::symlink("releases/v1", site.path("root/current")).unwrap();
    let settled = build("v2", &[]);
    assert_eq!((&settled.record["changed"], &settled.record["release"]["id"]), (&false.into(), &"v1".into()));
    assert_eq!(build("v3", &["--exclude", "nothing"]).record["changed"], true);
    assert_eq!(build("v4", &["--force"]).record["changed"], true);
    site.write("source/f", "y");
    assert_eq!(build("v5", &[]).record["changed"], true);
}
