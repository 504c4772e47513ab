//! `--require`: a probe that must be healthy now, asked of svc-health before anything is done.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use process::command::{Outcome, Spec};
use record::{Exit, Failure};

const PROBER: &str = "svc-health";
/// One attempt is bounded by svc-health itself; this ends one that hangs all the same.
const LIMIT: Duration = Duration::from_secs(60);

/// Fails unless the target is healthy now. Nobody's release is blamed: nothing of it was asked.
pub(crate) fn healthy(target: &str, interrupts: BorrowedFd<'_>) -> Result<()> {
    let program = beside_us().unwrap_or_else(|| PROBER.into());
    let argv = [program.into_os_string(), "--no-record".into(), "--quiet".into(), "--".into(), target.into()];
    let ended = Spec::program("the required probe", argv)
        .captured(1 << 20)
        .time_limit(LIMIT)
        .guarded()
        .run(Some(interrupts))?;
    let shown = record::visible(&label(target));
    match ended.outcome {
        Outcome::Exited(0) => Ok(()),
        Outcome::NotFound => bail!(
            Failure::new(
                Exit::Failed,
                "restart.require",
                format!("{PROBER} was not found, so {shown} cannot be asked")
            )
            .hint(format!("install {PROBER} beside svc-restart or in PATH"))
        ),
        Outcome::Exited(2) => {
            let why = first_line(&ended.stderr).unwrap_or_else(|| "it is no target".into());
            bail!(
                Failure::new(Exit::Failed, "restart.require", format!("{shown} cannot be asked: {why}"))
                    .hint("nothing was touched; mend --require")
            )
        }
        outcome => {
            let said = record::parse(&ended.stdout).ok().and_then(|record| record.error).map(|error| error.message);
            let why = said.unwrap_or_else(|| outcome.to_string());
            bail!(
                Failure::new(
                    Exit::Failed,
                    "restart.require",
                    format!("{shown} is required to be healthy and is not: {why}")
                )
                .hint("nothing was touched")
                .retryable()
            )
        }
    }
}

/// Refuses on the command line what svc-health is certain to refuse later, when other stages have acted.
/// No message shows the target, which may hold a secret.
pub(crate) fn check(target: &str) -> Result<(), String> {
    let (scheme, rest) = target.split_once(':').unwrap_or((target, ""));
    let scheme = scheme.to_ascii_lowercase();
    let known = match scheme.as_str() {
        "http" | "https" | "http+unix" | "tcp" => rest.starts_with("//"),
        "unix" | "pidfile" | "systemd" | "systemd+user" | "exec" => !rest.trim().is_empty(),
        _ => false,
    };
    if !known {
        return Err(
            "takes a target of svc-health, which begins with http://, https://, http+unix://, tcp://, unix://, \
                    systemd:, pidfile: or exec:"
                .into(),
        );
    }
    let authority = rest.trim_start_matches('/').split(['/', '?', '#']).next().unwrap_or_default();
    if scheme.starts_with("http") && authority.contains('@') {
        return Err("takes no user or password in an address, where everybody sees it".into());
    }
    Ok(())
}

/// The target as messages and records show it: without a command, user, password, query or fragment.
fn label(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once(':') else { return "the target".into() };
    if scheme.eq_ignore_ascii_case("exec") {
        return "exec:…".into();
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match rest.strip_prefix("//") {
        Some(address) => {
            let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => format!("{scheme}:{rest}"),
    }
}

/// What the prober says first, without what it puts before every message.
fn first_line(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let words = ["svc-health:", "error:", "target:"]
        .iter()
        .fold(line, |line, word| line.strip_prefix(word).map_or(line, str::trim_start));
    Some(record::visible(words))
}

fn beside_us() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.parent()?.join(PROBER)).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_target_is_refused_and_not_repeated() {
        for target in
            ["localhost:1", "nonsense", "http:x", "ftp://x/", "exec:", "http://u:SECRET@h/", "https://SECRET@h"]
        {
            let why = check(target).expect_err(target);
            assert!(!why.contains("SECRET"), "{why}");
        }
        for target in [
            "http://h/@x?k=1",
            "HTTP://h",
            "http+unix:///run/a.sock:/x",
            "tcp://h:1",
            "unix:/a",
            "exec:true",
            "systemd:a@1",
        ] {
            assert_eq!(check(target), Ok(()), "{target}");
        }
    }

    #[test]
    fn a_label_holds_no_secret() {
        for (target, shown) in [
            ("http://u:SECRET@h:1/a/b?k=SECRET#SECRET", "http://h:1/a/b"),
            ("http://h?k=SECRET", "http://h"),
            ("tcp://h:1", "tcp://h:1"),
            ("exec:curl -u u:SECRET h", "exec:…"),
            ("EXEC:SECRET", "exec:…"),
            ("systemd:shop@1", "systemd:shop@1"),
            ("pidfile:///run/a.pid", "pidfile:///run/a.pid"),
            ("SECRET", "the target"),
        ] {
            assert_eq!(label(target), shown);
        }
    }

    #[test]
    fn the_probers_reason_is_its_first_line() {
        let stderr = b"svc-health: error: target: an address holds no ' '; write it as %XX\n\nUsage: svc-health\n";
        assert_eq!(first_line(stderr).as_deref(), Some("an address holds no ' '; write it as %XX"));
        assert_eq!(first_line(b"\n"), None);
    }
}
