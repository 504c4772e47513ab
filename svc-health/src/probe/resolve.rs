//! The addresses behind a host, looked up when an attempt needs them.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use process::hosts;

use super::aside::aside;
use crate::engine::Io;
use crate::target::Address;
use crate::verdict::Answer;

/// How long an answer is believed: a name that moves is noticed soon, and fast polls do not ask for each attempt.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// The addresses behind a host.
#[derive(Debug)]
pub(crate) struct Addresses {
    address: Address,
    known: RefCell<Known>,
}

#[derive(Debug)]
enum Known {
    Always(Vec<SocketAddr>),
    Since(Instant, Vec<SocketAddr>),
    Nothing,
}

impl Addresses {
    /// Looks nothing up yet.
    pub(crate) fn of(address: &Address) -> Self {
        let known =
            hosts::known(&address.host).map_or(Known::Nothing, |ips| Known::Always(with_port(ips, address.port)));
        Addresses { address: address.clone(), known: RefCell::new(known) }
    }

    /// At least one address, or the reason why there is none.
    pub(crate) async fn resolve(&self, io: &Io) -> Result<Vec<SocketAddr>, Answer> {
        match &*self.known.borrow() {
            Known::Always(found) => return Ok(found.clone()),
            Known::Since(when, found) if when.elapsed() < BELIEVED_FOR => return Ok(found.clone()),
            _ => {}
        }
        let found = self.ask(io).await?;
        *self.known.borrow_mut() = Known::Since(Instant::now(), found.clone());
        Ok(found)
    }

    async fn ask(&self, io: &Io) -> Result<Vec<SocketAddr>, Answer> {
        io.doing("looking up the host");
        let host = self.address.host.clone();
        let asked = aside(io, move |stop| hosts::look_up(&host, None, Some(stop))).await;
        match asked {
            Ok(Ok(ips)) if ips.is_empty() => Err(Answer::NotYet(format!("no address for {}", self.address.host))),
            Ok(Ok(ips)) => Ok(with_port(ips, self.address.port)),
            Ok(Err(error)) => Err(Answer::CannotTell(format!("look up the host: {error:#}"))),
            Err(error) => Err(Answer::CannotTell(format!("look up the host: {error}"))),
        }
    }
}

fn with_port(ips: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    ips.into_iter().map(|ip| (ip, port).into()).collect()
}
