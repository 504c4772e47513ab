//! What becomes of a pin. Pure.

use std::time::SystemTime;

use anyhow::bail;
use record::clock::{parse_rfc3339, rfc3339};
use record::sections::{PinEntry, PinOutcome};
use record::{Exit, Failure};
use store::{Pin, PinState, ReleaseId};

use crate::cli::What;

/// What is to be written, and what to say about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What becomes of the pin.
    pub(crate) outcome: PinOutcome,
    /// The pin to write; `None` where it goes, or nothing happens.
    pub(crate) pin: Option<Pin>,
    /// The pin as it was found.
    pub(crate) former: Option<PinState>,
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// The user's name.
    pub(crate) user: &'a str,
    /// The clock.
    pub(crate) now: SystemTime,
}

/// Decides on the pin of `id`, of which `former` was found.
pub(crate) fn plan(id: &ReleaseId, what: &What, former: Option<PinState>, asker: Asker<'_>) -> anyhow::Result<Plan> {
    let What::Set { lasting, reason } = what else {
        let outcome = if former.is_some() { PinOutcome::Removed } else { PinOutcome::Unchanged };
        return Ok(Plan { outcome, pin: None, former });
    };
    let kept = match &former {
        Some(PinState::Readable(pin)) => Some(pin),
        _ => None,
    };
    let Some(reason) = reason.clone().or_else(|| kept.map(|pin| pin.reason.clone())) else {
        bail!(
            Failure::new(Exit::Failed, "pin.reason", format!("{id} has no pin yet, and a new one needs a reason"))
                .hint("say why with --reason TEXT")
        );
    };
    let until = asker.now + *lasting;
    let outcome = match kept.and_then(Pin::until) {
        Some(before) if before <= asker.now => PinOutcome::Set,
        Some(before) if until < before => PinOutcome::Shortened,
        Some(_) => PinOutcome::Extended,
        None => PinOutcome::Set,
    };
    let pin =
        Pin { id: id.clone(), until: rfc3339(until), owner: asker.user.to_owned(), reason, set_at: rfc3339(asker.now) };
    Ok(Plan { outcome, pin: Some(pin), former })
}

/// A pin as the record shows it.
pub(crate) fn entry(id: &ReleaseId, state: &PinState, now: SystemTime) -> PinEntry {
    let entry = PinEntry { id: id.to_string(), keeps: state.keeps(now), ..PinEntry::default() };
    match state {
        PinState::Readable(pin) => PinEntry {
            until_at: parse_rfc3339(&pin.until).map(rfc3339),
            owner: Some(pin.owner.clone()),
            reason: Some(pin.reason.clone()),
            ..entry
        },
        PinState::Unreadable(why) => PinEntry { unreadable: Some(why.clone()), ..entry },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(days: u64) -> SystemTime {
        std::time::UNIX_EPOCH + Duration::from_secs((20_000 + days) * 86_400)
    }

    fn pin(until: u64) -> PinState {
        PinState::Readable(Pin {
            id: id(),
            until: rfc3339(at(until)),
            owner: "ann".into(),
            reason: "trial".into(),
            set_at: rfc3339(at(0)),
        })
    }

    fn id() -> ReleaseId {
        ReleaseId::new("v1").unwrap()
    }

    fn set(days: u64, reason: Option<&str>, former: Option<PinState>) -> anyhow::Result<Plan> {
        let what = What::Set { lasting: Duration::from_secs(days * 86_400), reason: reason.map(str::to_owned) };
        plan(&id(), &what, former, Asker { user: "bob", now: at(10) })
    }

    #[test]
    fn a_pin_is_set_extended_or_shortened_from_now_on() {
        let unreadable = || Some(PinState::Unreadable("half a line".into()));
        let table = [
            (5, Some("audit"), None, PinOutcome::Set, "audit"),
            (5, Some("audit"), unreadable(), PinOutcome::Set, "audit"),
            (5, None, Some(pin(9)), PinOutcome::Set, "trial"),
            (5, None, Some(pin(12)), PinOutcome::Extended, "trial"),
            (5, Some("audit"), Some(pin(20)), PinOutcome::Shortened, "audit"),
        ];
        for (days, reason, former, outcome, kept_reason) in table {
            let plan = set(days, reason, former.clone()).unwrap();
            let pin = plan.pin.unwrap();
            assert_eq!(plan.outcome, outcome, "{former:?}");
            assert_eq!((pin.until, pin.owner.as_str(), pin.reason.as_str()), (rfc3339(at(15)), "bob", kept_reason));
        }
        for former in [None, unreadable()] {
            assert!(set(5, None, former).is_err(), "a pin without a reason");
        }
    }

    #[test]
    fn what_is_not_there_is_removed_without_change() {
        let of = |former| plan(&id(), &What::Remove, former, Asker { user: "bob", now: at(10) }).unwrap().outcome;
        assert_eq!(of(None), PinOutcome::Unchanged);
        assert_eq!(of(Some(pin(9))), PinOutcome::Removed);
        assert_eq!(of(Some(PinState::Unreadable("x".into()))), PinOutcome::Removed);
    }
}
