//! The ways of asking, one file each, behind one trait.

mod aside;
pub(crate) mod body;
mod exec;
pub(crate) mod http;
mod net;
mod pidfile;
mod release;
mod resolve;
mod stream;
mod systemd;
mod tcp;
pub(crate) mod tls;
mod unix;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Attempt, Io};
use crate::expect::Expectations;
use crate::target::{Place, Target};
use release::Owner;
use resolve::Addresses;
use tls::{Tls, Trust};

/// Something that can be asked again and again, one attempt at a time.
pub(crate) trait Probe {
    /// Asks once. Dropping the attempt ends whatever it began.
    fn attempt(&self, io: Rc<Io>) -> Attempt<'_>;
}

/// What holds for all targets of a watch.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Of an answer over HTTP.
    pub(crate) expect: Expectations,
    /// Sent with every request. May hold secrets.
    pub(crate) fields: Vec<(String, String)>,
    /// For https.
    pub(crate) trust: Trust,
    /// After that an attempt is given up.
    pub(crate) timeout: Duration,
    /// The release that must answer.
    pub(crate) release: Option<PathBuf>,
}

/// Children beyond these would only wait for each other.
const CHILDREN_MOST: usize = 32;
/// A few of the descriptors we may open are ours already; a child takes several.
const DESCRIPTORS_EACH: u64 = 4;

/// How many of `targets` to ask at once when `wished` is asked for: no more than there are descriptors for.
pub(crate) fn at_once(targets: &[Target], wished: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let possible = usize::try_from(limit / DESCRIPTORS_EACH).unwrap_or(usize::MAX).max(1);
    let has_children = targets.iter().any(|target| matches!(target, Target::Exec(_) | Target::Systemd(_)));
    wished.min(possible).min(if has_children { CHILDREN_MOST } else { usize::MAX })
}

/// Makes the probes. Reads certificates if a target needs them; asks nobody yet.
pub(crate) fn probes(targets: &[Target], terms: &Terms) -> anyhow::Result<Vec<Box<dyn Probe>>> {
    let expect = Rc::new(terms.expect.clone());
    let owner = terms.release.clone().map(Owner::new);
    let is_secure = |target: &Target| matches!(target, Target::Http(url) if url.secure);
    let config = targets.iter().any(is_secure).then(|| tls::config(&terms.trust)).transpose()?;
    let probe = |target: &Target| -> anyhow::Result<Box<dyn Probe>> {
        let (owner, timeout) = (owner.clone(), terms.timeout);
        Ok(match target {
            Target::Http(url) => {
                let tls = match (&url.place, &config) {
                    (Place::Net(address), Some(config)) if url.secure => {
                        Some(Tls::to(&address.host, Arc::clone(config))?)
                    }
                    _ => None,
                };
                Box::new(http::Http::new(url, &terms.fields, Rc::clone(&expect), tls, owner))
            }
            Target::Tcp(address) => Box::new(tcp::Tcp { addresses: Addresses::of(address), owner }),
            Target::Unix(path) => Box::new(unix::Unix { path: path.clone(), owner }),
            Target::Exec(command) => Box::new(exec::Exec { command: command.clone(), timeout }),
            Target::Systemd(unit) => Box::new(systemd::Systemd { unit: unit.clone(), timeout, owner }),
            Target::Pidfile(path) => Box::new(pidfile::Pidfile { path: path.clone(), owner }),
        })
    };
    targets.iter().map(probe).collect()
}
