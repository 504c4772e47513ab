//! A row of the table: ours and a peer, run in turn.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "keeps figures between runs, and tells how far it is"
)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::corpus::Corpus;
use crate::disk::Place;
use crate::machine::Machine;
use crate::measure::{self, Taken};

/// Clears what a round made, in the folder and in roots.
const CLEARED: &str = "rm -rf new.* */releases/new.* */.cutover/manifests/new.* */.cutover/tree/new.* */.cutover/staging/new.*; sync -f .";

/// What was written before is on the disk: who waits for all of the file system would wait for what the other left, too.
const SETTLED: &str = "sync -f .";

/// What all rows are measured with.
pub(crate) struct Setting<'a> {
    /// The folder on the file system that was made for it.
    pub(crate) place: &'a Place,
    /// The folder of the release build.
    pub(crate) tools: PathBuf,
    /// The machine and its programs.
    pub(crate) machine: Machine,
    /// Where figures go as soon as there are any: a run that is ended keeps what it has.
    pub(crate) kept: Kept,
    /// The group that is measured now.
    pub(crate) group: RefCell<&'static str>,
    /// Few rounds, small corpora.
    pub(crate) quick: bool,
}

/// Rows that are measured together.
pub(crate) struct Group {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// What is to be known of all its rows.
    pub(crate) about: &'static str,
    /// Measures it.
    pub(crate) measure: fn(&Setting<'_>) -> Result<Measured>,
    /// Why its rows are as they are, by the row's work. Written by those who looked, kept when figures are renewed.
    pub(crate) why: &'static [(&'static str, &'static str)],
}

/// Ours and a peer. In commands `{new}` stands for a name that is new in each round and cleared away after it, `{bin}`
/// for the folder of the tools.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What is done, in the words of the table; names the row.
    pub(crate) work: String,
    /// The peer, in the words of the table.
    pub(crate) against: String,
    /// The most that ours may take of the peer's time, where something is promised.
    pub(crate) bar: Option<f64>,
    /// Runs before each of ours and each of the peer's, not measured.
    pub(crate) before: [String; 2],
    /// What is measured, ours and the peer's.
    pub(crate) commands: [String; 2],
    /// How often each is run in one round, for what takes less than the clock and the scheduler tell apart.
    pub(crate) repeat: u32,
    /// What both end with.
    pub(crate) status: i32,
}

impl<'a> Setting<'a> {
    /// Builds the tools as they are installed, unless they are given, and the corpora.
    pub(crate) fn new(repository: &Path, place: &'a Place, tools: Option<PathBuf>, quick: bool) -> Result<Self> {
        eprintln!("bench: building the tools and the corpora");
        let build = || measure::said(&format!("'{}/scripts/build-release'", repository.display())).map(PathBuf::from);
        let tools = tools.or_else(build).context("scripts/build-release builds the tools")?.canonicalize()?;
        let corpus = Corpus::make(repository, place, quick)?;
        let machine = Machine::ask(place, &tools, &corpus);
        let kept = Kept::at(repository, quick);
        Ok(Self { place, tools, machine, kept, group: RefCell::new(""), quick })
    }
}

impl Row {
    /// A row without a bar, preparation or repetition.
    pub(crate) fn new(
        work: impl Into<String>,
        ours: impl Into<String>,
        against: &str,
        peer: impl Into<String>,
    ) -> Self {
        Self {
            work: work.into(),
            against: against.into(),
            bar: None,
            before: [String::new(), String::new()],
            commands: [ours.into(), peer.into()],
            repeat: 1,
            status: 0,
        }
    }

    /// With a bar.
    pub(crate) fn bar(self, bar: f64) -> Self {
        Self { bar: Some(bar), ..self }
    }

    /// With something to be done before each run of ours and of the peer's.
    pub(crate) fn before(self, ours: impl Into<String>, peer: impl Into<String>) -> Self {
        Self { before: [ours.into(), peer.into()], ..self }
    }

