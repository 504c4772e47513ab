#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a root is made by hand")]
//! Collections by the real binary, in roots made by hand.

mod by_hand;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use by_hand::{Answer, Root, Service, ago, is_root, names, root};
use serde_json::{Value, json};

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
fn many_go_in_several_holdings_of_the_lock_and_are_told_as_one_collection() {
    let root = root(90);
    let capped = root.gc(&["--keep", "3", "--max-delete", "40"]);
    assert_eq!((capped.status, capped.removed().len(), root.releases().len()), (0, 40, 50), "{capped:?}");
    assert_eq!((capped.removed()[0], capped.removed()[39]), ("r1", "r40"), "the oldest");
    assert_eq!(capped.rules("r41"), ["capped"]);
    assert_eq!(capped.stage()["counts"]["kept"], 50);
    let rest = root.gc(&["--keep", "3"]);
    assert_eq!((rest.status, rest.removed().len(), root.releases().len()), (0, 47, 3), "{rest:?}");
    assert_eq!(names(&root.state("manifests")).len(), 3);
}

#[test]
fn a_full_disk_takes_young_ones_but_never_the_last_good_ones() {
    let root = root(50);
    let young = root.gc(&["--keep", "2", "--keep-days", "400"]);
    assert_eq!((young.status, young.removed().len()), (0, 0), "{young:?}");
    let full = root.gc(&["--keep", "2", "--keep-days", "400", "--min-free", "100%"]);
    assert_eq!((full.status, root.releases()), (0, vec!["r49".to_owned(), "r50".to_owned()]), "{full:?}");
    assert_eq!(full.record["warnings"][0]["code"], "gc.min_free");
    assert!(full.stage()["free_bytes"].as_u64().unwrap() > 0);
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
        skip::note("other users and mount namespaces need root");
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
        return skip::note("immutable files need root and a file system that has them");
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
        return skip::note("needs root");
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
fn a_planned_first_deploy_has_nothing_to_collect() {
    let root = root(1);
    std::fs::remove_dir_all(&root.path).unwrap();
    let planned = root.gc_in_a_pipe(&["--dry-run"]);
    assert_eq!((planned.status, planned.stage()["changed"].as_bool()), (0, Some(false)), "{planned:?}");
    assert_eq!(root.gc(&["--dry-run"]).record["error"]["code"], "root.missing");
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
