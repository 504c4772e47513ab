//! The names of instances. A name is put into shell commands as it is, so it is checked once, when
//! it is built: nothing that a shell could read as anything but text gets in.

use std::fmt;
use std::str::FromStr;

use record::{Exit, Failure};

/// One process (or unit, program, container) of the service, as its manager calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Instance(String);

/// The endings by which systemd tells the types of units; they are no part of `%i`.
const UNIT_TYPES: [&str; 5] = [".service", ".socket", ".timer", ".target", ".path"];

impl Instance {
    /// The whole name: what `{instance}` stands for.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that a record has, which may be edited.
    pub(crate) fn recorded(name: &str) -> anyhow::Result<Self> {
        name.parse().map_err(|why: String| {
            let message = format!("the record names the instance {}: {why}", record::visible(name));
            Failure::new(Exit::InvalidInput, "input.instance", message).into()
        })
    }

    /// What `{i}` stands for: the part after the `@`, as systemd's `%i`, or the whole name where
    /// there is no `@`. `None` for a template without an instance (`shop@`).
    pub(crate) fn index(&self) -> Option<&str> {
        let Some((_, after)) = self.0.split_once('@') else { return Some(&self.0) };
        let after = UNIT_TYPES.iter().find_map(|ending| after.strip_suffix(ending)).unwrap_or(after);
        (!after.is_empty()).then_some(after)
    }
}

impl FromStr for Instance {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._:@+-".contains(c);
        if name.is_empty() {
            return Err("an instance needs a name".into());
        }
        if name.len() > 255 {
            return Err("an instance's name has at most 255 characters".into());
        }
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err("an instance's name begins with a letter or a digit".into());
        }
        match name.chars().find(|c| !legal(*c)) {
            None => Ok(Self(name.to_owned())),
            Some(c) => Err(format!("{c:?} is not allowed in an instance's name (letters, digits and ._:@+- are)")),
        }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_what_systemd_calls_percent_i() {
        for (name, index) in [
            ("shop@1", Some("1")),
            ("shop@1.service", Some("1")),
            ("shop@a@b", Some("a@b")),
            ("shop@v1.4", Some("v1.4")),
            ("shop", Some("shop")),
            ("shop.service", Some("shop.service")),
            ("web:web_01", Some("web:web_01")),
            ("shop@", None),
            ("shop@.service", None),
        ] {
            assert_eq!(name.parse::<Instance>().unwrap().index(), index, "{name}");
        }
    }

    #[test]
    fn a_name_that_a_shell_could_read_as_more_than_text_is_refused() {
        for name in [
            "",
            "-rf",
            ".",
            "..",
            "@",
            "a b",
            "a;b",
            "a$b",
            "$(id)",
            "`id`",
            "a|b",
            "a&b",
            "a>b",
            "a'b",
            "a\"b",
            "a\\b",
            "a/b",
            "../x",
            "a\nb",
            "a\0b",
            "a*",
            "a?",
            "a[b]",
            "a{b}",
            "a~",
            "a#b",
            "a!b",
            "a=b",
            "é",
            "a\u{202e}b",
        ] {
            assert!(name.parse::<Instance>().is_err(), "{name:?}");
        }
        assert!("x".repeat(256).parse::<Instance>().is_err());
    }
}
