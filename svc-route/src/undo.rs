//! Takes back what svc-route changed earlier in a failed pipe.

use anyhow::bail;
use record::sections::RouteSection;
use record::{Exit, Failure, Pipe};

use crate::apply::{in_words, make_moves, refuse_silent, section};
use crate::cli::Request;
use crate::plan::plan_back;
use crate::slots::{Shares, Slot};
use crate::{gate, routers};

/// Gives every slot the share it had before the pipe; only a slot that answers gets traffic back.
pub(crate) fn take_back(pipe: &mut Pipe, request: &Request) -> anyhow::Result<()> {
    if !pipe.has_input() {
        bail!(
            Failure::new(Exit::Usage, "usage", "--undo takes a pipe back, so it needs the record of one on stdin")
                .hint("svc-route --to SLOT moves the traffic")
        );
    }
    let stages = pipe.to_take_back();
    // The earliest of them knows what was before all of them.
    let Some(earliest) = stages.last().copied() else { return Ok(()) };
    let recorded: RouteSection = pipe.record().stages[earliest].section()?;
    pipe.begin_effect()?;
    let mut router = routers::of(&request.proxy, &request.slots);
    if !pipe.dry_run() {
        router.lock(pipe.wait())?;
    }
    let now = router.read()?;
    let before = shares_before(request, &recorded, &now);
    pipe.set_section(&section(request, &now, None));
    let plan = plan_back(&now, &before);
    if plan.moves.is_empty() || before.live().is_none() {
        pipe.took_back(stages);
        return Ok(());
    }
    pipe.changed();
    if pipe.dry_run() {
        pipe.plan("route", in_words(request, &before), None);
        return Ok(());
    }
    refuse_silent(request, &now, &before)?;
    if before.live() != now.live() {
        gate::ask(pipe, request)?;
    }
    pipe.progress()?;
    make_moves(pipe, request, router.as_mut(), &now, &plan, |_| Ok(()))?;
    pipe.took_back(stages);
    Ok(())
}

/// What every slot had, by name; a slot the record does not know keeps what it has.
fn shares_before(request: &Request, recorded: &RouteSection, now: &Shares) -> Shares {
    let share = |(at, slot): (usize, &Slot)| {
        let known = recorded.slots.iter().find(|known| known.name == slot.name);
        known.map_or(now.0[at], |known| known.percent_before.or(Some(0)))
    };
    Shares(request.slots.iter().enumerate().map(share).collect())
}
