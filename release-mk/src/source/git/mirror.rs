//! The mirror of a repository: fetched incrementally, under a lock of its own.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Result, bail};
use dir::{Dir, Kind};
use process::command::{Ended, Outcome, Spec};
use record::{Exit, Failure, Pipe};
use sha2::{Digest, Sha256};
use store::listing::hex;

use super::reference::{told_without_secrets, without_secrets};
use crate::watch;

/// Seconds after which a lock in a mirror is nobody's.
const STALE: u64 = 60;
/// What git prints is kept up to here.
const OUTPUT: usize = 64 << 10;
/// So many lines before git's own verdict are told with it,
const CAUSES: usize = 2;
/// so many of its last ones are kept for the record,
const DETAIL: usize = 12;
/// and so many characters of each.
const LINE: usize = 300;

/// One commit in a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The bare repository that has it.
    pub(super) mirror: PathBuf,
    /// Its full id.
    pub(crate) revision: String,
    /// When it was committed, in seconds since 1970: the time of every file of the release.
    pub(super) at: i64,
}

/// Brings the mirror up to date and resolves the reference to exactly one commit.
pub(super) fn fetch(address: &str, reference: &str, state: &Dir, pipe: &Pipe) -> Result<Commit> {
    let (mirrors, _) = state.ensure_dir("mirrors", 0o700)?;
    let name = hex(&Sha256::digest(address))[..32].to_owned();
    let Ok(_lock) = mirrors.lock_file(format!("{name}.lock"), 0o600, pipe.wait())? else {
        bail!(
            Failure::new(
                Exit::Busy,
                "mk.mirror_busy",
                format!("another build fetches from {}", without_secrets(address))
            )
            .hint("wait for it, or longer with --lock-wait")
            .retryable()
        );
    };
    let mirror = mirrors.path().join(format!("{name}.git"));
    let git = |arguments: &[&str]| run(&mirror, address, arguments, pipe);
    remove_stale_locks(&mirrors, &name, pipe)?;
    if !is_whole(&mirrors, &name)? {
        // Also where a kill left one that is none: what is there already is kept.
        git(&["init", "--quiet", "--bare", "--template="])?;
    }
    let found = if is_full_id(reference) { resolve(&mirror, address, reference, pipe)? } else { None };
    let (revision, at) = match found {
        // A full id means the same for ever.
        Some(found) => found,
        None => {
            let mut refspecs = vec!["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
            if reference == "HEAD" {
                refspecs.push("+HEAD:refs/cutover/HEAD");
            }
            let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--prune", "--force", "--no-write-fetch-head"];
            arguments.extend(["--no-recurse-submodules", "--no-auto-maintenance", "--end-of-options", address]);
            arguments.extend(refspecs);
            git(&arguments)?;
            tidy(&mirror, address, pipe)?;
            let wanted = if reference == "HEAD" { "refs/cutover/HEAD" } else { reference };
            match resolve(&mirror, address, wanted, pipe)? {
                Some(found) => found,
                None => bail!(
                    Failure::new(
                        Exit::Failed,
                        "mk.reference",
                        format!("{} has no commit '{reference}'", without_secrets(address))
                    )
                    .hint("--ref takes a branch, a tag or the id of a commit that one of them contains")
                ),
            }
        }
    };
    Ok(Commit { mirror, revision, at })
}

/// Lets git pack the mirror where that is due by its own rules, or every deploy would leave it a little slower. A mirror that
/// cannot be packed is only slow.
fn tidy(mirror: &Path, address: &str, pipe: &Pipe) -> Result<()> {
    let ended = start(mirror, &["gc", "--auto", "--quiet"], pipe)?;
    if ended.outcome == Outcome::Interrupted { Err(failed(address, "gc", &ended, pipe)) } else { Ok(()) }
}

/// Whether git would take it for a repository; it makes these last.
fn is_whole(mirrors: &Dir, name: &str) -> Result<bool> {
    let Some(mirror) = mirrors.open_dir_if_there(format!("{name}.git"))? else { return Ok(false) };
    let mut is_whole = true;
    for part in ["HEAD", "config", "objects", "refs"] {
        is_whole &= mirror.stat_if_there(part)?.is_some();
    }
    Ok(is_whole)
}

/// Removes the locks of a git that was killed, or lost its power: git itself never does, and would fail for ever. Nobody
/// else works in a mirror whose lock is held, but for a git whose release-mk was killed, which ends within seconds.
fn remove_stale_locks(mirrors: &Dir, name: &str, pipe: &Pipe) -> Result<()> {
    let Some(mirror) = mirrors.open_dir_if_there(format!("{name}.git"))? else { return Ok(()) };
    let objects = mirror.path().join("objects");
    let now = pipe.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut open = vec![mirror];
    while let Some(dir) = open.pop() {
        for entry in dir.names()? {
            let Some(stat) = dir.stat_if_there(&entry)? else { continue };
            let is_stale = u64::try_from(stat.0.st_mtime).is_ok_and(|at| at.saturating_add(STALE) < now);
            match stat.kind() {
                // Loose objects are very many, and have no locks.
                Kind::Directory if entry.len() == 2 && dir.path() == objects => {}
                Kind::Directory => open.extend(dir.open_dir_if_there(&entry)?),
                Kind::File if is_stale && entry.as_bytes().ends_with(b".lock") => dir.remove_file(&entry)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// The commit that a name means, and its time: a tag, a branch, or an id. A name that is both a tag and another branch is
/// refused.
fn resolve(mirror: &Path, address: &str, reference: &str, pipe: &Pipe) -> Result<Option<(String, i64)>> {
    let candidates = match reference {
        full if full.starts_with("refs/") => vec![full.to_owned()],
        name => vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")],
    };
    let mut found = Vec::new();
    for candidate in &candidates {
        found.extend(commit_of(mirror, address, candidate, pipe)?);
    }
    found.dedup();
    let is_id = reference.len() >= 7 && reference.bytes().all(|b| b.is_ascii_hexdigit());
    if found.is_empty() && is_id {
        found.extend(commit_of(mirror, address, reference, pipe)?);
    }
    if found.len() > 1 {
        bail!(
            Failure::new(Exit::Failed, "mk.reference", format!("'{reference}' is a tag and another branch"))
                .hint(format!("say which: --ref refs/tags/{reference} or --ref refs/heads/{reference}"))
        );
    }
    Ok(found.pop())
}

fn commit_of(mirror: &Path, address: &str, name: &str, pipe: &Pipe) -> Result<Option<(String, i64)>> {
    let commit = format!("{name}^{{commit}}");
    let ended =
        start(mirror, &["log", "-1", "--no-show-signature", "--format=%H %ct", "--end-of-options", &commit], pipe)?;
    match ended.outcome {
        Outcome::Exited(0) => {
            let said = String::from_utf8_lossy(&ended.stdout);
            let (revision, at) = said.trim().split_once(' ').unwrap_or_default();
            Ok(is_full_id(revision).then(|| (revision.to_owned(), at.parse().unwrap_or(0))))
        }
        Outcome::Exited(1 | 128) => Ok(None),
        _ => Err(failed(address, "log", &ended, pipe)),
    }
}

fn is_full_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(super) fn run(mirror: &Path, address: &str, arguments: &[&str], pipe: &Pipe) -> Result<String> {
    let ended = start(mirror, arguments, pipe)?;
    if ended.outcome.is_success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    Err(failed(address, arguments.first().copied().unwrap_or(""), &ended, pipe))
}

fn start(mirror: &Path, arguments: &[&str], pipe: &Pipe) -> Result<Ended> {
    let argv = hardened(mirror).into_iter().chain(arguments.iter().map(OsString::from));
    let mut spec = Spec::program("git", argv).captured(OUTPUT);
    if matches!(arguments.first(), Some(&"fetch" | &"gc")) {
        // Killed with us it lets go of its locks; left alone it would be in the way of whoever fetches next.
        spec = spec.guarded();
    }
    for (name, value) in environment() {
        spec = match value {
            Some(value) => spec.env(name, value),
            None => spec.env_remove(name),
        };
    }
    let watched = watch::down_and_signals(pipe)?;
    spec.run(Some(watched.as_fd()))
}

fn failed(address: &str, what: &str, ended: &Ended, pipe: &Pipe) -> anyhow::Error {
    if ended.outcome == Outcome::Interrupted
        && let Err(error) = pipe.check_signals().and_then(|()| pipe.look_down())
    {
        return error;
    }
    let stderr = told_without_secrets(&String::from_utf8_lossy(&ended.stderr), address);
    let (said, detail) = reason(&stderr);
    let message = match ended.outcome {
        Outcome::NotFound => "git is not installed".to_owned(),
        _ => format!("git {what} of {} failed: {said}", without_secrets(address)),
    };
    let hint = match crate::identity::became() {
        Some(owner) => format!("git runs as {owner}, who owns the root: see what sudo -u {owner} git ls-remote says"),
        None => "check the address, the reference and your access with git ls-remote".to_owned(),
    };
    let failure = Failure::new(Exit::Failed, "mk.git", message).hint(hint);
    if detail.is_empty() { failure.into() } else { failure.detail(detail).into() }
}

/// Why git failed, on one line, and the last lines of what it said. What went wrong comes with a prefix; what stands
/// before that is the word of whom git asked, as ssh or the other host, and what follows is advice.
fn reason(stderr: &str) -> (String, String) {
    let lines: Vec<String> = stderr.lines().map(plain).filter(|line| says_something(line)).collect();
    let is_verdict = |line: &String| line.starts_with("fatal:") || line.starts_with("error:");
    let last = lines.iter().position(is_verdict).unwrap_or(lines.len().saturating_sub(1));
    let said = lines.get(last.saturating_sub(CAUSES)..=last).map(|said| said.join("; "));
    let detail = lines[lines.len().saturating_sub(DETAIL)..].join("\n");
    (said.unwrap_or_else(|| "it said nothing".to_owned()), detail)
}

/// A line without its control characters, and at most so long.
fn plain(line: &str) -> String {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
    line.trim().to_owned()
}

/// Whether a line is more than a rule or a space around what the other host says.
fn says_something(line: &str) -> bool {
    line.strip_prefix("remote:").unwrap_or(line).contains(char::is_alphanumeric)
}

/// The command line of every git: a mirror of ours, and nothing that runs a program a repository names.
pub(super) fn hardened(mirror: &Path) -> Vec<OsString> {
    let settings = [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.attributesFile=/dev/null",
        "protocol.allow=never",
        "protocol.file.allow=always",
        "protocol.ssh.allow=always",
        "protocol.https.allow=always",
        "submodule.recurse=false",
        "fetch.recurseSubmodules=false",
        "gc.autoDetach=false",
        // A pack appears whole or not at all; single objects of a killed fetch would be taken for the commit with all it has.
        "fetch.unpackLimit=1",
        "maintenance.auto=false",
        "core.pager=cat",
    ];
    let mut argv: Vec<OsString> = vec!["git".into(), "--no-replace-objects".into()];
    for setting in settings {
        argv.extend(["-c".into(), setting.into()]);
    }
    argv.push("--git-dir".into());
    argv.push(mirror.into());
    argv
}

/// What is set, and with `None` what is taken out of the environment.
pub(super) fn environment() -> Vec<(&'static str, Option<&'static str>)> {
    let mut environment = vec![
        ("GIT_CONFIG_NOSYSTEM", Some("1")),
        ("GIT_TERMINAL_PROMPT", Some("0")),
        ("GIT_ALLOW_PROTOCOL", Some("file:ssh:https")),
        ("GIT_NO_LAZY_FETCH", Some("1")),
        ("LC_ALL", Some("C")),
    ];
    let inherited = [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_EXTERNAL_DIFF",
        "GIT_TEMPLATE_DIR",
        "GIT_TRACE",
    ];
    environment.extend(inherited.map(|name| (name, None)));
    // Whoever became the root's owner cannot read the configuration of the user he was.
    if crate::identity::has_foreign_home() {
        environment.extend([("GIT_CONFIG_GLOBAL", Some("/dev/null")), ("HOME", None), ("XDG_CONFIG_HOME", None)]);
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_ssh_or_of_the_other_host_comes_with_gits_own() {
        let advice = "\nPlease make sure you have the correct access rights\nand the repository exists.\n";
        let unread = "fatal: Could not read from remote repository.";
        for (said, told) in [
            (
                "ssh: connect to host h port 22: Connection refused\r\n",
                "ssh: connect to host h port 22: Connection refused; ",
            ),
            ("git@h: Permission denied (publickey).\n", "git@h: Permission denied (publickey).; "),
            ("@@@@\nOffending key\nHost key has changed.\nNo.\r\n", "Host key has changed.; No.; "),
            ("remote: \nremote: ====\nremote: ERROR: there is none\nremote: \n", "remote: ERROR: there is none; "),
            ("", ""),
        ] {
            let (message, detail) = reason(&format!("{said}{unread}\n{advice}"));
            assert_eq!(message, format!("{told}{unread}"));
            assert!(detail.ends_with("and the repository exists."), "{detail}");
        }
        assert_eq!(reason("").0, "it said nothing");
        assert_eq!(reason("one\ntwo\n").0, "one; two");
        let (message, detail) =
            reason(&"x\u{1b}y".repeat(9000).split('y').map(|x| x.repeat(9) + "\n").collect::<String>());
        assert!(message.len() < 1000 && detail.lines().count() <= DETAIL && !message.contains('\u{1b}'));
    }
}
