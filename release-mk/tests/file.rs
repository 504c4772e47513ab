//! A single file becomes a release that holds it under the name it was given by.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use site::Site;

#[test]
fn a_file_keeps_its_mode_time_and_holes_and_the_name_it_was_given_by() {
    let site = Site::new();
    let jar = site.write("app-1.2.jar", "jar");
    let file = std::fs::File::options().write(true).open(&jar).unwrap();
    file.set_len(40 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 20 << 20).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o750)).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789)).unwrap();
    symlink("app-1.2.jar", site.path("app.jar")).unwrap();
    let run = site.mk(&site.path("app.jar"), &["--name", "v1"]).expect(0);
    assert_eq!(
        (&run.record["release"]["source"]["kind"], &run.record["release"]["files"]),
        (&"file".into(), &1.into())
    );
    assert!(run.stderr.contains("v1 is made: 1 file, "), "{}", run.stderr);
    let there = site.path("root/releases/v1/app.jar");
    let stat = std::fs::symlink_metadata(&there).unwrap();
    assert!(stat.is_file() && stat.blocks() * 512 < 1 << 20, "the holes were filled");
    assert_eq!((stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec()), (0o750, 1_000_000_000, 123_456_789));
    assert_eq!(std::fs::read(&there).unwrap(), std::fs::read(&jar).unwrap());
    site.sha256sum("v1");
}

#[test]
fn a_file_is_held_against_its_digest_and_its_size_and_is_known_again() {
    let site = Site::new();
    let jar = site.write("app.jar", "jar");
    assert_eq!(site.mk(&jar, &["--sha256", &"0".repeat(64)]).expect(77).code(), "archive.sha256");
    assert_eq!(site.mk(&jar, &["--max-bytes", "2"]).expect(1).code(), "mk.limit");
    assert_eq!(site.state(), [vec![], vec![], Vec::<String>::new()]);
    let sum = Command::new("sha256sum").arg(&jar).output().unwrap();
    let sum = format!("sha256:{}", &String::from_utf8_lossy(&sum.stdout)[..64]);
    site.mk(&jar, &["--sha256", &sum, "--name", "v1"]).expect(0);
    symlink("releases/v1", site.path("root/current")).unwrap();
    let again = |path| site.mk(path, &["--if-changed"]).expect(0).record["changed"].clone();
    assert_eq!(again(&jar), false);
    let renamed = site.write("other.jar", "jar");
    assert_eq!(again(&renamed), true, "the release would hold it under another name");
    // A directory and a repository have no digest that anybody could have written down.
    site.write("source/f", "x");
    site.mk(&site.path("source"), &["--sha256", &sum]).expect(2);
}

#[test]
fn a_signal_is_obeyed_while_a_hole_and_while_a_whole_file_is_hashed() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let site = Site::new();
    site.mk(&site.write("seed", "x"), &["--name", "seed"]).expect(0);
    let large = std::fs::File::create(site.path("large")).unwrap();
    // Hashing it takes minutes.
    large.set_len(200 << 30).unwrap();
    for option in ["--name=v1", "--if-changed"] {
        let mut command = site.command();
        command.arg("--from").arg(site.path("large")).args([option, "--max-bytes=1T"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(700));
        assert!(child.try_wait().unwrap().is_none(), "{option}: it has ended already");
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let told = std::time::Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{option}");
        assert!(told.elapsed() < Duration::from_secs(20), "{option}: {:?}", told.elapsed());
        assert_eq!(site.state(), [vec!["seed".to_owned()], vec![], vec![]], "{option}");
    }
}
