//! Moves the traffic: one move after the other, each served before the next, the old slot drained.

use std::time::{Duration, Instant};

use anyhow::bail;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use record::sections::{RouteSection, RouteSlot};
use record::{Exit, Failure, Pipe};
use std::os::fd::AsFd;

use crate::cli::{Action, Request};
use crate::connections;
use crate::gate;
use crate::plan::{Plan, plan};
use crate::routers::{self, Router};
use crate::slots::Shares;

/// Picks, shows or moves.
pub(crate) fn apply(pipe: &mut Pipe, request: &Request) -> anyhow::Result<()> {
    let mut router = routers::of(&request.proxy, &request.slots);
    let moves = matches!(request.action, Action::Move { .. });
    if moves {
        pipe.begin_effect()?;
        if !pipe.dry_run() {
            router.lock(pipe.wait())?;
        }
    }
    let now = router.read()?;
    pipe.set_section(&section(request, &now, None));
    if !moves {
        show(pipe, request, &now);
        return Ok(());
    }
    let plan = plan(&request.slots, &now, &request.action)?;
    if plan.moves.is_empty() {
        pipe.say("the traffic already is where it is asked for");
        return Ok(());
    }
    pipe.changed();
    if pipe.dry_run() {
        list(pipe, request, &plan);
        return Ok(());
    }
    let last = plan.moves.last().unwrap_or(&now);
    refuse_silent(request, &now, last)?;
    // What was before is known to an undo even if this process is killed.
    pipe.progress()?;
    make_moves(pipe, request, router.as_mut(), &now, &plan, |pipe| gate::ask(pipe, request))
}

/// Traffic goes only to a slot that takes connections.
pub(crate) fn refuse_silent(request: &Request, now: &Shares, then: &Shares) -> anyhow::Result<()> {
    let gaining = request.slots.iter().enumerate().filter(|(at, _)| then.of(*at) > now.of(*at));
    for (_, slot) in gaining {
        if let Err(e) = connections::try_one(&slot.address) {
            let message =
                format!("{} at {} takes no connections ({e}): the traffic stays where it is", slot.name, slot.address);
            bail!(
                Failure::new(Exit::Failed, "route.silent", message)
                    .hint("start it first, and ask svc-health whether it is ready")
            );
        }
    }
    Ok(())
}

/// Makes every move of the plan, then drains what lost its traffic.
pub(crate) fn make_moves(
    pipe: &mut Pipe,
    request: &Request,
    router: &mut dyn Router,
    now: &Shares,
    plan: &Plan,
    gate: impl Fn(&Pipe) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (at, shares) in plan.moves.iter().enumerate() {
        router.set(shares, Instant::now() + request.timeout)?;
        pipe.set_section(&section(request, now, Some(shares)));
        pipe.progress()?;
        pipe.say(format_args!("traffic: {}", in_words(request, shares)));
        if at + 1 < plan.moves.len() {
            wait(pipe, request.pause)?;
        }
        gate(pipe)?;
        pipe.check_signals()?;
    }
    let last = plan.moves.last().unwrap_or(now);
    drain(pipe, request, router, now, last, &plan.drains)
}

fn drain(
    pipe: &mut Pipe,
    request: &Request,
    router: &mut dyn Router,
    now: &Shares,
    last: &Shares,
    drains: &[usize],
) -> anyhow::Result<()> {
    if drains.is_empty() {
        return Ok(());
    }
    let began = Instant::now();
    let mut drained = true;
    for slot in drains {
        // Interrupted draining is no failure: the traffic has moved, and nothing is taken from the old slot.
        drained &= router.drain(&request.slots[*slot], began + request.drain, pipe.interrupts().as_fd())?;
    }
    let mut section = section(request, now, Some(last));
    section.drained = Some(drained);
    section.drain_ms = Some(record::clock::milliseconds(began.elapsed()));
    pipe.set_section(&section);
    if !drained {
        let names: Vec<&str> = drains.iter().map(|slot| request.slots[*slot].name.as_str()).collect();
        pipe.warn(
            "route.not_drained",
            format!("{} still had connections after {:?}", names.join(", "), began.elapsed()),
        );
    }
    Ok(())
}

/// The section as it stands: what was, and what is.
pub(crate) fn section(request: &Request, before: &Shares, after: Option<&Shares>) -> RouteSection {
    let slots = request.slots.iter().enumerate().map(|(at, slot)| RouteSlot {
        name: slot.name.clone(),
        address: slot.address.to_string(),
        percent_before: before.0[at],
        percent_after: after.map_or(before.0[at], |after| after.0[at]),
    });
    let name = |slot: Option<usize>| slot.map(|slot| request.slots[slot].name.clone());
    RouteSection {
        via: request.proxy.name().into(),
        slots: slots.collect(),
        live: name(before.live()),
        idle: name(before.idle()),
        drained: None,
        drain_ms: None,
    }
}

fn show(pipe: &Pipe, request: &Request, now: &Shares) {
    if request.action == Action::Show {
        pipe.say(in_words(request, now));
    } else {
        pipe.explain(in_words(request, now));
    }
}

fn list(pipe: &mut Pipe, request: &Request, plan: &Plan) {
    for shares in &plan.moves {
        pipe.plan("route", in_words(request, shares), None);
        if let Some(gate) = &request.gate
            && !gate.is_empty()
        {
            pipe.plan("gate", request.proxy.name(), None);
        }
    }
    for slot in &plan.drains {
        pipe.plan("drain", request.slots[*slot].name.clone(), None);
    }
}

/// `blue 90 %, green 10 %`.
pub(crate) fn in_words(request: &Request, shares: &Shares) -> String {
    let words = request.slots.iter().zip(&shares.0).map(|(slot, share)| match share {
        Some(share) => format!("{} {share} %", slot.name),
        None => format!("{} unknown to the proxy", slot.name),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Waits, unless a signal comes first.
fn wait(pipe: &Pipe, duration: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + duration;
    loop {
        pipe.check_signals()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let mut watched = [PollFd::new(pipe.interrupts().as_fd(), PollFlags::POLLIN)];
        // Woken early or late, the loop looks again.
        let _ = poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
    }
}

/// An error of a proxy that did not do what it was told in time.
pub(crate) fn too_slow(what: &str) -> anyhow::Error {
    Failure::new(Exit::Failed, "route.timeout", format!("{what} in time")).hint("allow more with --timeout").into()
}

/// Asks again every few milliseconds until it is so, or the time is over.
pub(crate) fn until(
    deadline: Instant,
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    while !is_so()? {
        if Instant::now() >= deadline {
            bail!(too_slow(what));
        }
        let _ = poll(&mut [], 5_u8);
    }
    Ok(())
}
