//! A whole manual page: what the tool printed, and the sections that no command line knows.

use anyhow::{Context, Result};

/// Puts a page together. `parts` is hand-written roff: EXAMPLES, and FILES where the tool has any.
pub(crate) fn whole(printed: &[u8], parts: &str, tool: &str, tools: &[String]) -> Result<String> {
    let head = std::str::from_utf8(printed).with_context(|| format!("read the page of {tool}"))?;
    let others: Vec<String> = tools
        .iter()
        .filter(|other| *other != tool)
        .map(|other| format!(".BR {} (1)", other.replace('-', "\\-")))
        .collect();
    Ok(ascii(&format!(
        "{}\n{}\n{}{}.SH SEE ALSO\n{}\n",
        tidy(head).trim_end(),
        parts.trim_end(),
        exit_status(),
        ENVIRONMENT,
        others.join(",\n")
    )))
}

/// What the generator writes before a list of values is a blank line in a form that linters complain of.
fn tidy(head: &str) -> String {
    head.replace("\n.br\n\n.br\n", "\n.sp\n")
}

/// Characters beyond ASCII by their number, so that the page reads the same in every locale.
fn ascii(page: &str) -> String {
    page.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) }).collect()
}

/// The one table, as `record` has it.
fn exit_status() -> String {
    let rows: String = record::Exit::TABLE
        .iter()
        .map(|(code, meaning)| format!(".TP\n.B {code}\n{}\n", meaning.replace('-', "\\-")))
        .collect();
    format!(".SH EXIT STATUS\nThe same in all tools; not every tool uses every one.\n{rows}")
}

const ENVIRONMENT: &str = "\
.SH ENVIRONMENT
.TP
.B CUTOVER_ROOT
The root, where neither \\-\\-root nor the record names one.
.TP
.B CUTOVER_LINK
The link, where neither \\-\\-link nor the record names one; else
.IR current .
.TP
.B CUTOVER_DEPLOY_FD
Set by
.BR release\\-lock (1):
the descriptor that holds the deploy lock; several with commas below the deploys of several roots.
.TP
.B NO_COLOR
Set to anything: no colours unless \\-\\-color=always.
";
