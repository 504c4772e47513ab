//! When a release was live, as far as the history proves it. Pure.
//!
//! A history that was lost begins anew with what its next reader finds, so silence about a release that is
//! older than the first line proves nothing.

use std::time::SystemTime;

use record::clock::parse_rfc3339;
use store::history::Kind;
use store::{History, Manifest, Verdict};

/// How far back the history proves anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It begins with the first switch ever: what it does not name was never live.
    Whole,
    /// It begins with a link that was there already, so others may have been live before.
    At(Option<SystemTime>),
    /// There is none: anything may have been live until now.
    Lost,
}

/// What the history says of releases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lived<'l> {
    history: &'l History,
    beginning: Beginning,
}

impl<'l> Lived<'l> {
    pub(crate) fn of(history: &'l History) -> Self {
        let beginning = match history.entries().first() {
            Some(first) if first.kind == Kind::Found || first.from.is_some() => Beginning::At(parse_rfc3339(&first.at)),
            Some(_) => Beginning::Whole,
            None => Beginning::Lost,
        };
        Self { history, beginning }
    }

    pub(crate) fn beginning(self) -> Beginning {
        self.beginning
    }

    /// Whether the history names it.
    pub(crate) fn surely(self, manifest: &Manifest) -> bool {
        self.history.verdict(manifest.seq) != Verdict::Never
    }

    /// Whether it cannot be ruled out.
    pub(crate) fn perhaps(self, manifest: &Manifest) -> bool {
        let made_before = |began: Option<SystemTime>| match (parse_rfc3339(&manifest.created_at), began) {
            (Some(made), Some(began)) => made <= began,
            _ => true,
        };
        self.surely(manifest)
            || match self.beginning {
                Beginning::Whole => false,
                Beginning::At(began) => made_before(began),
                Beginning::Lost => true,
            }
    }

    /// When it was live last: `None` if it never was, `Some(None)` if that is not known or it still is.
    pub(crate) fn last(self, manifest: &Manifest) -> Option<Option<SystemTime>> {
        match self.beginning {
            _ if self.surely(manifest) => Some(self.history.stopped_at(manifest.seq)),
            // What was live before the history began had stopped when it began.
            Beginning::At(began) if self.perhaps(manifest) => Some(began),
            Beginning::Lost => Some(None),
            _ => None,
        }
    }
}
