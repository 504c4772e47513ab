#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a root is made by hand")]
//! Collections by the real binary, in roots made by hand.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use record::clock::rfc3339;
use serde_json::{Value, json};

/// Nothing may be taken for a day-old process that cannot be seen, as happens without uid 0.
const OLD: u64 = 30;

struct Root {
    _holder: tempfile::TempDir,
    path: PathBuf,
    lines: u64,
}

/// A root with `count` good releases `r1`, `r2`, …, a day between each, the newest one live for a day.
fn root(count: u64) -> Root {
    let holder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let path = holder.path().join("app");
    for part in ["releases", "shared"] {
        fs::create_dir_all(path.join(part)).unwrap();
    }
    for part in ["manifests", "tree", "pins", "staging", "trash"] {
        fs::create_dir_all(path.join(".cutover").join(part)).unwrap();
    }
    for lock in ["lock", "deploy"] {
        fs::write(path.join(".cutover").join(lock), "").unwrap();
        fs::set_permissions(path.join(".cutover").join(lock), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut root = Root { _holder: holder, path, lines: 0 };
    for seq in 1..=count {
        let days = OLD + count - seq;
        root.make(seq, days);
        root.activate(seq, days);
    }
    root
}

fn ago(days: u64) -> String {
    #[expect(clippy::disallowed_methods, reason = "dates are counted from now")]
    let now = SystemTime::now();
    rfc3339(now - Duration::from_secs(days * 86_400))
}

impl Root {
    fn state(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(".cutover").join(path)
    }

    fn release(&self, seq: u64) -> PathBuf {
        self.path.join(format!("releases/r{seq}"))
    }

    fn make(&self, seq: u64, days: u64) {
        fs::create_dir_all(self.release(seq).join("sub")).unwrap();
        fs::write(self.release(seq).join("sub/file"), vec![1; 5000]).unwrap();
        let manifest = json!({"id": format!("r{seq}"), "seq": seq, "digest": "sha256:0", "files": 1, "bytes": 5000,
            "created_at": ago(days)});
        fs::write(self.state(format!("manifests/r{seq}.json")), manifest.to_string()).unwrap();
        fs::write(self.state(format!("tree/r{seq}")), "").unwrap();
    }

    fn activate(&mut self, seq: u64, days: u64) {
        let from = (seq > 1).then(|| format!("r{}", seq - 1));
        for kind in ["intent", "done", "good"] {
            self.lines += 1;
            let mut line = json!({"seq": self.lines, "at": ago(days), "pipe": "p", "link": "current", "kind": kind,
                "to": format!("r{seq}"), "to_seq": seq, "target": format!("releases/r{seq}")});
            if let (Some(from), "intent" | "done") = (&from, kind) {
                line["from"] = json!(from);
            }
            let history = fs::OpenOptions::new().append(true).create(true).open(self.state("history.jsonl"));
            writeln!(history.unwrap(), "{line}").unwrap();
        }
        let _ = fs::remove_file(self.path.join("current"));
        symlink(format!("releases/r{seq}"), self.path.join("current")).unwrap();
    }

    fn gc(&self, arguments: &[&str]) -> Answer {
        let mut command = self.command(arguments);
        Answer::of(command.arg("-n").stdin(Stdio::null()).output().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_release-gc"));
        command.arg("--root").arg(&self.path).args(arguments);
        for name in ["CUTOVER_ROOT", "CUTOVER_LINK", "CUTOVER_DEPLOY_FD"] {
            command.env_remove(name);
        }
        command
    }

    fn gc_in_a_pipe(&self, arguments: &[&str]) -> Answer {
        let record = json!({"schema": "cutover.record/1", "ok": true, "changed": true, "pipe": "p", "host": record::host::host_name(),
            "root": self.path, "stages": []});
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{record}").unwrap();
        Answer::of(child.wait_with_output().unwrap())
    }

    fn releases(&self) -> Vec<String> {
        names(&self.path.join("releases"))
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[derive(Debug)]
struct Answer {
    status: i32,
    record: Value,
    stderr: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        let record = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Self {
            status: output.status.code().unwrap_or(-1),
            record,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn stage(&self) -> &Value {
        let stages = self.record["stages"].as_array().unwrap_or_else(|| panic!("no record: {self:?}"));
        stages.last().unwrap_or_else(|| panic!("no stage: {self:?}"))
    }

    fn removed(&self) -> Vec<&str> {
        self.stage()["removed"].as_array().into_iter().flatten().filter_map(|r| r["id"].as_str()).collect()
    }

    fn rules(&self, id: &str) -> Vec<&str> {
        let kept = self.stage()["kept"].as_array().into_iter().flatten().find(|kept| kept["id"] == id);
        let reasons = kept.and_then(|kept| kept["reasons"].as_array());
        reasons.into_iter().flatten().filter_map(|reason| reason["rule"].as_str()).collect()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A process that says when it is ready and ends when it is dropped.
struct Service(Child);

impl Service {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_newest_good_ones_stay_and_every_trace_of_the_others_goes() {
    let root = root(8);
    let planned = root.gc(&["--keep", "3", "--dry-run"]);
    assert_eq!((planned.status, root.releases().len()), (0, 8), "{planned:?}");
    assert!(planned.stage()["changed"] == true && planned.stage()["plan"].as_array().unwrap().len() == 5);
    let answer = root.gc(&["--keep", "3"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(answer.removed(), planned.removed());
    assert_eq!(answer.removed(), ["r1", "r2", "r3", "r4", "r5"]);
    assert_eq!(root.releases(), ["r6", "r7", "r8"]);
    assert_eq!(answer.rules("r7"), ["previous", "good"]);
    assert!(answer.stage()["freed_bytes"].as_u64().unwrap() >= 25_000, "{answer:?}");
    for part in ["manifests", "tree", "trash"] {
        assert_eq!(names(&root.state(part)).len(), if part == "trash" { 0 } else { 3 }, "{part}");
    }
    let again = root.gc(&["--keep", "3"]);
    assert_eq!((again.status, again.stage()["changed"].as_bool()), (0, Some(false)), "{again:?}");
}

#[test]
fn pins_keep_also_when_they_do_not_read_and_strangers_are_left_alone() {
    let root = root(6);
    let pin = json!({"id": "r1", "until": "2999-01-01T00:00:00Z", "owner": "ann", "reason": "audit", "set_at": ago(1)});
    fs::write(root.state("pins/r1.json"), pin.to_string()).unwrap();
    fs::write(root.state("pins/r2.json"), "{torn").unwrap();
    fs::create_dir(root.path.join("releases/by-hand")).unwrap();
    symlink("/etc", root.path.join("releases/link")).unwrap();
    let answer = root.gc(&["--keep", "1"]);
    assert_eq!((answer.status, answer.removed()), (0, vec!["r3", "r4"]), "{answer:?}");
    assert_eq!((answer.rules("r1"), answer.rules("r2")), (vec!["pinned"], vec!["pinned"]));
    assert_eq!(root.releases(), ["by-hand", "link", "r1", "r2", "r5", "r6"]);
    assert_eq!(answer.stage()["counts"]["strangers"], 2);
}

#[test]
fn every_link_in_the_root_protects_what_it_names() {
    let root = root(6);
    symlink("releases/r1", root.path.join("blue")).unwrap();
    symlink(root.path.join("releases/r2/sub/file"), root.path.join("tool")).unwrap();
    let answer = root.gc(&["--keep", "1"]);
    assert_eq!((answer.status, answer.removed()), (0, vec!["r3", "r4"]), "{answer:?}");
}

#[test]
fn what_processes_use_stays_whoever_they_are() {
    let root = root(7);
    let in_sub = |seq: u64| {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready; read x"]).current_dir(root.release(seq).join("sub"));
        command
    };
    let file = root.release(2).join("sub/file");
    let open = format!("exec 5<{}; echo ready; read x", file.display());
    let mut services = vec![Service::start(&mut in_sub(1)), Service::start(Command::new("sh").args(["-c", &open]))];
    let mut used = vec!["r1", "r2"];
    if is_root() {
        services.push(Service::start(in_sub(3).uid(65534).gid(65534)));
        let script = format!(
            "M=$(mktemp -d) && mount -t tmpfs none $M && mkdir $M/app && mount --bind {} $M/app && cd $M/app && \
             echo ready && read x",
            root.release(4).join("sub").display()
        );
        services.push(Service::start(Command::new("unshare").args(["-m", "sh", "-c", &script])));
        used.extend(["r3", "r4"]);
    } else {
        eprintln!("SKIPPED: other users and mount namespaces need root");
    }
    let answer = root.gc(&["--keep", "1"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    for id in &used {
        assert_eq!(answer.rules(id), ["in_use"], "{id}");
    }
    drop(services);
    let answer = root.gc(&["--keep", "1"]);
    for id in used {
        assert!(answer.removed().contains(&id), "{id} stayed although its process has ended: {answer:?}");
    }
}

#[test]
fn a_killed_collection_is_resumed_and_debris_goes() {
    let root = root(2);
    fs::create_dir_all(root.state("trash/r0.0123456789abcdef/sub")).unwrap();
    fs::write(root.state("trash/r0.0123456789abcdef/sub/file"), vec![1; 100_000]).unwrap();
    fs::write(root.state("trash/not-ours"), "x").unwrap();
    fs::write(root.state("manifests/r9.json"), "{}").unwrap();
    fs::write(root.state("tree/r9"), "").unwrap();
    fs::write(root.state("pins/r9.json"), "{}").unwrap();
    fs::write(root.state(".run.json.0123456789abcdef"), "").unwrap();
    let answer = root.gc(&[]);
    assert_eq!((answer.status, answer.stage()["changed"].as_bool()), (0, Some(true)), "{answer:?}");
    assert!(answer.stage()["freed_bytes"].as_u64().unwrap() >= 100_000);
    assert_eq!(answer.stage()["counts"]["debris_removed"], 4);
    assert_eq!(names(&root.state("trash")), ["not-ours"]);
    assert_eq!(names(&root.state("manifests")), ["r1.json", "r2.json"]);
    assert!(!root.state(".run.json.0123456789abcdef").exists());
}

#[test]
fn failed_builds_go_but_the_newest_and_live_ones() {
    let root = root(1);
    let build = |seq: u64| {
        let directory = root.state(format!("staging/b{seq}.000000000000000{seq}"));
        fs::create_dir_all(directory.join("tree")).unwrap();
        let holder = json!({"pid": 1, "user": "u", "host": "h", "tool": "release-mk", "since": ago(1)});
        let build = json!({"id": format!("b{seq}"), "seq": seq, "pipe": "p", "builder": holder});
        fs::write(directory.join("build.json"), build.to_string()).unwrap();
        fs::write(directory.join("lock"), "").unwrap();
        directory
    };
    let (old, live, newest) = (build(2), build(3), build(4));
    let file = fs::File::options().read(true).write(true).open(live.join("lock")).unwrap();
    file.lock().unwrap();
    let answer = root.gc(&[]);
    assert_eq!((answer.status, answer.stage()["counts"]["builds_removed"].as_u64()), (0, Some(1)), "{answer:?}");
    assert_eq!((old.exists(), live.exists(), newest.exists()), (false, true, true));
    drop(file);
    root.gc(&["--keep-failed", "0"]);
    assert!(!live.exists() && !newest.exists());
}

#[test]
fn what_cannot_be_removed_fails_a_collection_alone_and_warns_in_a_pipe() {
    let root = root(4);
    let fixed = root.release(1).join("sub/file");
    let chattr = |flag: &str, path: &Path| Command::new("chattr").arg(flag).arg(path).output();
    if !chattr("+i", &fixed).is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED: immutable files need root and a file system that has them");
    }
    let answer = root.gc(&["--keep", "1"]);
    let left = answer.stage()["left"][0]["path"].as_str().unwrap_or_default().to_owned();
    assert_eq!((answer.status, answer.record["error"]["code"].as_str()), (1, Some("gc.left")), "{answer:?}");
    assert!(left.starts_with(".cutover/trash/r1.") && left.ends_with("/sub/file"), "{left}");
    assert_eq!(answer.stderr.lines().filter(|line| line.contains("could not be removed")).count(), 1);
    assert_eq!(answer.removed(), ["r1", "r2"], "the rest goes all the same");
    assert_eq!(root.releases(), ["r3", "r4"]);

    let in_pipe = root.gc_in_a_pipe(&["--keep", "1"]);
    assert_eq!((in_pipe.status, in_pipe.record["warnings"][0]["code"].as_str()), (0, Some("gc.left")), "{in_pipe:?}");
    assert_eq!(root.gc_in_a_pipe(&["--strict"]).status, 1);
    assert!(chattr("-i", &root.path.join(left)).unwrap().status.success());
    assert_eq!(root.gc(&["--keep", "1"]).status, 0);
    assert_eq!(names(&root.state("trash")), Vec::<String>::new());
}

#[test]
fn unclear_state_removes_nothing_and_says_so() {
    let assert_refused = |root: &Root, what: &str| {
        let before = root.releases();
        for arguments in [&["--keep", "1", "--dry-run"][..], &["--keep", "1"]] {
            let answer = root.gc(arguments);
            assert_eq!(
                (answer.status, answer.record["error"]["code"].as_str()),
                (1, Some("gc.unclear")),
                "{what}: {answer:?}"
            );
            assert_eq!(root.releases(), before, "{what}");
        }
    };
    let damaged = root(5);
    let history = fs::read_to_string(damaged.state("history.jsonl")).unwrap();
    fs::write(damaged.state("history.jsonl"), history.replacen("\"seq\":3,", "\"seq\":\"x\",", 1)).unwrap();
    assert_refused(&damaged, "a damaged line");

    let unreadable = root(5);
    fs::write(unreadable.state("manifests/r2.json"), "{").unwrap();
    assert_refused(&unreadable, "a manifest that does not read");

    let ahead = root(5);
    let text = fs::read_to_string(ahead.state("history.jsonl")).unwrap();
    let year: i32 = ago(0)[..4].parse().unwrap();
    for shift in [-10, 10] {
        let shifted = text.replace(&format!("\"at\":\"{year}"), &format!("\"at\":\"{}", year + shift));
        let shifted = shifted.replace(&format!("\"at\":\"{}", year - 1), &format!("\"at\":\"{}", year - 1 + shift));
        fs::write(ahead.state("history.jsonl"), shifted).unwrap();
        assert_refused(&ahead, "a clock that is ten years off");
    }
}

#[test]
fn a_lost_history_lets_nothing_go() {
    let root = root(8);
    fs::remove_file(root.state("history.jsonl")).unwrap();
    for _ in 0..2 {
        let answer = root.gc(&["--keep", "1"]);
        assert_eq!((answer.status, answer.removed().len()), (0, 0), "{answer:?}");
    }
}

#[test]
fn failed_and_held_records_pass_by_and_an_empty_one_is_refused() {
    let root = root(6);
    let with = |input: &str| {
        let mut child = root
            .command(&["--keep", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Answer::of(child.wait_with_output().unwrap())
    };
    let record = |rest: &str| {
        let (root, host) = (root.path.display(), record::host::host_name());
        format!(
            "{{\"schema\":\"cutover.record/1\",\"changed\":true,\"pipe\":\"p\",\"host\":\"{host}\",\"root\":\"{root}\",\"stages\":[],{rest}}}\n"
        )
    };
    let error =
        r#""ok":false,"error":{"tool":"svc-restart","code":"gate.no","message":"no","exit":3,"retryable":false}"#;
    assert_eq!(with(&record(error)).status, 3);
    assert_eq!(with(&record(r#""ok":true,"held":true"#)).status, 6);
    assert_eq!(with("").status, 66);
    assert_eq!(with("{}\n").status, 65);
    assert_eq!(root.releases().len(), 6);
}

#[test]
fn a_root_that_uid_0_collects_stays_its_owner_s() {
    if !is_root() {
        return eprintln!("SKIPPED: needs root");
    }
    let root = root(5);
    let nobody = "65534:65534";
    assert!(Command::new("chown").args(["-Rh", nobody]).arg(&root.path).status().unwrap().success());
    // Root's own directory in a release is what its owner may not remove.
    fs::create_dir(root.release(1).join("roots")).unwrap();
    fs::write(root.release(1).join("roots/file"), "").unwrap();
    let service = Service::start(Command::new("sh").args(["-c", "echo ready; read x"]).current_dir(root.release(2)));
    let answer = root.gc(&["--keep", "1"]);
    assert_eq!((answer.status, answer.removed()), (1, vec!["r1", "r3"]), "{answer:?}");
    assert_eq!(answer.rules("r2"), ["in_use"], "uid 0 sees root's process although it acts as the owner");
    assert_eq!(answer.stage()["unseen_processes"], 0);
    assert!(answer.stage()["left"][0]["path"].as_str().unwrap().ends_with("roots/file"), "{answer:?}");
    drop(service);
    let found = Command::new("find").arg(&root.path).args(["!", "-user", "65534", "-printf", "%P\n"]).output().unwrap();
    let not_the_owners = String::from_utf8(found.stdout).unwrap();
    assert!(not_the_owners.lines().all(|path| path.contains("/roots")), "{not_the_owners}");
    assert_eq!(fs::metadata(root.state("lock")).unwrap().uid(), 65534);
}

#[test]
fn a_wrong_command_line_ends_with_2_and_help_begins_with_examples() {
    let root = root(1);
    for wrong in [&["--keep", "-1"][..], &["--min-free", "lots"], &["--keep-dasy", "3"], &["extra"], &["--max-delete"]]
    {
        let answer = root.gc(wrong);
        assert_eq!((answer.status, &answer.record), (2, &Value::Null), "{wrong:?}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_release-gc")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.lines().nth(2) == Some("Examples:"), "{help}");
}
