//! The command line, and what it asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use record::Options;
use store::ReleaseId;

use crate::content::Sha;
use crate::request::{Hold, Request, RequiredVariables, Share, Step};
use crate::source::archive::Limits;

/// Make a release out of a directory, a file, an archive or a git revision, whole and durable or not at all.
#[derive(Debug, Parser)]
#[command(
    name = "release-mk",
    version,
    before_help = "\
Examples:
  release-mk --root /srv/shop --from build/ | release-switch
  release-mk --root /srv/shop --from build/ --exclude .git \\
      --share config/database.yml --share log/ | release-switch",
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}"
)]
struct Cli {
    /// Where the release comes from: a directory, a file, a .tar[.gz|.zst|.xz] or .zip archive, or - for a tar stream on stdin
    #[arg(long, value_name = "SOURCE")]
    from: PathBuf,
    /// Take SOURCE for a git repository, local or at an ssh, https or file URL, and REF for the branch, tag or commit of it
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// With --ref: fetch the submodules of that commit too; without it their directories stay empty
    #[arg(long, requires = "reference")]
    submodules: bool,
    /// Name the release; by default UTC time and number, as 20261121T071000Z-12
    #[arg(long, value_name = "ID")]
    name: Option<ReleaseId>,
    /// Leave out what matches: at any depth, or anchored at the top if there is a slash in it; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Run COMMAND in the tree with /bin/sh; it sees RELEASE_ID, RELEASE_ROOT, RELEASE_STAGING, RELEASE_PATH and, from git, RELEASE_REF and RELEASE_REVISION; what it leaves running is ended; repeatable, in order
    #[arg(long, value_name = "NAME=COMMAND", value_parser = step)]
    step: Vec<Step>,
    /// Keep only what matches of what was built, with what --share and --stamp add; repeatable
    #[arg(long, value_name = "GLOB")]
    artifact: Vec<String>,
    /// Go on with this unfinished build, from its first unfinished step; all other options as before; --name may be left out
    #[arg(long, value_name = "ID")]
    resume: Option<ReleaseId>,
    /// Build only if the source or the options that change the release differ from the live one's; an archive can be compared with builds made with this option or --sha256
    #[arg(long)]
    if_changed: bool,
    /// With --if-changed: build in any case
    #[arg(long, requires = "if_changed", conflicts_with = "skip_bad")]
    force: bool,
    /// With --if-changed: pass over, without failing, a source that made a bad release
    #[arg(long, requires = "if_changed")]
    skip_bad: bool,
    /// Link PATH to shared/PATH: with a trailing slash a directory, made if missing, else a file that must exist; repeatable
    #[arg(long, value_name = "PATH", value_parser = share)]
    share: Vec<Share>,
    /// The mode of directories that --share makes
    #[arg(long, value_name = "OCTAL", value_parser = mode, default_value = "755", requires = "share")]
    mode: u32,
    /// The owner of directories that --share makes, where uid 0 makes them
    #[arg(long, value_name = "USER[:GROUP]", requires = "share")]
    owner: Option<String>,
    /// Refuse unless FILE, relative to the root, sets each VAR to something; values are never shown; repeatable
    #[arg(long, value_name = "FILE:VAR,…", value_parser = required)]
    require_env: Vec<RequiredVariables>,
    /// Pin the release that is made for N days, whatever becomes of it
    #[arg(long, value_name = "N", requires = "reason")]
    keep_days: Option<u32>,
    /// Why it is pinned
    #[arg(long, value_name = "TEXT", value_parser = line, requires = "keep_days")]
    reason: Option<String>,
    /// Write id and time, and from git repository, reference and revision, into this file of the release
    #[arg(long, value_name = "FILE", value_parser = inside)]
    stamp: Option<PathBuf>,
    /// Hard links to the live release's files, to 450,000 at most, where size, time and mode are the same; then never write into a release in place
    #[arg(long)]
    link_unchanged: bool,
    /// Refuse unless so much stays free on the disk; with an archive, a repository, --link-unchanged or --resume, unless so much is free before
    #[arg(long, value_name = "SIZE", value_parser = record::size, default_value = "0")]
    min_free: u64,
    /// Refuse unless the archive or file has this SHA-256 digest
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<Sha>,
    /// Refuse a source with more in its files; an archive or a repository with more than 32G in any case
    #[arg(long, value_name = "SIZE", value_parser = record::size)]
    max_bytes: Option<u64>,
    /// Refuse a source of more entries; an archive or a repository of more than 1000000 in any case
    #[arg(long, value_name = "N")]
    max_files: Option<u64>,
    /// Take symlinks of an archive or a repository that are absolute or lead out of the tree; a directory's are always kept as they are
    #[arg(long)]
    allow_external_symlinks: bool,
    #[command(flatten)]
    options: Options,
}

