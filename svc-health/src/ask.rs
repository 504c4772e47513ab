//! One stage: from the record that came to the answer that goes on.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use record::{Exit, Failure, Pipe, Record, placeholders};
use rustix::event::epoll::EventFlags;

use crate::cli::Request;
use crate::probe::probes;
use crate::target::Target;
use crate::verdict::{Answer, State};
use crate::watch::{Bystander, watch};
use crate::{changes, report};

/// So many targets are told about one by one on stderr.
const TOLD: usize = 10;

/// Asks all targets. Changes nothing but the file of `--on-change`.
pub(crate) fn ask(pipe: &mut Pipe, request: &Request) -> anyhow::Result<()> {
    pipe.refuse_contradiction()?;
    let record = with_path(pipe)?;
    let (targets, expect) = request.asked.read(|text| placeholders::fill(text, &record))?;
    let labels: Vec<String> = targets.iter().map(Target::label).collect();
    let release = if request.expect_release { Some(release(pipe, &record, request)?) } else { None };
    if pipe.dry_run() {
        for label in labels {
            pipe.plan("probe", label, None);
        }
        return Ok(());
    }
    let probes = probes(&targets, &request.terms(expect, release))?;
    let findings = {
        let stdout = io::stdout();
        let check = || pipe.look_down().and_then(|()| pipe.check_signals());
        let hears = |who: usize, state: State, answer: &Answer| match answer {
            Answer::Pass => pipe.explain(format_args!("{}: {}", labels[who], state.word())),
            Answer::NotYet(reason) | Answer::Fail(reason) | Answer::CannotTell(reason) => {
                pipe.explain(format_args!("{}: {}: {reason}", labels[who], state.word()));
            }
        };
        let calls = vec![
            (pipe.interrupts().as_fd(), EventFlags::IN),
            // Nothing is asked for: an error, which tells that the reader is gone, always comes.
            (stdout.as_fd(), EventFlags::empty()),
        ];
        watch(&probes, &request.course(&targets), &Bystander { calls, check: &check, hears: &hears })?
    };
    pipe.set_section(&report::section(&labels, &findings));
    let failure = report::failure(&labels, &findings, request.course.rules.wait);
    match &request.on_change {
        None if failure.is_none() => {
            labels.iter().zip(&findings).take(TOLD).for_each(|(label, finding)| pipe.say(report::line(label, finding)));
        }
        None => {}
        Some(path) => match changes::note(path, pipe.now(), &labels, &findings) {
            Ok(lines) => lines.iter().for_each(|line| pipe.say(line)),
            Err(error) if failure.is_none() => return Err(error),
            Err(error) => pipe.warn("health.on_change", format!("{error:#}")),
        },
    }
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

/// The record with the release's path in it, which a dry run leaves out.
fn with_path(pipe: &Pipe) -> anyhow::Result<Record> {
    let mut record = pipe.record().clone();
    let root = pipe.root_path_if_any()?;
    if let (Some(release), Some(root)) = (&mut record.release, root) {
        release.path = root.join("releases").join(&release.id).to_str().map(str::to_owned);
    }
    Ok(record)
}

/// The release that must answer: what `--root` and `--link` name when no record came, the record's, the gate's.
fn release(pipe: &Pipe, record: &Record, request: &Request) -> anyhow::Result<PathBuf> {
    if let Some(release) = &record.release {
        return release.path.as_ref().map(PathBuf::from).ok_or_else(|| nowhere().into());
    }
    let named = || -> anyhow::Result<Option<PathBuf>> {
        let link = pipe.link()?;
        Ok(pipe.root_path_if_any()?.map(|root| root.join(link.as_str())))
    };
    if request.options.root.is_none()
        && let Some(path) = &request.release_path
    {
        return Ok(path.clone());
    }
    named()?.ok_or_else(|| nowhere().into())
}

fn nowhere() -> Failure {
    Failure::new(Exit::Usage, "usage", "--expect-release: which release is meant is not known")
        .hint("pipe a record in, or name the root with --root DIR, or set CUTOVER_RELEASE_PATH")
}
