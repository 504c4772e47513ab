//! Where it was measured: figures without the machine mean nothing.

use serde::{Deserialize, Serialize};

use crate::corpus::Corpus;
use crate::disk::Place;
use crate::measure::said;

/// The machine, and the versions of what was measured on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The day, in UTC.
    pub(crate) day: String,
    /// The commit that was measured.
    pub(crate) commit: String,
    /// How the tools were built.
    pub(crate) build: String,
    /// Processors, their kind, memory.
    pub(crate) hardware: String,
    /// Kernel and distribution.
    pub(crate) system: String,
    /// What it was measured on.
    pub(crate) file_system: String,
    /// How many files the trees have.
    pub(crate) corpora: String,
    /// The peers' versions.
    pub(crate) peers: String,
    /// Load when it began: other work shows here.
    pub(crate) load: String,
}

impl Machine {
    /// Asks the machine.
    pub(crate) fn ask(place: &Place, tools: &std::path::Path, corpus: &Corpus) -> Self {
        let ask = |command: &str| said(command).unwrap_or_else(|| "unknown".into());
        let first = |command: &str| ask(&format!("{command} | head -n 1"));
        let peers = [
            first("cp --version"),
            first("tar --version"),
            first("gzip --version"),
            first("zstd --version"),
            first("rsync --version"),
            first("git --version"),
            first("curl --version | cut -d' ' -f 1-2"),
            first("jq --version"),
        ];
        let target = tools.ancestors().filter_map(|path| path.file_name()).find_map(|name| {
            let name = name.to_string_lossy();
            name.contains("-linux-").then(|| name.into_owned())
        });
        Self {
            day: ask("date -u +%F"),
            commit: ask("git rev-parse --short=10 HEAD"),
            build: format!("{}, {}", target.unwrap_or_else(|| "release".into()), first("rustc --version")),
            hardware: format!(
                "{} processors ({}), {} MiB",
                ask("nproc"),
                ask("sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1"),
                ask("awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo")
            ),
            system: format!("Linux {}, {}", ask("uname -r"), ask(". /etc/os-release; echo $PRETTY_NAME")),
            file_system: place.kind.into(),
            corpora: format!("M {} files, A {} files", corpus.files, corpus.all_files),
            peers: peers.join("; "),
            load: ask("cut -d' ' -f 1-3 /proc/loadavg"),
        }
    }
}
