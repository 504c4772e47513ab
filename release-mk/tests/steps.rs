//! Build steps: their logs, how they fail, and how a build goes on.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
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
fn what_a_step_leaves_running_changes_no_release() {
    let site = Site::new();
    site.write("source/f", "x");
    let step = "b=(sleep 1; echo late >late; echo changed >f) >/dev/null 2>&1 & echo started";
    let run = site.mk(&site.path("source"), &["--name", "v1", "--step", step]).expect(0);
    assert!(run.stderr.contains("step b left processes behind, which were ended"), "{}", run.stderr);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    site.sha256sum("v1");
    assert!(!site.path("root/releases/v1/late").exists());
}

#[test]
fn a_signal_ends_the_whole_step_and_leaves_a_build_that_can_be_resumed() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGHUP, 129)] {
        is_ended_and_resumed(signal, status);
    }
}

fn is_ended_and_resumed(signal: Signal, status: i32) {
    let site = Site::new();
    let (child, group) = begun(&site);
    // Nobody else builds it meanwhile, nor goes on with it.
    for arguments in [["--name", "v1"], ["--resume", "v1"]] {
        assert_eq!(site.mk(&site.path("source"), &arguments).expect(75).code(), "mk.being_built", "{arguments:?}");
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
    let run = Run::of(&child.wait_with_output().unwrap()).expect(status);
    assert_eq!(run.code(), "interrupted");
    assert_eq!(alive(group), Vec::<String>::new(), "the step lives on");
    assert_eq!(site.state()[1].len(), 1);
    site.mk(&site.path("source"), &["--resume", "v1", "--step", "slow=true"]).expect(0);
}

#[test]
fn a_later_stage_that_is_gone_ends_the_step_too() {
    let site = Site::new();
    let (mut child, group) = begun(&site);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(alive(group), Vec::<String>::new(), "the step lives on");
    assert_eq!(site.state()[1].len(), 1, "the build can be resumed");
}

/// A build of `v1` whose step runs, and the process group of the step.
fn begun(site: &Site) -> (Child, i32) {
    site.write("source/f", "x");
    let mut command = site.command();
    command.arg("--from").arg(site.path("source")).args(["--name", "v1", "--step", "slow=echo $$; sleep 600 & wait"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let group: i32 = lines.find_map(|line| line.unwrap().parse().ok()).unwrap();
    (child, group)
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
fn a_step_runs_in_the_tree_with_what_it_is_told_and_hears_and_says_nothing_else() {
    let site = Site::new();
    site.write("source/f", "x");
    let step = "s=cat; pwd; ls >&2; echo $RELEASE_ID $RELEASE_ROOT $RELEASE_PATH; [ \"$RELEASE_STAGING\" = \"$PWD\" ]";
    let mut command = site.command();
    // A stream that nobody ends: a step that read it would wait for ever.
    let (reader, _writer) = std::io::pipe().unwrap();
    command.stdin(reader).arg("--from").arg(site.path("source")).args(["--name", "v1", "--step", step]);
    let run = Run::of(&command.output().unwrap()).expect(0);
    let root = site.path("root").canonicalize().unwrap();
    let told = format!("v1 {} {}", root.display(), root.join("releases/v1").display());
    assert!(run.stderr.contains(&told) && run.stderr.contains("\nf\n"), "{}", run.stderr);
    let step = &run.record["stages"][0]["steps"][0];
    assert!(step["elapsed_ms"].is_u64() && step["exit"] == 0 && step["outcome"] == "done", "{step}");
    assert!(step.get("log").is_none(), "the log is gone with the build: {step}");
}

#[test]
fn what_a_step_leaves_must_be_what_a_release_can_hold() {
    let site = Site::new();
    site.write("source/f", "x");
    let build = |name: &str, step: &str, more: &[&str]| {
        site.mk(&site.path("source"), &[&["--name", name, "--step", step], more].concat())
    };
    assert_eq!(build("v1", "s=mkfifo queue", &[]).expect(1).code(), "mk.special");
    assert_eq!(build("v2", "s=true", &["--artifact", "*.jar"]).expect(1).code(), "mk.artifact");
    let run = build("v3", "s=exit 7", &[]).expect(1);
    assert_eq!(run.record["stages"][0]["steps"][0]["exit"], 7);
    build("v4", "s=true", &["--step", "s=false"]).expect(2);
    assert_eq!(site.state()[0], Vec::<String>::new());
    assert_eq!(site.state()[1].len(), 3, "what can be resumed is kept");
    let plan = |id: &str| site.mk(&site.path("source"), &["--resume", id, "--step", "s=rm queue", "--dry-run"]);
    assert_eq!(plan("v1").expect(0).record["release"]["id"], "v1");
    assert_eq!(plan("v9").expect(69).code(), "mk.no_build");
    // What filled the tree is not looked at again, so it must be the same; a resume that is refused takes nothing away.
    for other in [["--stamp", "STAMP"], ["--share", "log/"], ["--exclude", "g"]] {
        let run = site.mk(&site.path("source"), &[&["--resume", "v1", "--step", "s=rm queue"], &other[..]].concat());
        assert_eq!(run.expect(1).code(), "mk.other_options", "{other:?}");
    }
    site.write("other/f", "x");
    let run = site.mk(&site.path("other"), &["--resume", "v1", "--step", "s=rm queue"]).expect(1);
    assert_eq!(run.code(), "mk.other_options");
    // A tree whose files are the live release's by now takes no further step.
    let staging = site.path("root/.cutover/staging").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let build = staging.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("v1")).unwrap();
    std::fs::create_dir(build.join("links")).unwrap();
    let resume =
        |more: &[&str]| site.mk(&site.path("source"), &[&["--resume", "v1", "--step", "s=rm queue"], more].concat());
    assert_eq!(resume(&[]).expect(1).code(), "mk.other_options");
    std::fs::remove_dir(build.join("links")).unwrap();
    // The step is repaired, and the same build goes on.
    let resumed = site.mk(&site.path("source"), &["--resume", "v1", "--step", "s=rm queue"]).expect(0);
    assert_eq!(resumed.record["release"]["id"], "v1");
    site.mk(&site.path("source"), &["--resume", "v1", "--name", "v2"]).expect(2);
    // The name that it has already is one of "the other options as before".
    resume(&["--name", "v1"]).expect(0);
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

#[test]
fn a_step_that_leaves_nothing_makes_no_release() {
    let site = Site::new();
    site.write("source/a", "a");
    let build = |step: &str, more: &[&str]| site.mk(&site.path("source"), &[&["--step", step], more].concat());
    assert_eq!(build("s=rm a", &["--name", "v1"]).expect(1).code(), "mk.empty");
    assert_eq!(site.state()[0], Vec::<String>::new());
}
