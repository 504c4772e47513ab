//! Pid files: a number in a file that may be stale, garbage or by now another program's.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use dir::Owner;
use record::{Exit, Failure};

use crate::instance::Instance;
use crate::managers::{Identity, refused};
use crate::template::Template;

/// What a pid file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PidFile {
    /// The process it names runs.
    Running(Identity),
    /// It is not there, or names a process that has ended.
    Nobody,
}

/// How much later than its pid file a process may have started and still be its: the boot time that
/// the kernel tells is whole seconds, and file times come from a clock of ticks.
const SLACK_SECONDS: i64 = 2;

/// Refuses names that would have one pid file: with `{i}` in its path `shop@1` and `web@1` do.
pub(crate) fn are_distinct(template: &Template, instances: &[Instance]) -> Result<()> {
    let mut owners = HashMap::new();
    for instance in instances {
        let path = template.fill(Some(instance)).map_err(anyhow::Error::msg)?;
        if let Some(other) = owners.insert(path.clone(), instance) {
            bail!(
                refused(format!("{other} and {instance} have the same pid file {path}"))
                    .hint("put {instance} into --pidfile")
            );
        }
    }
    Ok(())
}

/// The refusal of an instance that looks stopped only because there is no pid file to find it by: it was
/// started and may well run, so that nothing can be said of its release. `None` where the file is there.
pub(crate) fn missing(path: &Path, instance: &Instance) -> Option<Failure> {
    let is_missing = path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    is_missing.then(|| {
        refused(format!("{instance} was started, and there is no pid file {}", path.display()))
            .hint("it may run all the same: --pidfile names the file that the instance itself writes")
    })
}

/// Reads a pid file. Refused: what is no regular file or holds no number above 1, and one that names a
/// process younger than the file, which is another program's under a number that was used again.
pub(crate) fn read(path: &Path) -> Result<PidFile> {
    // Not blocking: a FIFO in its place would hold us for ever.
    let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(PidFile::Nobody),
        Err(e) => return Err(e).with_context(|| format!("read the pid file {}", path.display())),
    };
    let facts = file.metadata().with_context(|| format!("look at the pid file {}", path.display()))?;
    if !facts.is_file() {
        bail!(refused(format!("{} is no regular file, so no pid file", path.display())));
    }
    let Some(pid) = number(&file).with_context(|| format!("read the pid file {}", path.display()))? else {
        // A server that writes its file is between truncating and writing for an instant.
        if facts.len() == 0 {
            return Ok(PidFile::Nobody);
        }
        bail!(refused(format!("{} holds no process number", path.display())));
    };
    let Some(identity) = Identity::of(pid)? else { return Ok(PidFile::Nobody) };
    refuse_foreign(path, &facts, pid)?;
    if started_at(identity)?.is_some_and(|started| started > facts.mtime() + SLACK_SECONDS) {
        bail!(
            refused(format!(
                "{} is stale: process {pid} is younger than the file, so another program's",
                path.display()
            ))
            .hint("remove the file if the service is down")
        );
    }
    Ok(PidFile::Running(identity))
}

/// Refuses a file by which somebody else chooses the process: it must be root's or of the user the process belongs to,
/// and nobody else's to write.
fn refuse_foreign(path: &Path, facts: &Metadata, pid: u32) -> Result<()> {
    let owner = Owner { uid: facts.uid(), gid: facts.gid() };
    let by_all = facts.mode() & 0o002 != 0;
    if by_all || (facts.mode() & 0o020 != 0 && owner.group_has_others()) {
        let who = if by_all { "everybody" } else { "its group, which has other members," };
        bail!(
            foreign(format!("{} may be written by {who}, so it may name anybody's process", path.display()))
                .hint(format!("chmod go-w {}", path.display()))
        );
    }
    if owner.uid != 0 && !users_of(pid)?.contains(&owner.uid) {
        bail!(foreign(format!("{} belongs to {}, and process {pid} does not", path.display(), owner.user_name())));
    }
    Ok(())
}

fn foreign(message: String) -> Failure {
    Failure::new(Exit::Unsafe, "restart.pidfile", message)
}

/// The real, effective and saved users of a process; none when it has ended.
fn users_of(pid: u32) -> Result<Vec<u32>> {
    let status = match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("ask whose process {pid} is")),
    };
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    Ok(line.split_ascii_whitespace().take(3).filter_map(|uid| uid.parse().ok()).collect())
}

fn number(file: &File) -> std::io::Result<Option<u32>> {
    let mut text = Vec::new();
    file.take(64).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let first = text.split_ascii_whitespace().next().unwrap_or("");
    let plain = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
    Ok(first.parse().ok().filter(|pid| plain && *pid > 1 && *pid <= i32::MAX as u32))
}

/// When a process started, in seconds of the wall clock.
fn started_at(identity: Identity) -> Result<Option<i64>> {
    let stat = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100).max(1);
    let seconds = i64::try_from(identity.start_ticks).unwrap_or(i64::MAX) / ticks;
    Ok(boot.map(|boot| boot.saturating_add(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        File::create(&path).and_then(|mut file| std::io::Write::write_all(&mut file, content)).unwrap();
        (dir, path)
    }

    #[test]
    fn garbage_is_refused_and_absence_is_nobody() {
        for garbage in [&b"hello"[..], b"-1", b"+5", b"0", b"1", b"99999999999", b"12x", b"\xff", b" \n"] {
            let (_dir, path) = written(garbage);
            assert!(read(&path).is_err(), "{garbage:?}");
        }
        let (dir, path) = written(b"");
        assert_eq!(read(&path).unwrap(), PidFile::Nobody);
        assert_eq!(read(&dir.path().join("none")).unwrap(), PidFile::Nobody);
        assert!(read(dir.path()).is_err(), "a directory");
    }

    #[test]
    fn only_a_file_that_is_not_there_is_missing() {
        let (dir, path) = written(b"2147483646");
        let shop = "shop@1".parse().unwrap();
        assert!(missing(&path, &shop).is_none());
        let failure = missing(&dir.path().join("typo.pid"), &shop).unwrap();
        assert_eq!(failure.exit(), record::Exit::Failed);
        assert!(failure.to_string().contains("typo.pid"), "{failure}");
    }

    #[test]
    fn no_two_instances_have_one_pid_file() {
        let names = ["shop@1", "web@1"].map(|name| name.parse().unwrap());
        assert!(are_distinct(&"/run/{i}.pid".parse().unwrap(), &names).is_err());
        assert!(are_distinct(&"/run/{instance}.pid".parse().unwrap(), &names).is_ok());
    }

    #[test]
    fn a_number_that_was_used_again_is_refused() {
        let me = std::process::id();
        let (_dir, path) = written(format!("{me}\n").as_bytes());
        assert!(matches!(read(&path).unwrap(), PidFile::Running(identity) if identity.pid == me));
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn a_file_that_others_write_does_not_choose_the_process() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, path) = written(format!("{}\n", std::process::id()).as_bytes());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o646)).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.downcast_ref::<Failure>().unwrap().exit(), Exit::Unsafe, "{error}");
        let users = users_of(std::process::id()).unwrap();
        assert_eq!((users.len(), users[1]), (3, nix::unistd::geteuid().as_raw()));
    }

    #[test]
    fn a_process_that_has_ended_is_nobody() {
        let (_dir, path) = written(b"2147483646");
        assert_eq!(read(&path).unwrap(), PidFile::Nobody);
    }
}
