//! From a host's name to addresses, the same way in every tool.
//!
//! Literals and `localhost` need nobody. Other names are asked of `getent`, the system's own word on hosts, DNS and
//! whatever else nsswitch.conf names: a static program cannot load those modules itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command::{Outcome, Spec};

const OUTPUT_MOST: usize = 16 * 1024;
const ADDRESSES_MOST: usize = 8;

/// The addresses that need no question.
pub fn known(host: &str) -> Option<Vec<IpAddr>> {
    match (host, host.parse::<IpAddr>()) {
        (_, Ok(ip)) => Some(vec![ip]),
        ("localhost", _) => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        _ => None,
    }
}

/// Looks a host up, in order of preference; nothing found is an empty list. An error is that nobody could be asked,
/// or that no answer came within `limit` or before `interrupts` could be read.
pub fn look_up(host: &str, limit: Option<Duration>, interrupts: Option<BorrowedFd<'_>>) -> Result<Vec<IpAddr>> {
    if let Some(known) = known(host) {
        return Ok(known);
    }
    let spec = Spec::program("getent", ["getent", "ahosts", "--", host]).captured(OUTPUT_MOST);
    let spec = spec.grace(Duration::from_millis(100)).guarded();
    let ended = limit.into_iter().fold(spec, Spec::time_limit).run(interrupts)?;
    match ended.outcome {
        Outcome::Exited(_) => Ok(listed(&String::from_utf8_lossy(&ended.stdout))),
        other => bail!("getent {other}"),
    }
}

/// The addresses in what `getent ahosts` prints: three lines for each, one per kind of socket.
fn listed(printed: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in printed.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        if !found.contains(&ip) && found.len() < ADDRESSES_MOST {
            found.push(ip);
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
        let expected: Vec<IpAddr> = vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
        assert_eq!(listed(printed), expected);
    }

    #[test]
    fn a_name_that_nobody_knows_has_no_address() {
        assert_eq!(look_up("nobody.invalid", None, None).unwrap(), [] as [IpAddr; 0]);
        assert_eq!(look_up("127.0.0.2", None, None).unwrap(), ["127.0.0.2".parse::<IpAddr>().unwrap()]);
    }
}