    /// Run so often in one round.
    pub(crate) fn repeat(self, repeat: u32) -> Self {
        Self { repeat, ..self }
    }

    /// Runs both in turn and says the medians. One round more is run first and thrown away.
    pub(crate) fn measure(&self, setting: &Setting<'_>, rounds: usize) -> Result<Figures> {
        let folder = &setting.place.path;
        let mut taken: [Vec<Taken>; 2] = [Vec::new(), Vec::new()];
        for round in 0..=rounds {
            // Who comes first changes, so that neither always finds what the other left.
            for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let name = format!("new.{round}.{which}");
                let filled =
                    |text: &str| text.replace("{new}", &name).replace("{bin}", &setting.tools.display().to_string());
                if !self.before[which].is_empty() {
                    measure::prepare(folder, &filled(&self.before[which]))?;
                }
                measure::prepare(folder, SETTLED)?;
                let one = measure::run(folder, &filled(&self.commands[which]), self.repeat, self.status)?;
                if round > 0 {
                    taken[which].push(one);
                }
            }
            measure::prepare(folder, CLEARED)?;
        }
        let [ours, peer] = &taken;
        let ratios = ours.iter().zip(peer).map(|(ours, peer)| ours.wall / peer.wall).collect();
        let figures = Figures {
            work: self.work.clone(),
            against: self.against.clone(),
            bar: self.bar,
            runs: rounds,
            ours: Side::of(ours),
            peer: Side::of(peer),
            ratio: median(ratios),
        };
        eprintln!("bench: {}", crate::page::line(&figures));
        Ok(figures)
    }
}

/// The medians of one side.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Side {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of processor time.
    pub(crate) cpu: f64,
    /// MiB, the largest of all runs.
    pub(crate) memory: f64,
}

impl Side {
    fn of(taken: &[Taken]) -> Self {
        Self {
            wall: median(taken.iter().map(|one| one.wall).collect()),
            cpu: median(taken.iter().map(|one| one.cpu).collect()),
            memory: taken.iter().map(|one| one.memory).fold(0.0, f64::max),
        }
    }
}

/// What was measured for a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The row's work.
    pub(crate) work: String,
    /// Its peer.
    pub(crate) against: String,
    /// Its bar.
    pub(crate) bar: Option<f64>,
    /// Pairs.
    pub(crate) runs: usize,
    /// Our medians.
    pub(crate) ours: Side,
    /// The peer's.
    pub(crate) peer: Side,
    /// The median of the pairs' ratios.
    pub(crate) ratio: f64,
}

impl Figures {
    /// Whether the bar is held; `None` without one.
    pub(crate) fn is_held(&self) -> Option<bool> {
        self.bar.map(|bar| self.ratio <= bar)
    }
}

/// A group as it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Its rows.
    pub(crate) rows: Vec<Figures>,
    /// Rows that could not be measured here, and why.
    pub(crate) skipped: Vec<String>,
    /// Where and when.
    pub(crate) machine: Machine,
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Figures that outlive a run: groups are measured at different times.
pub(crate) struct Kept(PathBuf);

impl Kept {
    /// Below `target/`; quick figures are kept apart.
    pub(crate) fn at(repository: &Path, quick: bool) -> Self {
        Self(repository.join("target/bench").join(if quick { "quick" } else { "full" }))
    }

    /// Replaces what is kept of a group.
    pub(crate) fn write(&self, group: &str, measured: &Measured) -> Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let path = self.0.join(format!("{group}.json"));
        std::fs::write(&path, serde_json::to_string_pretty(measured)?)
            .with_context(|| format!("write {}", path.display()))
    }

    /// What is kept, in the order of the groups.
    pub(crate) fn read<'g>(&self, groups: &'g [Group]) -> Result<Vec<(&'g Group, Measured)>> {
        let mut all = Vec::new();
        for group in groups {
            let path = self.0.join(format!("{}.json", group.name));
            if let Ok(text) = std::fs::read_to_string(&path) {
                all.push((group, serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?));
            }
        }
        Ok(all)
    }
}
