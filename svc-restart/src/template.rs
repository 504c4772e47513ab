//! Commands and paths with `{instance}` and `{i}` in them. Only these two are placeholders: other
//! braces belong to the shell, and so does `${i}`. What the record says (`{idle}`, `{release}`) is put in
//! before, once the record is read.

use std::str::FromStr;

use anyhow::Result;
use record::placeholders::PLACEHOLDERS;
use record::{Record, placeholders};

use crate::instance::Instance;

/// A text that becomes a command or a path once an instance is put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Instance,
    Index,
}

impl Template {
    /// Whether the text names an instance, and so is meant once for each. A command may also name
    /// it by its variable.
    pub(crate) fn names_an_instance(&self) -> bool {
        self.has_placeholder() || self.text.contains("CUTOVER_INSTANCE")
    }

    /// Whether `{instance}` or `{i}` occurs.
    pub(crate) fn has_placeholder(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The same with what the record says of slots and of the release put in.
    pub(crate) fn with(&self, record: &Record) -> Result<Self> {
        let text = placeholders::fill(&self.text, record)?;
        text.parse().map_err(|why| anyhow::anyhow!("{}: {why}", self.text))
    }

    /// The text for one instance, or for none. `Err` says which placeholder has no value.
    pub(crate) fn fill(&self, instance: Option<&Instance>) -> std::result::Result<String, String> {
        let mut filled = String::with_capacity(self.text.len());
        for part in &self.parts {
            filled.push_str(match (part, instance) {
                (Part::Text(text), _) => text,
                (Part::Instance, Some(instance)) => instance.as_str(),
                (Part::Index, Some(instance)) => instance
                    .index()
                    .ok_or_else(|| format!("{{i}} has no value: nothing follows the @ in {instance}"))?,
                (Part::Instance, None) => return Err("{instance} has no value here".into()),
                (Part::Index, None) => return Err("{i} has no value here".into()),
            });
        }
        Ok(filled)
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.trim().is_empty() {
            return Err("is empty".into());
        }
        if text.contains('\0') {
            return Err("contains a NUL".into());
        }
        if let Some(word) = misspelt(text) {
            return Err(format!(
                "has {{{word}}}, which is no placeholder: {{instance}}, {{i}} and {}",
                PLACEHOLDERS.join(", ")
            ));
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            let found = [("{instance}", Part::Instance), ("{i}", Part::Index)]
                .into_iter()
                .find(|(word, _)| from.starts_with(word) && !plain.ends_with('$'));
            rest = match found {
                Some((word, part)) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                    &from[word.len()..]
                }
                None => {
                    plain.push('{');
                    &from[1..]
                }
            };
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts, text: text.to_owned() })
    }
}

/// A word in braces that is meant as a placeholder and is none: `{instnace}`, `{idle.prot}`. What could as well be
/// the shell's or awk's (`{print}`, `${idle}`, `{a,b}`) is left to them.
fn misspelt(text: &str) -> Option<&str> {
    let ours = |word: &str| {
        let braced = format!("{{{word}}}");
        ["{instance}", "{i}"].contains(&braced.as_str()) || PLACEHOLDERS.contains(&braced.as_str())
    };
    let meant = |word: &str| {
        let (first, member) = word.split_once('.').map_or((word, false), |(first, _)| (first, true));
        member && ["idle", "live", "release", "instance"].contains(&first)
            || ["instance", "release", "idle", "live"].iter().any(|name| are_near(first, name))
    };
    text.match_indices('{').find_map(|(at, _)| {
        let (word, _) = text[at + 1..].split_once('}')?;
        let plain = word.chars().all(|c| c.is_ascii_lowercase() || c == '.');
        (plain && !text[..at].ends_with('$') && !ours(word) && meant(word)).then_some(word)
    })
}

/// Whether two words have the same letters in another order or, if they are long, one letter more or less.
fn are_near(word: &str, name: &str) -> bool {
    let sorted = |word: &str| {
        let mut letters: Vec<char> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    let without_one = |long: &str, short: &str| {
        long.len() == short.len() + 1
            && (0..long.len()).any(|at| format!("{}{}", &long[..at], &long[at + 1..]) == short)
    };
    word != name
        && (sorted(word) == sorted(name) || name.len() > 5 && (without_one(word, name) || without_one(name, word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, instance: &str) -> std::result::Result<String, String> {
        text.parse::<Template>()?.fill(Some(&instance.parse()?))
    }

    #[test]
    fn placeholders_are_filled_and_the_shells_braces_are_left() {
        for (text, instance, filled) in [
            ("curl :800{i}/", "shop@1", "curl :8001/"),
            ("x {instance} {i}", "shop@2", "x shop@2 2"),
            ("{i}{i}", "a", "aa"),
            ("echo ${i} {i}", "shop@1", "echo ${i} 1"),
            ("awk '{print $1}' {a,b} {", "shop@1", "awk '{print $1}' {a,b} {"),
            ("{{i}}", "shop@1", "{1}"),
            ("é{i}é", "shop@1", "é1é"),
        ] {
            assert_eq!(fill(text, instance).as_deref(), Ok(filled), "{text}");
        }
    }

    #[test]
    fn a_misspelt_placeholder_is_refused_and_the_shells_words_are_not() {
        for text in ["x {instnace}", "{instace}", "{instances}", "{ilde}", "{idle.prot}", "{release.id}", "{relase}"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
        for text in ["awk {print}", "${instnace}", "{foo}", "{a,b}", "{line}", "{}", "{idle.port} {release.path} {i}"] {
            assert!(text.parse::<Template>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_an_error() {
        assert!(fill("x {i}", "shop@").is_err());
        assert!("x {i}".parse::<Template>().unwrap().fill(None).is_err());
        assert!("x {instance}".parse::<Template>().unwrap().fill(None).is_err());
        assert_eq!("x".parse::<Template>().unwrap().fill(None).as_deref(), Ok("x"));
        assert!(" ".parse::<Template>().is_err());
    }

    #[test]
    fn a_command_that_names_the_variable_names_an_instance() {
        for (text, names) in
            [("probe {i}", true), ("probe $CUTOVER_INSTANCE", true), ("probe ${i}", false), ("probe", false)]
        {
            assert_eq!(text.parse::<Template>().unwrap().names_an_instance(), names, "{text}");
        }
    }
}
