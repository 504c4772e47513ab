//! `make demo` tells the truth: nothing fails, and where something fails it says so and ends with 1.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use stories::binaries;
use stories::running::until;

#[test]
fn the_demo_loses_no_request_and_leaves_no_process() {
    let folder = tempfile::tempdir().expect("make a folder");
    let output = demo(&binaries::workspace(), folder.path());
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("requests failed          0") && !said.contains("NOT OK"), "{said}");
    until("every process of the demo has ended", || processes_in(folder.path()).is_empty());
}

#[test]
fn a_demo_that_takes_no_instance_out_of_the_balancer_counts_what_fails_and_ends_with_1() {
    let folder = tempfile::tempdir().expect("make a folder");
    let copy = folder.path().join("copy");
    for file in ["scripts/demo", "demo/deploy", "demo/instance"] {
        fs::create_dir_all(copy.join(file).parent().expect("a file lies in a folder")).expect("make a folder");
        fs::copy(binaries::workspace().join(file), copy.join(file)).expect("copy a script");
    }
    let deploy = copy.join("demo/deploy");
    let whole = fs::read_to_string(&deploy).expect("read the deploy script");
    let without: String =
        whole.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("--before")).collect();
    assert_ne!(whole, without, "the script has a line to leave out");
    fs::write(&deploy, without).expect("write the deploy script");
    fs::set_permissions(&deploy, fs::Permissions::from_mode(0o755)).expect("make it executable");
    let output = demo(&copy, folder.path());
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("NOT OK  no request failed"), "{said}");
    until("every process of the demo has ended", || processes_in(folder.path()).is_empty());
}

fn demo(top: &Path, temporary: &Path) -> Output {
    let mut command = Command::new(top.join("scripts/demo"));
    command
        .env("DEMO_BINARIES", binaries::directory())
        .env("TMPDIR", temporary)
        .env_remove("FROM")
        .env("NO_COLOR", "1");
    command.output().expect("run the demo")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The processes that still stand in or serve from a folder beneath this one.
fn processes_in(folder: &Path) -> Vec<String> {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let entries = fs::read_dir("/proc").expect("list processes").flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|pid| of(pid)).collect()
}
