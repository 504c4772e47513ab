//! Completions that know what lies on disk: release ids, links, instances, slots.
//!
//! clap generates the rest; where it completes one of these with files, or with nothing, that place is handed to the
//! functions in `xtask/completions`, which every file carries, because shells load each file alone.

use anyhow::{Result, ensure};

/// What of a tool is completed by the functions: an option, or with an empty name the arguments; and which values.
fn places(tool: &str) -> Vec<(&'static str, &'static str)> {
    let own: &[_] = match tool {
        "release-mk" => &[("resume", "failed")],
        "release-switch" => &[("to", "releases"), ("expect", "releases")],
        "release-ls" => &[("verify", "releases")],
        "release-pin" => &[("", "releases")],
        "svc-restart" => &[("", "instances")],
        "svc-route" => &[("to", "slots")],
        _ => &[],
    };
    own.iter().copied().chain([("link", "links")]).collect()
}

/// Puts `functions`, the text for this shell, into what clap printed for it. An error when clap's text has another form
/// than the one that is known here.
pub(crate) fn with_values(printed: &str, shell: &str, tool: &str, functions: &str) -> Result<String> {
    let mut text = printed.to_owned();
    for (option, kind) in places(tool) {
        let before = text.clone();
        text = match shell {
            "bash" => bash(&text, option, kind),
            "zsh" => zsh(&text, option, kind),
            _ => fish(&text, tool, option, kind),
        };
        ensure!(text != before, "{shell}: no place for the {kind} of {tool} --{option}");
    }
    Ok(match shell {
        // Behind the line by which zsh knows whose completions they are.
        "zsh" => text.replacen('\n', &format!("\n{functions}"), 1),
        _ => format!("{}{text}", functions.trim_start()),
    })
}

fn bash(text: &str, option: &str, kind: &str) -> String {
    let values = format!("$(__cutover_values {kind})");
    if option.is_empty() {
        // As a first word, too, an argument is more likely than an option.
        return text.replace(" || ${COMP_CWORD} -eq 1 ]]", " ]]").replace(
            "\n            COMPREPLY=( $(compgen -W \"${opts}\"",
            &format!("\n            COMPREPLY=( $(compgen -W \"{values}\""),
        );
    }
    let case = format!("                --{option})\n                    COMPREPLY=(");
    let files = "$(compgen -f \"${cur}\")";
    text.replace(&format!("{case}{files}"), &format!("{case}$(compgen -W \"{values}\" -- \"${{cur}}\")"))
}

fn zsh(text: &str, option: &str, kind: &str) -> String {
    let begins = match option {
        "" => ":".to_owned(),
        option => format!("--{option}="),
    };
    let lines = text.lines().map(|line| {
        let spec = line.trim_start_matches(['\'', '*']);
        // An option may carry its exclusions in front.
        let spec = spec.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(spec, |(_, spec)| spec);
        match line.strip_suffix(":_default' \\") {
            Some(head) if spec.starts_with(&begins) => format!("{head}:__cutover_{kind}' \\"),
            _ => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn fish(text: &str, tool: &str, option: &str, kind: &str) -> String {
    let values = format!("-f -a '(__cutover_values {kind})'");
    if option.is_empty() {
        return format!("{text}complete -c {tool} {values}\n");
    }
    let begins = format!("complete -c {tool} -l {option} ");
    let lines = text.lines().map(|line| match line.strip_suffix(" -r") {
        Some(head) if line.starts_with(&begins) => format!("{head} -r {values}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
