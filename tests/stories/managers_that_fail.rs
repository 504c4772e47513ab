//! Managers that are absent, mute, hang or lie, and pid files that name nobody, somebody else or nothing: nothing else is
//! touched, nobody's release is blamed, and one line says why.

use std::os::unix::net::UnixListener;
use std::thread;

use stories::real::managed::Managed;
use stories::real::managers;
use stories::services::restart_of;
use stories::{Run, Shop, skip};

/// Status 1 with this code, nothing changed, nobody blamed, these words on stderr.
fn refused(run: &Run, code: &str, says: &str) {
    let record = run.exits(1).says(says).record();
    assert_eq!(record.code(), code, "{run}");
    assert_eq!(record["changed"], false, "{run}");
    assert_eq!(record["error"].get("blame"), None, "{run}");
}

/// A PATH with the tools and a shell, and no manager but what the story puts there.
fn bare_path(shop: &Shop) -> String {
    std::fs::create_dir_all(shop.path().join("bin")).expect("make a directory for programs");
    for program in ["sh", "sleep"] {
        let _ = std::os::unix::fs::symlink(format!("/bin/{program}"), shop.path().join("bin").join(program));
    }
    format!("{}/bin:{}", shop.path().display(), stories::binaries::directory().display())
}

#[test]
fn a_manager_that_is_not_there() {
    let shop = Shop::new();
    let path = bare_path(&shop);
    for (options, says) in [
        ("--via systemd shop@1", "systemctl was not found"),
        ("--via upstart shop", "initctl was not found"),
        ("--via compose shop", "docker-compose was not found"),
        ("--via supervisor --socket none shop", "none"),
        ("--via systemd --as nosudo shop@1", "was not found"),
    ] {
        let run = shop.pipe(format!("svc-restart -n {options}")).shell(&["/bin/dash", "-c"]).env("PATH", &path).run();
        refused(&run, "restart.manager", says);
    }
}

#[test]
fn a_manager_whose_socket_is_closed_or_speaks_something_else() {
    let shop = Shop::new();
    let closed = shop.path().join("closed");
    drop(UnixListener::bind(&closed).expect("make a socket"));
    let strange = shop.path().join("strange");
    let listener = UnixListener::bind(&strange).expect("make a socket");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"220 mail.example.org ESMTP\r\n");
        }
    });
    for (socket, says) in [("closed", "closed"), ("strange", "strange")] {
        let run = shop.pipe(format!("svc-restart -n --via supervisor --socket {socket} shop")).run();
        refused(&run, "restart.manager", says);
    }
}

#[test]
fn a_manager_that_never_answers() {
    let shop = Shop::new();
    let listener = UnixListener::bind(shop.path().join("mute")).expect("make a socket");
    let keep = thread::spawn(move || listener.incoming().flatten().take(1).collect::<Vec<_>>());
    let run = shop.pipe("svc-restart -n --via supervisor --socket mute shop --timeout 1s").run();
    refused(&run, "restart.timeout", "mute");
    drop(keep);
}

#[test]
fn a_question_that_hangs_is_given_up_in_time_and_leaves_nothing_behind() {
    let shop = Shop::new();
    let path = bare_path(&shop) + ":/bin:/usr/bin";
    for program in ["systemctl", "initctl", "docker-compose", "status"] {
        // A deaf one, too.
        shop.program(program, "echo $$ >>$HOME/hung; trap '' TERM; while :; do sleep 0.1; done");
    }
    // There is no newer spelling of compose.
    shop.program("docker", "exit 1");
    for (options, says) in [
        ("--via systemd shop@1", "systemctl show did not end within 1 s"),
        ("--via upstart shop", "initctl status did not end within 1 s"),
        ("--via compose shop", "compose config did not end within 1 s"),
        (
            "--via exec --command restart=true --command status=status shop@1",
            "status command of shop@1 did not end within 1 s",
        ),
    ] {
        let run = shop.pipe(format!("svc-restart -n {options} --timeout 1s")).env("PATH", &path).run();
        refused(&run, "restart.timeout", says);
        run.says("is it stuck?");
    }
    let hung = std::fs::read_to_string(shop.path().join("hung")).expect("read what hung");
    assert_eq!(hung.lines().count(), 4, "{hung}");
    for pid in hung.lines() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{pid} is left behind");
    }
}

