//! `{idle}`, `{live}`, `{release}` and their kin in an option's text, filled in from the record.
//!
//! A value reaches a shell sooner or later, so every one is checked before it is put in; a
//! placeholder without a value is a usage error before any effect.

use anyhow::bail;

use crate::sections::{RouteSection, RouteSlot};
use crate::{Exit, Failure, Record};

/// The names that are filled in here; others, such as `{i}`, are left for the tool.
pub const PLACEHOLDERS: &[&str] = &[
    "{live}",
    "{live.port}",
    "{live.address}",
    "{idle}",
    "{idle.port}",
    "{idle.address}",
    "{release}",
    "{release.path}",
];

/// The text with all of [`PLACEHOLDERS`] replaced by what the record says.
pub fn fill(text: &str, record: &Record) -> anyhow::Result<String> {
    let mut filled = text.to_owned();
    for placeholder in PLACEHOLDERS.iter().filter(|placeholder| text.contains(*placeholder)) {
        let Some(value) = value(placeholder, record)? else {
            bail!(
                Failure::new(Exit::Usage, "usage", format!("{placeholder} has no value: {}", source(placeholder)))
                    .hint(format!("give the value itself, or let {} come before in the pipe", tool(placeholder)))
            );
        };
        refuse_odd(placeholder, &value)?;
        filled = filled.replace(placeholder, &value);
    }
    Ok(filled)
}

/// Whether the text is about the live slot of a service that has none yet: the first deploy of all. What is asked of
/// that slot has nobody to ask.
pub fn names_no_slot(text: &str, record: &Record) -> bool {
    let picked = record.stages.iter().find(|stage| stage.tool == "svc-route" && !stage.undo);
    text.contains("{live") && picked.is_some_and(|stage| !stage.rest.contains_key("live"))
}

fn value(placeholder: &str, record: &Record) -> anyhow::Result<Option<String>> {
    let release = record.release.as_ref();
    match placeholder {
        "{release}" => return Ok(release.map(|release| release.id.clone())),
        "{release.path}" => return Ok(release.and_then(|release| release.path.clone())),
        _ => {}
    }
    // The first one counts: a later stage that moved the traffic does not turn the names round.
    let Some(stage) = record.stages.iter().find(|stage| stage.tool == "svc-route" && !stage.undo) else {
        return Ok(None);
    };
    let section: RouteSection = stage.section()?;
    let slot = if placeholder.starts_with("{live") { section.live } else { section.idle };
    let address = |name: &String| {
        section.slots.iter().find(|slot| slot.name == *name).map(|slot: &RouteSlot| slot.address.clone())
    };
    Ok(match placeholder {
        "{live}" | "{idle}" => slot,
        "{live.address}" | "{idle.address}" => slot.as_ref().and_then(address),
        _ => slot
            .as_ref()
            .and_then(address)
            .and_then(|address| address.rsplit_once(':').map(|(_, port)| port.to_owned())),
    })
}

/// Nothing that a shell, a file name or a unit name would take for more than text.
fn refuse_odd(placeholder: &str, value: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@,+-[]".contains(c);
    if value.is_empty() || value.starts_with('-') || !value.chars().all(plain) {
        bail!(Failure::new(
            Exit::InvalidInput,
            "input.placeholder",
            format!("the record's value for {placeholder} has characters that are not safe in a command: {value}")
        ));
    }
    Ok(())
}

fn tool(placeholder: &str) -> &'static str {
    if placeholder.starts_with("{release") { "release-mk or release-switch" } else { "svc-route --pick" }
}

fn source(placeholder: &str) -> &'static str {
    match placeholder {
        "{release}" | "{release.path}" => "no release is in the record",
        "{live}" | "{live.port}" | "{live.address}" => "no slot had traffic, or no stage of svc-route is in the record",
        _ => "no stage of svc-route is in the record",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Release, Stage};

    fn record() -> Record {
        let mut record = crate::pipe::fresh_record();
        record.release =
            Some(Release { id: "v2".into(), path: Some("/srv/shop/releases/v2".into()), ..Release::default() });
        let stage = |live: &str, idle: &str| {
            let slot =
                |name: &str, port: u16| serde_json::json!({"name": name, "address": format!("127.0.0.1:{port}")});
            let section = serde_json::json!({"via": "nginx", "slots": [slot("blue", 8001), slot("green", 8002)], "live": live, "idle": idle});
            let rest = section.as_object().cloned().unwrap();
            Stage { tool: "svc-route".into(), rest, ..Stage::default() }
        };
        record.stages = vec![stage("blue", "green"), stage("green", "blue")];
        record
    }

    #[test]
    fn the_first_pick_names_the_slots_for_the_whole_pipe() {
        let filled = fill("shop@{idle} {idle.port} {live.address} {release} {release.path} {i}", &record()).unwrap();
        assert_eq!(filled, "shop@green 8002 127.0.0.1:8001 v2 /srv/shop/releases/v2 {i}");
    }

    #[test]
    fn before_the_first_move_nobody_is_live() {
        let mut first = record();
        assert!(!names_no_slot("shop@{live}", &first));
        first.stages[0].rest.remove("live");
        assert!(names_no_slot("shop@{live}", &first));
        assert!(!names_no_slot("shop@{idle}", &first));
        assert!(!names_no_slot("shop@{live}", &crate::pipe::fresh_record()));
    }

    #[test]
    fn a_placeholder_without_a_value_and_an_unsafe_value_are_refused() {
        let empty = crate::pipe::fresh_record();
        assert!(fill("{idle}", &empty).is_err());
        assert_eq!(fill("nothing {here}", &empty).unwrap(), "nothing {here}");
        let mut odd = record();
        odd.release = Some(Release { id: "v2; rm -rf /".into(), ..Release::default() });
        assert!(fill("{release}", &odd).is_err());
    }
}
