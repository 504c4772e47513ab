//! What to do, from what the proxy says now: pure.

use anyhow::bail;
use record::{Exit, Failure};

use crate::cli::{Action, Target};
use crate::slots::{Shares, Slot};

/// The moves to make, in order, and the slot that ends without traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Each the shares after one move; empty when the proxy already is as asked.
    pub(crate) moves: Vec<Shares>,
    /// The slots that lose all of their traffic, to be drained.
    pub(crate) drains: Vec<usize>,
}

/// The plan for `action`; pick and show plan nothing.
pub(crate) fn plan(slots: &[Slot], now: &Shares, action: &Action) -> anyhow::Result<Plan> {
    let Action::Move { to, steps } = action else { return Ok(Plan { moves: Vec::new(), drains: Vec::new() }) };
    let (slot, percent) = match to {
        Target::Idle => (idle(now)?, 100),
        Target::Slot(name, percent) => (position(slots, name)?, *percent),
    };
    let percents = if steps.is_empty() { vec![percent] } else { steps.clone() };
    Ok(towards(
        now,
        percents.iter().scan(now.clone(), |shares, percent| {
            *shares = shares.moved(slot, *percent);
            Some(shares.clone())
        }),
    ))
}

/// The plan that gives every slot the share it had before.
pub(crate) fn plan_back(now: &Shares, before: &Shares) -> Plan {
    towards(now, std::iter::once(before.clone()))
}

fn towards(now: &Shares, moves: impl Iterator<Item = Shares>) -> Plan {
    let mut last = now.clone();
    let mut kept = Vec::new();
    for shares in moves {
        if (0..shares.0.len()).any(|slot| shares.of(slot) != last.of(slot)) {
            kept.push(shares.clone());
            last = shares;
        }
    }
    let drains = (0..now.0.len()).filter(|slot| now.of(*slot) > 0 && last.of(*slot) == 0).collect();
    Plan { moves: kept, drains }
}

fn idle(now: &Shares) -> anyhow::Result<usize> {
    match now.idle() {
        Some(idle) => Ok(idle),
        None => bail!(
            Failure::new(Exit::Usage, "usage", "there is no idle slot: only one slot is named")
                .hint("name both with --slot NAME=ADDRESS")
        ),
    }
}

fn position(slots: &[Slot], name: &str) -> anyhow::Result<usize> {
    match slots.iter().position(|slot| slot.name == name) {
        Some(position) => Ok(position),
        None => bail!(Failure::new(Exit::Usage, "usage", format!("--to {name}: there is no slot of that name")).hint(
            format!("the slots are: {}", slots.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>().join(", "))
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Vec<Slot> {
        ["blue=127.0.0.1:1", "green=127.0.0.1:2"].iter().map(|slot| slot.parse().unwrap()).collect()
    }

    fn shares(blue: u8, green: u8) -> Shares {
        Shares(vec![Some(blue), Some(green)])
    }

    fn to(target: Target, steps: &[u8]) -> Action {
        Action::Move { to: target, steps: steps.to_vec() }
    }

    #[test]
    fn idle_gets_everything_and_the_old_live_one_is_drained() {
        let plan = plan(&slots(), &shares(100, 0), &to(Target::Idle, &[])).unwrap();
        assert_eq!(plan, Plan { moves: vec![shares(0, 100)], drains: vec![0] });
    }

    #[test]
    fn steps_go_up_one_by_one_and_steps_already_made_are_left_out() {
        let action = to(Target::Slot("green".into(), 100), &[10, 50, 100]);
        let plan_ = plan(&slots(), &shares(100, 0), &action).unwrap();
        assert_eq!(plan_.moves, [shares(90, 10), shares(50, 50), shares(0, 100)]);
        let again = plan(&slots(), &shares(90, 10), &action).unwrap();
        assert_eq!(again.moves, [shares(50, 50), shares(0, 100)]);
    }

    #[test]
    fn what_already_is_so_is_not_done_again() {
        let action = to(Target::Slot("green".into(), 100), &[]);
        assert_eq!(plan(&slots(), &shares(0, 100), &action).unwrap().moves, []);
        assert_eq!(plan_back(&shares(100, 0), &shares(100, 0)).moves, []);
        assert_eq!(plan_back(&shares(0, 100), &shares(100, 0)), Plan { moves: vec![shares(100, 0)], drains: vec![1] });
    }

    #[test]
    fn the_first_move_of_all_gives_the_slot_everything() {
        let none = Shares(vec![None, None]);
        let plan = plan(&slots(), &none, &to(Target::Slot("green".into(), 10), &[])).unwrap();
        assert_eq!(plan, Plan { moves: vec![shares(0, 100)], drains: vec![] });
    }

    #[test]
    fn an_unknown_slot_is_a_usage_error() {
        assert!(plan(&slots(), &shares(100, 0), &to(Target::Slot("red".into(), 100), &[])).is_err());
    }
}
