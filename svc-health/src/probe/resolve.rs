//! From a host's name to addresses.
//!
//! Literals and `localhost` need nobody. Other names are asked of `getent`, the system's own word on hosts, DNS and
//! whatever else nsswitch.conf names: a static program cannot load those modules itself.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use process::command::{Outcome, Spec};

use super::aside::aside;
use crate::engine::Io;
use crate::target::Address;
use crate::verdict::Answer;

/// How long an answer is believed: a name that moves is noticed soon, and fast polls do not ask for each attempt.
const BELIEVED_FOR: Duration = Duration::from_secs(10);
const OUTPUT_MOST: usize = 16 * 1024;
const ADDRESSES_MOST: usize = 8;

/// The addresses behind a host, looked up when needed.
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
        let fixed = match (address.host.as_str(), address.host.parse::<IpAddr>()) {
            (_, Ok(ip)) => Some(vec![ip]),
            ("localhost", _) => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            _ => None,
        };
        let with_port = |ips: Vec<IpAddr>| ips.into_iter().map(|ip| (ip, address.port).into()).collect();
        let known = fixed.map_or(Known::Nothing, |ips| Known::Always(with_port(ips)));
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
        let spec = Spec::program("getent", ["getent", "ahosts", &self.address.host])
            .captured(OUTPUT_MOST)
            .grace(Duration::from_millis(100))
            .guarded();
        let asked = aside(io, move |stop| spec.run(Some(stop))).await;
        let ended = match asked {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => return Err(Answer::CannotTell(format!("look up the host: {error:#}"))),
            Err(error) => return Err(Answer::CannotTell(format!("look up the host: {error}"))),
        };
        let found = listed(&String::from_utf8_lossy(&ended.stdout), self.address.port);
        match ended.outcome {
            Outcome::Exited(0) if !found.is_empty() => Ok(found),
            Outcome::Exited(_) => Err(Answer::NotYet(format!("no address for {}", self.address.host))),
            other => Err(Answer::CannotTell(format!("look up the host: getent {other}"))),
        }
    }
}

/// The addresses in what `getent ahosts` prints: three lines for each, one per kind of socket.
fn listed(printed: &str, port: u16) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for ip in printed.lines().filter_map(|line| line.split_whitespace().next()?.parse::<IpAddr>().ok()) {
        let address = SocketAddr::from((ip, port));
        if !found.contains(&address) && found.len() < ADDRESSES_MOST {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_taken_once_in_the_order_of_preference() {
        let printed = "2001:db8::1     STREAM shop\n2001:db8::1     DGRAM\n192.0.2.1       STREAM\n192.0.2.1 RAW\n?\n";
        let expected: Vec<SocketAddr> = vec!["[2001:db8::1]:80".parse().unwrap(), "192.0.2.1:80".parse().unwrap()];
        assert_eq!(listed(printed, 80), expected);
    }
}
