//! What a response must be to count as a pass. Pure: it judges a head and a body that have been read.
//!
//! Reasons name the status and the field, never the body or a value: those may hold secrets.

use std::ops::RangeInclusive;
use std::str::FromStr;

use regex_lite::Regex;

/// Statuses that pass: `200-299,401`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<RangeInclusive<u16>>);

/// Text that the body, or a field's value, must contain.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// Somewhere in it, byte for byte.
    Text(String),
    /// `/regex/`, matched against it as text.
    Regex(Regex),
}

/// A field that the head must hold: `Name` or `Name: PATTERN`.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    name: String,
    value: Option<Pattern>,
}

/// All that is expected of a response.
#[derive(Debug, Clone)]
pub(crate) struct Expectations {
    /// By default every 2xx.
    pub(crate) statuses: Statuses,
    /// Each must be there.
    pub(crate) fields: Vec<Field>,
    /// Each must match.
    pub(crate) bodies: Vec<Pattern>,
}

/// A head as the wire brought it.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The three digits.
    pub(crate) status: u16,
    /// The server's own words after them, to be shown only cleaned.
    pub(crate) words: &'a str,
    /// Names and values.
    pub(crate) fields: Vec<(&'a str, &'a [u8])>,
}

impl Default for Statuses {
    fn default() -> Self {
        Statuses(vec![200..=299])
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.trim().parse::<u16>() {
            Ok(status @ 100..=599) => Ok(status),
            _ => Err(format!("{text:?} is no status between 100 and 599")),
        };
        let range = |part: &str| match part.split_once('-') {
            None => number(part).map(|one| one..=one),
            Some((low, high)) => match (number(low)?, number(high)?) {
                (low, high) if low <= high => Ok(low..=high),
                _ => Err(format!("{part} is no range: the smaller number comes first")),
            },
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Statuses)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(regex) if !regex.is_empty() => {
                Regex::new(regex).map(Pattern::Regex).map_err(|error| format!("regular expression: {error}"))
            }
            _ if text.is_empty() => Err("an empty text is in everything".into()),
            _ => Ok(Pattern::Text(text.to_owned())),
        }
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').map_or((text, ""), |(name, value)| (name, value.trim()));
        let value = if value.is_empty() { None } else { Some(value.parse()?) };
        Ok(Field { name: field_name(name)?, value })
    }
}

/// The name of a field, if it is one (RFC 9110, section 5.6.2).
pub(crate) fn field_name(name: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(legal) {
        return Err(format!("{name:?} is no name of a header field"));
    }
    Ok(name.to_owned())
}

impl Pattern {
    fn is_in(&self, bytes: &[u8]) -> bool {
        match self {
            Pattern::Text(text) => bytes.windows(text.len()).any(|window| window == text.as_bytes()),
            Pattern::Regex(regex) => regex.is_match(&String::from_utf8_lossy(bytes)),
        }
    }
}

impl Head<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The one value of a field, as text.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    /// `500 Internal Server Error`; of a redirection also where it leads: nobody follows it.
    pub(crate) fn said(&self) -> String {
        let status = self.status;
        let target = self.value("location").filter(|_| (300..400).contains(&status));
        match (target, self.words.trim()) {
            (Some(target), _) => format!("{status} to {}", shown_location(target)),
            (None, "") => status.to_string(),
            (None, words) => format!("{status} {}", shown(words, 40)),
        }
    }
}

impl Expectations {
    /// Whether the body has to be kept, not only read to its end.
    pub(crate) fn ask_for_the_body(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// What is wrong with the head, if anything.
    pub(crate) fn judge_head(&self, head: &Head<'_>) -> Result<(), String> {
        if !self.statuses.0.iter().any(|range| range.contains(&head.status)) {
            return Err(head.said());
        }
        for Field { name, value } in &self.fields {
            let mut values = head.values(name).peekable();
            if values.peek().is_none() {
                return Err(format!("{}, without the field {name}", head.said()));
            }
            if let Some(pattern) = value
                && !values.any(|value| pattern.is_in(value))
            {
                return Err(format!("{}, but the field {name} is not as expected", head.said()));
            }
        }
        Ok(())
    }

    /// What is wrong with the body, if anything; `whole` says whether all of it was kept.
    pub(crate) fn judge_body(&self, said: &str, body: &[u8], whole: bool) -> Result<(), String> {
        if self.bodies.iter().all(|pattern| pattern.is_in(body)) {
            Ok(())
        } else if whole {
            Err(format!("{said}, but the body is not as expected"))
        } else {
            Err(format!("{said}, but the first {} KiB of the body are not as expected", body.len() / 1024))
        }
    }
}

/// Foreign text for people's eyes: one line, printable, not too long.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let mut line: String = text.chars().take(most).map(clean).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

/// Where a redirection leads, without what may be secret in it.
fn shown_location(location: &str) -> String {
    let bare = location.split(['?', '#']).next().unwrap_or_default();
    let bare = match bare.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let authority = rest[..end].rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{authority}{}", &rest[end..])
        }
        None => bare.to_owned(),
    };
    shown(&bare, 200)
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