#[test]
fn a_program_that_falls_over_and_one_that_is_not_there_under_a_real_supervisor() {
    let managed = match managers::supervisor(Shop::new()) {
        Ok(managed) => managed,
        Err(why) => skip!("{why}"),
    };
    let run = managed.pipe("manage -n flop").run();
    let record = run.exits(3).record();
    assert_eq!(record["error"]["blame"], "release", "{run}");
    // Supervisor says of it that it is started already, and its command-line tool exits with 0.
    let dir = managed.shop().path().display().to_string();
    let starting = format!(
        "supervisorctl -c {dir}/supervisord.conf start stumble >/dev/null & \
        until supervisorctl -c {dir}/supervisord.conf status stumble | grep -q BACKOFF; do :; done; kill $!; wait"
    );
    managed.pipe(&starting).run();
    let run = managed.pipe("manage -n stumble").run();
    let record = run.exits(3).record();
    assert_eq!((record.code(), &record["error"]["blame"]), ("restart.down", &"release".into()), "{run}");
    managed.pipe("manage -n --action stop stumble").run().exits(0);
    let run = managed.pipe("manage -n nobody").run();
    let record = run.exits(1).record();
    assert_eq!(record["error"].get("blame"), None, "{run}");
}

/// Three instances by their pid files alone.
fn by_pid_files() -> Managed {
    let managed = managers::exec(Shop::new());
    managed.source("v1");
    managed.deploy("v1").run().exits(0);
    managed
}

#[test]
fn a_pid_file_that_is_garbage_stale_or_of_another_program() {
    let managed = by_pid_files();
    let before = managed.look();
    let by_signal = "svc-restart -n --via signal --pidfile $SERVICES/{instance}.pid --signals TERM shop@2";
    let file = managed.shop().services().dir().join("shop@2.pid");
    let other = managed.shop().pipe("exec sleep 60").start();
    let cases = [
        ("garbage".to_owned(), "holds no process number"),
        ("-1".to_owned(), "holds no process number"),
        ("1".to_owned(), "holds no process number"),
        ("2147483646".to_owned(), "does not run, and a signal cannot start it"),
        (other.group().to_string(), "is stale"),
    ];
    for (text, says) in cases {
        std::fs::write(&file, &text).expect("write a pid file");
        // Older than any process of the story.
        managed.shop().pipe(format!("touch -d '10 years ago' {}", file.display())).run().exits(0);
        refused(&managed.pipe(by_signal).run(), "restart.manager", says);
    }
    std::fs::remove_file(&file).expect("remove the pid file");
    std::os::unix::fs::symlink("/dev/zero", &file).expect("link in place of the pid file");
    refused(&managed.pipe(by_signal).run(), "restart.manager", "no regular file");
    std::fs::remove_file(&file).expect("remove the link");
    std::fs::write(&file, before[1].pid.to_string()).expect("write the pid file");
    assert_eq!(managed.look(), before, "nobody was touched");
    if !skip::is_root() {
        skip!("only root can make a pid file of another user");
    }
    // Else somebody else would choose whom we signal.
    let file = file.display();
    for (theirs, ours) in [("chown nobody", "chown root"), ("chmod 666", "chmod 644")] {
        managed.shop().pipe(format!("{theirs} {file}")).run().exits(0);
        let run = managed.pipe(by_signal).run();
        assert_eq!(run.exits(77).record().code(), "restart.pidfile", "{theirs}\n{run}");
        assert_eq!(managed.look(), before, "{theirs}");
        managed.shop().pipe(format!("{ours} {file}")).run().exits(0);
    }
}

/// The command of the restart claims a new process, but the old one answers still: whose answer it is tells.
#[test]
fn an_old_process_that_keeps_the_port() {
    let shop = Shop::new();
    shop.source("v1");
    let first = restart_of("shop@1") + "release-mk --root $ROOT --from v1 | release-switch | restart";
    shop.pipe(first).run().exits(0);
    shop.source("v2");
    let script = "release-mk --root $ROOT --from v2 | release-switch | svc-restart --via exec shop@1 \
         --command restart='sleep 20 >/dev/null 2>&1 & echo $! >fresh.pid' --pidfile fresh.pid --stable 0s \
         --gate 'svc-health http://127.0.0.1:${PORTS}1/ --wait 300ms --expect-release' | release-switch --undo";
    let run = shop.pipe(script).run();
    let record = run.exits(3).record();
    assert!(run.stderr.contains("answers, and runs from release"), "{run}");
    assert!(shop.is_bad(record.id()), "{run}");
    assert_eq!(shop.services().version(1).as_deref(), Some("v1"), "{run}");
}

