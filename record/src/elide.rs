//! Keeps a stage's entry below its cap: of long lists the first and last stay, the rest is counted.

use serde_json::{Map, Value};

use crate::Stage;

/// The largest entry of one stage, in bytes.
const LARGEST: usize = 64 << 10;

/// Shortens the longest lists of the entry until it fits, and says in `elided` how many of each list
/// are missing. Counts and other members stay as they are.
pub(crate) fn cap(stage: &mut Stage) {
    let mut elided = Map::new();
    while size_of(stage) > LARGEST {
        let plan = stage.plan.len();
        let longest = stage
            .rest
            .iter()
            .filter_map(|(name, value)| {
                value.as_array().filter(|list| list.len() > 1).map(|list| (name.clone(), size_of(list)))
            })
            .max_by_key(|(_, size)| *size);
        let dropped = match longest {
            Some((name, size)) if plan < 2 || size >= size_of(&stage.plan) => {
                let Some(Value::Array(list)) = stage.rest.get_mut(&name) else { return };
                (name, halve(list))
            }
            _ if plan > 1 => ("plan".to_owned(), halve(&mut stage.plan)),
            _ => return,
        };
        let so_far = elided.get(&dropped.0).and_then(Value::as_u64).unwrap_or(0);
        elided.insert(dropped.0, (so_far + dropped.1).into());
        stage.rest.insert("elided".into(), Value::Object(elided.clone()));
    }
}

/// Drops the middle half, at least one entry; says how many were dropped.
fn halve<T>(list: &mut Vec<T>) -> u64 {
    let keep = list.len() / 2;
    let front = keep.div_ceil(2);
    let dropped = list.len() - keep;
    list.drain(front..front + dropped);
    dropped as u64
}

fn size_of(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_keeps_its_first_and_last_entries_and_counts_the_rest() {
        let mut stage = Stage::default();
        let list: Vec<Value> = (0..20_000).map(|n| Value::from(format!("entry {n}"))).collect();
        stage.rest.insert("kept".into(), Value::Array(list));
        stage.rest.insert("count".into(), 20_000.into());
        cap(&mut stage);
        assert!(size_of(&stage) <= LARGEST);
        let kept = stage.rest["kept"].as_array().unwrap();
        assert_eq!(kept.first(), Some(&Value::from("entry 0")));
        assert_eq!(kept.last(), Some(&Value::from("entry 19999")));
        assert_eq!(stage.rest["elided"]["kept"].as_u64(), Some(20_000 - kept.len() as u64));
        assert_eq!(stage.rest["count"].as_u64(), Some(20_000));
    }

    #[test]
    fn a_short_entry_stays_as_it_is() {
        let mut stage = Stage { tool: "release-mk".into(), ..Stage::default() };
        let before = stage.clone();
        cap(&mut stage);
        assert_eq!(stage, before);
    }
}
