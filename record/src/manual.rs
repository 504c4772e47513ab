//! What is shipped beside a tool, printed by the tool itself, so that it says what `--help` says.
//!
//! Only in builds with the feature `manual`, which `cargo xtask` makes for itself; no released binary has it.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// When the pages last changed in substance; the build's own date would make two builds differ.
const DATE: &str = "2026-11-21";
/// The word that asks, as first argument; a kind follows it.
const ASKED: &str = "--generate-manual";

/// What the first two arguments ask for: `man` (the sections up to the options), `bash`, `zsh` or `fish`.
pub(crate) fn answer(command: Command) -> Option<Vec<u8>> {
    let mut arguments = std::env::args().skip(1);
    arguments.next().filter(|first| first == ASKED)?;
    let kind = arguments.next()?;
    Some(match kind.as_str() {
        "bash" => completions(Shell::Bash, command),
        "zsh" => completions(Shell::Zsh, command),
        "fish" => completions(Shell::Fish, command),
        _ => page(command).unwrap_or_default(),
    })
}

fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut out);
    out
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let extra = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let title = command.get_name().to_uppercase();
    // The examples have a section of their own, and one line of NAME is one sentence without its full stop.
    let description = about.split("\n\nExamples:").next().unwrap_or_default().to_owned();
    let name = description.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
    let mut command = command.about(name);
    let usage = command.render_usage().to_string();
    let man = Man::new(command);
    let mut out = Vec::new();
    writeln!(out, ".TH {title} 1 \"{DATE}\" \"cutover\" \"User Commands\"")?;
    man.render_name_section(&mut out)?;
    // Forty options in a row tell nobody anything: the form of the line, and the options in their section.
    let (tool, rest) = usage.trim_start_matches("Usage: ").split_once(' ').unwrap_or((&usage, ""));
    writeln!(out, ".SH SYNOPSIS\n.B {}\n{}", roff(tool).trim_end(), roff(rest).trim_end())?;
    writeln!(out, ".SH DESCRIPTION\n{}", roff(&description).trim_end())?;
    if let Some(extra) = extra {
        writeln!(out, ".PP\n{}", roff(&extra).trim_end())?;
    }
    man.render_options_section(&mut out)?;
    Ok(out)
}

/// Plain text as roff: indented lines keep their form, others are filled.
fn roff(text: &str) -> String {
    let mut out = String::new();
    let mut in_block = false;
    for line in text.trim().lines() {
        if line.starts_with("  ") != in_block {
            in_block = !in_block;
            out.push_str(if in_block { ".PP\n.nf\n.RS 4\n" } else { ".RE\n.fi\n" });
        }
        match line.trim() {
            "" if in_block => out.push('\n'),
            "" => out.push_str(".PP\n"),
            words => {
                let escaped = words.replace('\\', "\\e").replace('-', "\\-");
                let guard = if escaped.starts_with(['.', '\'']) { "\\&" } else { "" };
                // Writing to a string cannot fail.
                let _ = writeln!(out, "{guard}{escaped}");
            }
        }
    }
    if in_block {
        out.push_str(".RE\n.fi\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_lines_keep_their_form_and_no_line_becomes_a_request() {
        assert_eq!(
            roff("One.\n\nTargets:\n  tcp://HOST  a\n.so x\n"),
            "One.\n.PP\nTargets:\n.PP\n.nf\n.RS 4\ntcp://HOST  a\n.RE\n.fi\n\\&.so x\n"
        );
    }
}