#[test]
fn names_with_shell_characters_are_refused_under_every_manager() {
    let shop = Shop::new();
    let managers = [
        "--via systemd",
        "--via supervisor",
        "--via upstart",
        "--via upstart --instance-key N",
        "--via compose",
        "--via signal --pidfile {i}.pid --signals HUP",
        "--via exec --command restart='touch {instance}'",
    ];
    for via in managers {
        for name in [
            "a;touch x",
            "$(touch x)",
            "`touch x`",
            "a b",
            "a|b",
            "a&b",
            "a>b",
            "a\nb",
            "a'b",
            "a\"b",
            "-a",
            "../a",
            "a/b",
            "a*",
            "a\\b",
            "a\u{202e}b",
            "",
        ] {
            let run = shop.pipe(format!("svc-restart -n {via} \"$NAME\" </dev/null")).env("NAME", name).run();
            run.exits(2).prints_nothing();
            assert!(!run.stderr.contains('\u{202e}'), "{run}");
        }
    }
    for wrong in ["--via upstart --instance-key 'N;x'", "--via compose --project '$(x)'", "--via systemd --as 'a;b'"] {
        shop.pipe(format!("svc-restart -n {wrong} shop")).run().exits(2).prints_nothing();
    }
    assert!(!shop.path().join("x").exists());
}

#[test]
fn names_with_shell_characters_in_an_edited_record_are_refused() {
    let shop = Shop::new();
    shop.deploy_well("v1");
    let acting =
        "svc-restart --root $ROOT --via exec --command restart='touch {instance}' --command start='touch {instance}'";
    let held = shop.pipe(format!("{acting} -n a b --hold")).run().exits(6).record().json().clone();
    let failed = shop.pipe(format!("{acting} -n a b --gate 'exit 3'")).run().exits(3).record().json().clone();
    let edited = |record: &serde_json::Value, at: usize| {
        let mut record = record.clone();
        record["stages"][0]["instances"][at]["name"] = "$(touch x)".into();
        record.to_string() + "\n"
    };
    shop.write("held.json", &edited(&held, 1));
    // The held one is the last pipe again, as far as run.json tells.
    std::fs::write(shop.root().join(".cutover/run.json"), edited(&held, 1)).expect("write run.json");
    let promoted = shop.pipe(format!("{acting} --promote held.json")).run();
    assert_eq!(promoted.exits(65).record().code(), "input.instance", "{promoted}");
    let undone = shop.pipe(format!("{acting} --undo")).stdin(edited(&failed, 0)).run();
    assert_eq!(undone.exits(5).record().code(), "input.instance", "{undone}");
    assert!(!shop.path().join("x").exists());
}

/// Nobody else is this user, so the limit counts the tool's own threads and commands.
const ALONE: u32 = 54_321;

#[test]
fn where_no_more_threads_are_to_be_had_every_instance_is_answered_for() {
    if !skip::is_root() || !skip::has("setpriv") || !skip::has("prlimit") {
        skip!("a limit for one user needs root, setpriv and prlimit");
    }
    let shop = Shop::new();
    let path = format!("{}:/usr/bin:/bin", shop.binaries_for_all().display());
    let restart = "exec svc-restart --via exec --batch 3 --parallel --command restart=true --command status=true a b c";
    let mut done = Vec::new();
    for limit in 3..=12 {
        let words = format!("setpriv --reuid {ALONE} --regid {ALONE} --clear-groups prlimit --nproc={limit}");
        let run = shop.pipe(restart).env("PATH", &path).under(words.split(' ')).run();
        let counts = &run.exits_one_of(&[0, 1]).record()["stages"][0]["counts"];
        let [ours, failed, untouched] = ["done", "failed", "untouched"].map(|what| counts[what].as_u64().unwrap_or(9));
        assert_eq!(ours + failed + untouched, 3, "{limit}: {run}");
        done.push(ours);
    }
    assert!(done[0] < 3 && done.last() == Some(&3), "{done:?}");
}
