//! The sequences of `--signals`: `HUP`, or `USR2,wait-new,WINCH,TERM`. Pure.

use std::str::FromStr;
use std::time::Duration;

use rustix::process::Signal;

/// What is sent, and what is waited for in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(pub(crate) Vec<Move>);

/// One step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Sends a signal to the process that ran before.
    Send(Signal),
    /// Waits until a new main process runs beside it.
    WaitNew,
    /// Waits.
    Pause(Duration),
}

const SIGNALS: [(&str, Signal); 14] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("TERM", Signal::TERM),
    ("WINCH", Signal::WINCH),
    ("CONT", Signal::CONT),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
];

impl Sequence {
    /// The plain way to end a process: TERM.
    pub(crate) fn ending() -> Self {
        Self(vec![Move::Send(Signal::TERM)])
    }

    /// Whether a new main process is started by the old one, which then ends.
    pub(crate) fn hands_over(&self) -> bool {
        self.0.contains(&Move::WaitNew)
    }

    /// Whether it ends the process and starts no other: what a stop may be.
    pub(crate) fn only_ends(&self) -> bool {
        self.ends_the_old() && !self.hands_over()
    }

    /// Whether the process is ended, for something else to start it anew.
    pub(crate) fn ends_the_old(&self) -> bool {
        self.ending_signal().is_some()
    }

    /// The signal that ends the process, if the last one does.
    pub(crate) fn ending_signal(&self) -> Option<Signal> {
        let last = self.0.iter().rev().find_map(|step| match step {
            Move::Send(signal) => Some(*signal),
            _ => None,
        });
        last.filter(|signal| [Signal::TERM, Signal::QUIT, Signal::INT, Signal::KILL, Signal::ABORT].contains(signal))
    }
}

impl FromStr for Sequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moves = text.split(',').map(parse_move).collect::<Result<Vec<_>, _>>()?;
        if !matches!(moves.first(), Some(Move::Send(_))) {
            return Err("a sequence begins with a signal, as in USR2,wait-new,WINCH,TERM".into());
        }
        let sequence = Self(moves);
        if sequence.hands_over() && !sequence.ends_the_old() {
            return Err("after wait-new the old process must be ended, as in USR2,wait-new,WINCH,TERM".into());
        }
        Ok(sequence)
    }
}

fn parse_move(word: &str) -> Result<Move, String> {
    if word == "wait-new" {
        return Ok(Move::WaitNew);
    }
    let name = word.strip_prefix("SIG").unwrap_or(word);
    if let Some((_, signal)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Ok(Move::Send(*signal));
    }
    if word.starts_with(|c: char| c.is_ascii_digit())
        && let Ok(pause) = record::duration(word)
    {
        return Ok(Move::Pause(pause));
    }
    Err(format!("{word:?} is no signal; a sequence has signals (HUP, USR2), wait-new and durations (2s)"))
}

/// The name of a signal, as people write it.
pub(crate) fn name(signal: Signal) -> &'static str {
    SIGNALS.iter().find(|(_, known)| *known == signal).map_or("a signal", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read_and_nonsense_is_refused() {
        let of = |text: &str| text.parse::<Sequence>();
        assert_eq!(of("HUP").unwrap().0, [Move::Send(Signal::HUP)]);
        let handover = of("USR2,wait-new,2s,SIGWINCH,TERM").unwrap();
        assert_eq!(
            handover.0,
            [
                Move::Send(Signal::USR2),
                Move::WaitNew,
                Move::Pause(Duration::from_secs(2)),
                Move::Send(Signal::WINCH),
                Move::Send(Signal::TERM)
            ]
        );
        assert!(handover.hands_over() && handover.ends_the_old());
        assert!(!of("HUP").unwrap().ends_the_old());
        assert!(of("TERM").unwrap().ends_the_old());
        assert!(of("QUIT,2s,TERM").unwrap().only_ends());
        assert!(!handover.only_ends() && !of("HUP").unwrap().only_ends());
        for nonsense in
            ["", "hup", "9", "wait-new", "2s,HUP", "USR2,wait-new", "USR2,wait-new,WINCH", "HUP,", "STOP", "TERM;id"]
        {
            assert!(of(nonsense).is_err(), "{nonsense}");
        }
    }
}
