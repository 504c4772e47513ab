//! From the request to what is printed. Reads the roots, writes to stdout only.

use std::io::{IsTerminal, Write};
use std::path::Path;

use dir::Name;
use record::visible;
use serde::Serialize;
use store::link::{self, Standing};
use store::{Inventory, Root, inventory};

use crate::cli::{Form, Request, What};
use crate::columns::Look;
use crate::html::{self, Section};
use crate::out::Out;
use crate::text::Clock;
use crate::verified::Different;
use crate::{TOOL, activations, hosts, listed, table};

/// Shows what is asked for.
pub(crate) fn show(request: &Request) -> anyhow::Result<()> {
    let mut out = Out::new(request);
    let shown = fill(request, &mut out);
    // What was found before an error is still worth reading.
    out.finish()?;
    shown
}

fn fill(request: &Request, out: &mut Out) -> anyhow::Result<()> {
    let look = look(request);
    if let What::Hosts { records, page } = &request.what {
        return hosts(request, records, *page, &look, out);
    }
    let mut sections = Vec::new();
    let mut different = Different::default();
    for (number, path) in request.roots.iter().enumerate() {
        let root = Root::open_to_read(path)?;
        let inventory = inventory::read(&root)?;
        if request.form == Form::Table && request.roots.len() > 1 && request.what != What::Page {
            if number > 0 {
                out.line(String::new());
            }
            out.line(visible(&format!("{}:", root.path().display())));
        }
        let shown = root.path().display().to_string();
        let now = look.now;
        let only = request.link.as_ref();
        match &request.what {
            What::Releases => {
                let mut listed = listed::list(&shown, &inventory, only, now);
                listed.remarks.extend(lost_links(&root, &inventory, only)?);
                releases(request, &listed, &look, out)?;
            }
            What::History => {
                let activations = activations::list(&shown, &inventory.history, only);
                match request.form {
                    Form::Json => json(&activations, out)?,
                    Form::Table if activations.is_empty() => {
                        let lost = listed::without_history(&inventory);
                        remark(request, lost.as_deref().unwrap_or("nothing was live yet"));
                    }
                    Form::Table => out.lines(table::history(&activations, &look)),
                }
            }
            What::Page => sections.push(Section {
                listed: listed::list(&shown, &inventory, only, now),
                activations: activations::list(&shown, &inventory.history, only),
                root: shown,
            }),
            What::Hosts { .. } => {}
            What::Verify(id) => different.show(request, &root, &inventory, id.as_ref(), out)?,
        }
    }
    if request.what == What::Page {
        out.line(html::page(&sections, &now_text(&look), &record::host::host_name()));
    }
    different.refuse()
}

/// What to say of the links that were live and are none now.
fn lost_links(root: &Root, inventory: &Inventory, only: Option<&Name>) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    for name in inventory.history.links().filter(|name| only.is_none_or(|only| *name == only)) {
        let standing = match link::read(root, name)? {
            Standing::Link(_) => continue,
            Standing::Missing => None,
            Standing::Obstructed(dir::Kind::Directory) => Some("a directory"),
            Standing::Obstructed(_) => Some("a file"),
        };
        told.extend(listed::lost(inventory, name, standing));
    }
    Ok(told)
}

/// Shows what became of the hosts whose records are in a file.
fn hosts(request: &Request, records: &Path, page: bool, look: &Look, out: &mut Out) -> anyhow::Result<()> {
    let hosts = hosts::fold(&hosts::read(records)?);
    match request.form {
        _ if page => out.line(html::hosts::page(&hosts, &now_text(look))),
        Form::Json => json(&hosts, out)?,
        Form::Table if hosts.is_empty() => remark(request, "there is no record"),
        Form::Table => out.lines(table::hosts(&hosts, look)),
    }
    Ok(())
}

fn releases(request: &Request, listed: &listed::Listed, look: &Look, out: &mut Out) -> anyhow::Result<()> {
    for text in &listed.remarks {
        remark(request, text);
    }
    match request.form {
        Form::Json => json(&listed.releases, out)?,
        Form::Table if listed.releases.is_empty() && listed.builds.is_empty() => {
            remark(request, "there is no release yet")
        }
        Form::Table => out.lines(table::releases(listed, look)),
    }
    Ok(())
}

fn look(request: &Request) -> Look {
    let stdout = std::io::stdout();
    let on_terminal = stdout.is_terminal();
    Look {
        clock: if on_terminal { Clock::local() } else { Clock::Utc },
        colored: request.options.color.applies_to(&stdout),
        width: on_terminal.then(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))).flatten(),
        now: record::clock::now(),
    }
}

fn now_text(look: &Look) -> String {
    record::clock::rfc3339(look.now)
}

/// One JSON object per line.
pub(crate) fn json(values: &[impl Serialize], out: &mut Out) -> anyhow::Result<()> {
    for value in values {
        out.line(serde_json::to_string(value)?);
    }
    Ok(())
}

/// Says on stderr what people should know besides.
pub(crate) fn remark(request: &Request, text: &str) {
    if !request.options.quiet {
        // A stderr that is gone is no reason to fail.
        let _ = writeln!(std::io::stderr(), "{}: {}", TOOL.name, visible(text));
    }
}
