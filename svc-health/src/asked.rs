//! What is asked, as it was written: its placeholders (`{idle.port}`, `{release}`) get their values from the record, so
//! it is read twice. First with stand-ins, when the command line is judged; then with the values, when the record is here.

use std::str::FromStr;

use record::placeholders::PLACEHOLDERS;

use crate::expect::{Expectations, Field, Pattern, Statuses};
use crate::target::Target;

/// The options that say what is asked and what must be answered, in their own words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) targets: Vec<String>,
    pub(crate) statuses: Option<String>,
    pub(crate) fields: Vec<String>,
    pub(crate) bodies: Vec<String>,
}

impl Asked {
    /// Reads all of it after `fill` has put values in. Errors tell which word it is by its place, not by its text: it may
    /// hold a secret.
    pub(crate) fn read(
        &self,
        fill: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<(Vec<Target>, Expectations)> {
        let filled = |texts: &[String]| texts.iter().map(|text| fill(text)).collect::<anyhow::Result<Vec<String>>>();
        let statuses = match &self.statuses {
            None => Statuses::default(),
            Some(list) => one("--expect-status", list)?,
        };
        let fields: Vec<Field> = each("--expect-header", &filled(&self.fields)?)?;
        let bodies: Vec<Pattern> = each("--expect-body", &filled(&self.bodies)?)?;
        let targets = each("target", &filled(&self.targets)?)?;
        Ok((targets, Expectations { statuses, fields, bodies }))
    }

    /// The same with stand-ins, to see whether the words are right.
    pub(crate) fn judge(&self) -> anyhow::Result<Vec<Target>> {
        Ok(self.read(|text| Ok(with_stand_ins(text)))?.0)
    }

    /// Whether a record is needed to know what is asked.
    pub(crate) fn has_placeholders(&self) -> bool {
        let has = |text: &String| PLACEHOLDERS.iter().any(|placeholder| text.contains(placeholder));
        [&self.targets, &self.fields, &self.bodies].into_iter().flatten().any(has)
    }
}

/// Values of the right kind.
fn with_stand_ins(text: &str) -> String {
    PLACEHOLDERS.iter().fold(text.to_owned(), |text, placeholder| {
        let stand_in = match placeholder.trim_matches(['{', '}']).rsplit('.').next() {
            Some("port") => "80",
            Some("address") => "localhost:80",
            Some("path") => "/x",
            _ => "x",
        };
        text.replace(placeholder, stand_in)
    })
}

fn one<T: FromStr<Err = String>>(option: &str, text: &str) -> anyhow::Result<T> {
    text.parse().map_err(|reason| anyhow::anyhow!("{option}: {reason}"))
}

/// Reads each value of a repeatable option.
pub(crate) fn each<T: FromStr<Err = String>>(option: &str, values: &[String]) -> anyhow::Result<Vec<T>> {
    let name = |at: usize| match values.len() {
        1 => option.to_owned(),
        _ => format!("{option} number {}", at + 1),
    };
    values.iter().enumerate().map(|(at, text)| one(&name(at), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_can_stand_where_it_makes_sense() {
        let asked = Asked {
            targets: [
                "http://127.0.0.1:{idle.port}/healthz",
                "http://{live.address}/",
                "http://{idle.address}/{release}",
                "systemd:shop-{idle}",
                "unix://{release.path}/run/app.sock",
                "tcp://127.0.0.1:{live.port}",
                "exec:{release.path}/bin/check {live}",
            ]
            .map(str::to_owned)
            .to_vec(),
            bodies: vec!["{release}".into()],
            ..Asked::default()
        };
        asked.judge().unwrap();
        assert!(asked.has_placeholders());
        let wrong = Asked { targets: vec!["http://127.0.0.1:{i}/".into()], ..Asked::default() };
        assert!(wrong.judge().unwrap_err().to_string().starts_with("target: \"{i}\" is no port"));
    }
}
