//! `--on-change FILE`: a line whenever a target's state is another one than before, for timers that ask all the time.
//!
//! The file is its own memory: a target's last line in it says what was known last. A line is
//! `AT<tab>STATE<tab>TARGET<tab>REASON`.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use record::clock;

use crate::report::why;
use crate::watch::Finding;

/// Older lines than these are forgotten; a target that is not found is told again.
const REMEMBERED: u64 = 256 * 1024;

/// Appends what changed to the file. Returns the same for people: `TARGET is now STATE: REASON`.
pub(crate) fn note(
    path: &Path,
    now: SystemTime,
    labels: &[String],
    findings: &[Finding],
) -> anyhow::Result<Vec<String>> {
    let what = || format!("write the changes to {}", path.display());
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).with_context(what)?;
    let length = file.seek(SeekFrom::End(0)).with_context(what)?;
    file.seek(SeekFrom::Start(length.saturating_sub(REMEMBERED))).with_context(what)?;
    let mut bytes = Vec::new();
    (&file).take(REMEMBERED).read_to_end(&mut bytes).with_context(what)?;
    let text = String::from_utf8_lossy(&bytes);
    let known = known(&text);
    let at = clock::rfc3339(now);
    let (mut lines, mut told) = (String::new(), Vec::new());
    // What a crash left of a line must not swallow ours.
    if !text.is_empty() && !text.ends_with('\n') {
        lines.push('\n');
    }
    for (label, finding) in labels.iter().zip(findings) {
        let (state, reason) = (finding.verdict.state().word(), why(finding).unwrap_or_default());
        if known.get(label.as_str()) != Some(&state) {
            lines.push_str(&format!("{at}\t{state}\t{label}\t{}\n", reason.replace(char::is_control, " ")));
            let colon = if reason.is_empty() { "" } else { ": " };
            told.push(format!("{label} is now {state}{colon}{reason}"));
        }
    }
    if !told.is_empty() {
        file.write_all(lines.as_bytes()).with_context(what)?;
    }
    Ok(told)
}

/// The last state of each target in the file's text.
fn known(text: &str) -> HashMap<&str, &str> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(4, '\t').skip(1);
            let (state, target) = (parts.next()?, parts.next()?);
            parts.next().map(|_| (target, state))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons::Reasons;
    use crate::verdict::{Answer, Rules, Verdict};
    use std::time::Duration;

    fn finding(answer: &Answer) -> Finding {
        let rules = Rules { passes: 1, fails: 1, stable: Duration::ZERO, wait: None };
        let (mut verdict, mut reasons) = (Verdict::new(), Reasons::default());
        verdict.hear(&rules, answer, Duration::ZERO);
        if let Answer::Fail(reason) = answer {
            reasons.add(reason, Duration::ZERO);
        }
        Finding { verdict, reasons, elapsed: Duration::ZERO }
    }

    #[test]
    fn only_changes_are_written_and_each_target_has_its_own_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (well, ill) = (finding(&Answer::Pass), finding(&Answer::Fail("500\tx".into())));
        let labels = ["a".to_owned(), "b".to_owned()];
        let mut told = Vec::new();
        for findings in [[&well, &well], [&well, &well], [&well, &ill], [&well, &ill], [&ill, &well]] {
            let findings = findings.map(Clone::clone);
            told.push(note(&path, SystemTime::UNIX_EPOCH, &labels, &findings).unwrap().len());
        }
        assert_eq!(told, [2, 0, 1, 0, 2]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 5);
        assert_eq!(text.lines().nth(2), Some("1970-01-01T00:00:00Z\tunhealthy\tb\t500 x"));
    }

    #[test]
    fn a_torn_last_line_is_neither_believed_nor_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        File::write(&path, "1970-01-01T00:00:00Z\thealthy\ta\t\n1970-01-01T00:00:00Z\tunheal");
        let lines = note(&path, SystemTime::UNIX_EPOCH, &["a".to_owned()], &[finding(&Answer::Fail("500".into()))]);
        assert_eq!(lines.unwrap(), ["a is now unhealthy: 500"]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(known(&text).get("a"), Some(&"unhealthy"));
    }

    struct File;
    impl File {
        fn write(path: &Path, text: &str) {
            OpenOptions::new().write(true).create_new(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
        }
    }
}