/// Reads the command line; a wrong one ends the process with 2 here.
pub(crate) fn request() -> (Request, Options) {
    let cli: Cli = record::command_line();
    if let Some(wrong) = other_name(cli.resume.as_ref(), cli.name.as_ref()) {
        record::wrong_command_line::<Cli>(&wrong);
    }
    let hold = cli
        .keep_days
        .zip(cli.reason)
        .map(|(days, reason)| Hold { period: Duration::from_secs(u64::from(days) * 24 * 60 * 60), reason });
    let request = Request {
        from: cli.from,
        reference: cli.reference,
        submodules: cli.submodules,
        name: cli.name,
        exclude: cli.exclude,
        steps: cli.step,
        artifact: cli.artifact,
        resume: cli.resume,
        if_changed: cli.if_changed,
        force: cli.force,
        skip_bad: cli.skip_bad,
        share: cli.share,
        share_mode: cli.mode,
        share_owner: cli.owner,
        require_env: cli.require_env,
        hold,
        stamp: cli.stamp,
        link_unchanged: cli.link_unchanged,
        min_free: cli.min_free,
        sha256: cli.sha256,
        limits: Limits { bytes: cli.max_bytes, files: cli.max_files, external_symlinks: cli.allow_external_symlinks },
    };
    (request, cli.options)
}

/// What is wrong with `--name` beside `--resume`: a build keeps the name it was begun with.
fn other_name(resume: Option<&ReleaseId>, name: Option<&ReleaseId>) -> Option<String> {
    let (resume, name) = resume.zip(name).filter(|(resume, name)| resume != name)?;
    Some(format!(
        "the build {resume} cannot go on under the name {name}: leave --name out, or begin anew without --resume"
    ))
}

fn share(text: &str) -> Result<Share, String> {
    Ok(Share { path: inside(text)?, directory: text.ends_with('/') })
}

fn step(text: &str) -> Result<Step, String> {
    let (name, command) = text.split_once('=').ok_or("write it like test='make test'")?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) || name.starts_with(['.', '-']) {
        return Err("a step's name has letters, digits, '.', '_' and '-', at most 64".into());
    }
    if command.trim().is_empty() {
        return Err(format!("step {name} has no command"));
    }
    Ok(Step { name: name.into(), command: command.into() })
}

/// A path within a release: plain names only.
fn inside(text: &str) -> Result<PathBuf, String> {
    let trimmed = text.trim_end_matches('/');
    let plain = !trimmed.is_empty() && trimmed.split('/').all(|name| dir::Name::new(name).is_ok());
    if plain {
        Ok(PathBuf::from(trimmed))
    } else {
        Err("a path within the release: names and slashes, no '..', not absolute".into())
    }
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && mode & 0o002 == 0 => Ok(mode),
        Ok(_) => Err("an octal mode that does not let everybody write, as 755 or 2770".into()),
        Err(_) => Err("an octal mode, as 755 or 2770".into()),
    }
}

fn required(text: &str) -> Result<RequiredVariables, String> {
    let wrong = || "write it like shared/.env:DATABASE_URL,SECRET_KEY".to_owned();
    let (file, names) = text.rsplit_once(':').ok_or_else(wrong)?;
    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
    let legal = |name: &String| {
        name.bytes().enumerate().all(|(at, b)| b == b'_' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit()))
            && !name.is_empty()
    };
    if file.is_empty() || !names.iter().all(legal) {
        return Err(wrong());
    }
    Ok(RequiredVariables { file: PathBuf::from(file), names })
}

fn sha256(text: &str) -> Result<Sha, String> {
    let wrong = || "64 hexadecimal digits, as sha256sum prints them".to_owned();
    let text = text.strip_prefix("sha256:").unwrap_or(text);
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut sha = [0; 32];
    for (at, byte) in sha.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(sha)
}

fn line(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > 1000 {
        return Err("one line of at most 1000 bytes".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_build_goes_on_under_its_own_name_only() {
        let line = "release-mk --from x --resume v1";
        for (more, wrong) in
            [("", None), (" --name v1", None), (" --name v2", Some("under the name v2: leave --name out"))]
        {
            let cli = Cli::try_parse_from(format!("{line}{more}").split(' ')).expect(more);
            let said = other_name(cli.resume.as_ref(), cli.name.as_ref());
            assert_eq!(said.is_some(), wrong.is_some(), "{more}: {said:?}");
            assert!(said.unwrap_or_default().contains(wrong.unwrap_or_default()), "{more}");
        }
    }

    #[test]
    fn a_path_within_the_release_stays_within_it() {
        for good in ["log", "config/database.yml", "a/b/c/", ".env"] {
            assert!(inside(good).is_ok(), "{good} was refused");
        }
        for bad in ["", "/", "/etc", "..", "a/../b", "a//b", "./a", "a\nb", "a/./b"] {
            assert!(inside(bad).is_err(), "{bad:?} was taken");
        }
        assert!(share("log/").unwrap().directory);
        assert!(!share("log").unwrap().directory);
    }

    #[test]
    fn variables_are_named_after_the_last_colon() {
        let required = required("shared/.env:A,B_2").unwrap();
        assert_eq!(required.file, PathBuf::from("shared/.env"));
        assert_eq!(required.names, ["A", "B_2"]);
        for bad in ["", "shared/.env", "shared/.env:", ":A", "f:A,,B", "f:A B", "f:2A", "f:A=1"] {
            assert!(super::required(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_step_has_a_plain_name_and_a_command() {
        let step = step("test=make test A=b").unwrap();
        assert_eq!((step.name.as_str(), step.command.as_str()), ("test", "make test A=b"));
        for bad in ["", "make", "=make", "a b=make", "../x=make", ".x=make", "-x=make", "x= ", "x="] {
            assert!(super::step(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn modes_are_octal_and_not_for_everybody() {
        for (text, mode) in [("755", Some(0o755)), ("2770", Some(0o2770)), ("777", None), ("9", None), ("-1", None)] {
            assert_eq!(super::mode(text).ok(), mode, "{text}");
        }
    }
}
