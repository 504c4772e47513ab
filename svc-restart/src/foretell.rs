//! What a dry run tells: the plan, for people and in the record. Nothing is done.

use record::Pipe;

use crate::managers::Act;
use crate::plan::{Plan, Step};
use crate::request::{Hold, Order};

/// Lists the steps of a plan, as a dry run does.
pub(crate) fn list(pipe: &mut Pipe, plan: &Plan, order: &Order, preparation: Option<&'static str>) {
    for line in in_words(plan, order) {
        pipe.say(line);
    }
    if plan.batches.is_empty() {
        return;
    }
    pipe.changed();
    if let Some(preparation) = preparation {
        pipe.plan(preparation, "the manager", Some("a unit changed on disk".into()));
    }
    for (at, batch) in plan.batches.iter().enumerate() {
        let number = format!("batch {}", at + 1);
        if at > 0 && !order.pause.is_zero() {
            pipe.plan("pause", number.clone(), Some(format!("{} ms", order.pause.as_millis())));
        }
        for step in batch {
            if order.before.is_some() {
                pipe.plan("before", step.instance.as_str(), None);
            }
            pipe.plan(step.act.word(), step.instance.as_str(), step.reason.clone());
        }
        if let Some(gate) = &order.gate {
            if gate.names_an_instance() {
                for step in batch.iter().filter(|step| step.act != Act::Stop) {
                    pipe.plan("gate", step.instance.as_str(), None);
                }
            } else {
                pipe.plan("gate", number.clone(), None);
            }
        }
        if order.after.is_some() {
            batch.iter().for_each(|Step { instance, .. }| pipe.plan("after", instance.as_str(), None));
        }
        if at == 0 && matches!(order.hold, Hold::After { .. }) {
            pipe.plan("hold", number, None);
        }
    }
}

/// The plan for people: what is left alone, and a line for each batch, as far as anybody reads on.
fn in_words(plan: &Plan, order: &Order) -> Vec<String> {
    const TOLD: usize = 20;
    let mut lines: Vec<String> =
        plan.left_alone.iter().map(|(instance, reason)| format!("would leave {instance} alone: {reason}")).collect();
    for (at, batch) in plan.batches.iter().enumerate() {
        let steps: Vec<String> = batch
            .iter()
            .map(|step| {
                let reason = step.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
                format!("{} {}{reason}", step.act.word(), step.instance)
            })
            .collect();
        let gate = if order.gate.is_some() { ", and ask the gate" } else { "" };
        let hold = if at == 0 && matches!(order.hold, Hold::After { .. }) { ", and hold" } else { "" };
        lines.push(format!("would {}{gate}{hold}", steps.join(", ")));
    }
    if lines.len() > TOLD {
        let more = lines.len() - TOLD;
        lines.truncate(TOLD);
        lines.push(format!("and {more} more"));
    }
    if lines.is_empty() { vec!["would do nothing".into()] } else { lines }
}
