//! The command line, and what it asks for.

use std::path::PathBuf;

use anyhow::bail;
use clap::{ArgGroup, Parser};
use dir::Name;
use record::{Exit, Failure, Options};
use store::ReleaseId;

/// Show the releases of a root: what is live, what was, and whether it is still what it was.
#[derive(Debug, Parser)]
#[command(
    name = "release-ls",
    version,
    group = ArgGroup::new("what").args(["history", "verify", "html"]),
    before_help = "\
Examples:
  release-ls /srv/shop
  release-ls --html /srv/shop /srv/blog > releases.html
  cat web1.json web2.json | release-ls --records -",
    after_help = "\
Marks: * current, < previous (where a rollback goes), P pinned, ! bad or failed, … being built; with --history: \
↩ came back, ! went bad, ? found changed by something else. AGE counts from when a release was made, LIVE is for how long it \
was current; the bar shows the stages of its pipe to scale, the longest pipe of all twelve characters long. \
Times are local on a terminal and UTC elsewhere. It reads no record, takes no lock and needs no \
rights but to read. What --records names is not passed on, only shown. With --verify it ends with 1 when anything differs.",
    help_template = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}"
)]
struct Cli {
    /// The roots to show, instead of --root
    #[arg(value_name = "ROOT", conflicts_with = "root")]
    roots: Vec<PathBuf>,
    /// One JSON object per line, per release or whatever else is shown
    #[arg(long, conflicts_with = "html")]
    json: bool,
    /// What each link named since when, newest first, and how long the stages of that pipe took
    #[arg(long)]
    history: bool,
    /// Hash the files of every release again, or of this one, and say what differs from when it was made
    #[arg(long, value_name = "ID", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "clap's way to say an option with an optional value")]
    verify: Option<Option<String>>,
    /// A page that needs nothing else: what was live when, failures, rollbacks, sizes and durations
    #[arg(long)]
    html: bool,
    /// Show what became of the hosts whose records are in FILE, one per line, instead of a root; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["roots", "root", "link", "history", "verify"])]
    records: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// What is asked for, checked as far as the command line alone can be.
#[derive(Debug)]
pub(crate) struct Request {
    /// The roots; empty only where records are shown.
    pub(crate) roots: Vec<PathBuf>,
    /// Only this link counts for the marks and the history.
    pub(crate) link: Option<Name>,
    /// What to show.
    pub(crate) what: What,
    /// In which form.
    pub(crate) form: Form,
    /// What all tools share.
    pub(crate) options: Options,
}

/// What to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The releases.
    Releases,
    /// The activations.
    History,
    /// What differs in all releases, or in one.
    Verify(Option<ReleaseId>),
    /// Everything on one page.
    Page,
    /// The hosts whose records are in a file.
    Hosts {
        /// The file; `-` is stdin.
        records: PathBuf,
        /// As a page.
        page: bool,
    },
}

/// In which form lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Reads the command line; a wrong one ends the process with 2 here.
pub(crate) fn request() -> anyhow::Result<Request> {
    let Cli { mut roots, json, history, verify, html, records, options } = record::command_line();
    let root_is_known = !roots.is_empty() || options.root.is_some() || environment("CUTOVER_ROOT").is_some();
    let verify = match verify {
        // No id has a slash, and without a root nothing could be looked for: what was meant is `--verify ROOT`.
        Some(Some(root)) if root.contains('/') || !root_is_known => {
            roots.insert(0, root.into());
            Some(None)
        }
        Some(Some(id)) => {
            Some(Some(ReleaseId::new(id).map_err(|e| Failure::new(Exit::Usage, "usage", e.to_string()))?))
        }
        Some(None) => Some(None),
        None => None,
    };
    if let Some(records) = records {
        let form = if json { Form::Json } else { Form::Table };
        return Ok(Request { roots: Vec::new(), link: None, what: What::Hosts { records, page: html }, form, options });
    }
    let what = match verify {
        Some(id) => What::Verify(id),
        None if history => What::History,
        None if html => What::Page,
        None => What::Releases,
    };
    let roots = match (roots.is_empty(), &options.root) {
        (false, _) => roots,
        (true, Some(root)) => vec![root.clone()],
        (true, None) => match environment("CUTOVER_ROOT") {
            Some(root) => vec![root.into()],
            None => bail!(
                Failure::new(Exit::Usage, "usage", "no root is given")
                    .hint("release-ls /srv/shop, or name it with --root or CUTOVER_ROOT")
            ),
        },
    };
    let link = match (&options.link, environment("CUTOVER_LINK")) {
        (Some(link), _) => Some(link.clone()),
        (None, Some(name)) => Some(
            Name::new(name.to_string_lossy())
                .map_err(|e| Failure::new(Exit::Usage, "usage", format!("CUTOVER_LINK: {e}")))?,
        ),
        (None, None) => None,
    };
    Ok(Request { roots, link, what, form: if json { Form::Json } else { Form::Table }, options })
}

fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
