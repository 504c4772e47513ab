//! bench: runs the tools and their peers in turn, and writes docs/performance.md with its chart.
//!
//!   bench [--quick] [--only GROUP,…] [--tools DIR]     measures, keeps the figures, renews the page
//!   bench --keep …                                     leaves the corpora mounted, or takes those that were left
//!   bench --report                                     renews the page from what is kept
//!
//! Figures of groups that are not measured now stay as they were measured last; the page says when each was.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod chart;
mod corpus;
mod disk;
mod machine;
mod measure;
mod page;
mod row;
mod rows;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::disk::Place;
use crate::row::{Kept, Setting};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The same program, started as the parent of one measured command, so that its peak memory is that command's alone.
    if arguments.first().is_some_and(|first| first == measure::CHILD) {
        return measure::child(&arguments[1..]);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let (mut quick, mut report, mut keep, mut only, mut tools) = (false, false, false, Vec::new(), None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--report" => report = true,
            "--keep" => keep = true,
            "--only" => only.extend(rest.next().context("--only takes groups")?.split(',').map(str::to_owned)),
            "--tools" => tools = Some(PathBuf::from(rest.next().context("--tools takes a folder")?)),
            other => bail!("{other} is no option: bench [--quick] [--only GROUP,…] [--tools DIR] [--keep] | --report"),
        }
    }
    let groups = rows::groups();
    if let Some(unknown) = only.iter().find(|name| !groups.iter().any(|group| group.name == **name)) {
        let known: Vec<_> = groups.iter().map(|group| group.name).collect();
        bail!("there is no group {unknown}: {}", known.join(", "));
    }
    let kept = Kept::at(&repository, quick);
    if !report {
        let place = Place::make(&repository, keep, quick)?;
        let setting = Setting::new(&repository, &place, tools, quick)?;
        for group in groups.iter().filter(|group| only.is_empty() || only.iter().any(|name| name == group.name)) {
            setting.group.replace(group.name);
            let results = (group.measure)(&setting).with_context(|| format!("measure {}", group.name))?;
            kept.write(group.name, &results)?;
        }
    }
    let results = kept.read(&groups)?;
    for result in results.iter().flat_map(|(_, group)| &group.rows) {
        println!("{}", page::line(result));
    }
    if quick {
        println!("quick: few rounds and small corpora; docs/performance.md is left as it is");
        return Ok(());
    }
    page::write(&repository, &results)
}
