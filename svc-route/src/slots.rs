//! Slots, and how the traffic is shared among them.

use std::fmt;
use std::str::FromStr;

/// One of the places a service can run in: its name and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) address: Address,
}

/// Where a slot listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host, without brackets, and a port.
    Tcp(String, u16),
    /// The absolute path of a unix socket.
    Unix(String),
}

/// The share of each slot, in percent, in the slots' order. `None`: the proxy does not know the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shares(pub(crate) Vec<Option<u8>>);

impl Shares {
    /// The slot with the most traffic; none when no slot has any.
    pub(crate) fn live(&self) -> Option<usize> {
        let most = self.0.iter().flatten().copied().max().filter(|share| *share > 0)?;
        self.0.iter().position(|share| *share == Some(most))
    }

    /// The slot for the next release: of those that are not live the one with the least traffic.
    pub(crate) fn idle(&self) -> Option<usize> {
        let live = self.live();
        (0..self.0.len()).filter(|slot| Some(*slot) != live).min_by_key(|slot| self.0[*slot].unwrap_or(0))
    }

    /// The shares with `percent` for `slot` and the rest for the live one, or all for `slot` when there is
    /// nobody to share with.
    pub(crate) fn moved(&self, slot: usize, percent: u8) -> Self {
        let mut shares = vec![Some(0); self.0.len()];
        let rest = self
            .live()
            .filter(|live| *live != slot)
            .or_else(|| self.idle().filter(|idle| *idle != slot && self.live().is_some()));
        match rest {
            Some(rest) => {
                shares[slot] = Some(percent);
                shares[rest] = Some(100 - percent);
            }
            None => shares[slot] = Some(100),
        }
        Self(shares)
    }

    /// The share of one slot.
    pub(crate) fn of(&self, slot: usize) -> u8 {
        self.0[slot].unwrap_or(0)
    }
}

/// Shares in percent from weights of any scale.
pub(crate) fn percents(weights: &[Option<u64>]) -> Shares {
    let total: u64 = weights.iter().flatten().sum();
    let percent = |weight: u64| u8::try_from((weight * 100 + total / 2) / total.max(1)).unwrap_or(100);
    Shares(weights.iter().map(|weight| weight.map(percent)).collect())
}

impl FromStr for Slot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, address)) = text.split_once('=') else {
            return Err("write a slot as NAME=ADDRESS, like blue=127.0.0.1:8001".into());
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.chars().all(plain)
            || name.len() > 64
            || name == "idle"
        {
            return Err(format!(
                "'{}' cannot name a slot: letters, digits, '.', '_' and '-', and not 'idle'",
                name.escape_debug()
            ));
        }
        Ok(Self { name: name.into(), address: address.parse()? })
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{}' is no address; write HOST:PORT, [IPv6]:PORT or unix:/PATH", text.escape_debug());
        if let Some(path) = text.strip_prefix("unix:") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-/@+".contains(c);
            return if path.starts_with('/') && path.chars().all(plain) {
                Ok(Self::Unix(path.into()))
            } else {
                Err(wrong())
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return inner
                .parse::<std::net::Ipv6Addr>()
                .map(|address| Self::Tcp(address.to_string(), port))
                .map_err(|_| wrong());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
            Err(wrong())
        } else {
            Ok(Self::Tcp(host.into(), port))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_addresses_are_read_and_odd_ones_refused() {
        for good in ["blue=127.0.0.1:8001", "b=localhost:1", "g=[::1]:80", "s=unix:/run/shop/a.sock"] {
            let slot: Slot = good.parse().unwrap();
            assert_eq!(format!("{}={}", slot.name, slot.address), good);
        }
        for bad in [
            "blue",
            "=127.0.0.1:1",
            "idle=h:1",
            "a;b=h:1",
            "a=h",
            "a=h:0",
            "a=h:99999",
            "a=$(x):1",
            "a=unix:x",
            "a=unix:/x;y",
            "a=[x]:1",
        ] {
            assert!(bad.parse::<Slot>().is_err(), "{bad}");
        }
    }

    #[test]
    fn live_is_the_slot_with_most_traffic_and_a_share_is_taken_from_it() {
        let none = Shares(vec![None, None]);
        assert_eq!((none.live(), none.idle()), (None, Some(0)));
        assert_eq!(none.moved(0, 10), Shares(vec![Some(100), Some(0)]));
        let blue = Shares(vec![Some(100), Some(0)]);
        assert_eq!((blue.live(), blue.idle()), (Some(0), Some(1)));
        assert_eq!(blue.moved(1, 10), Shares(vec![Some(90), Some(10)]));
        assert_eq!(blue.moved(1, 10).moved(1, 50), Shares(vec![Some(50), Some(50)]));
        assert_eq!(blue.moved(1, 60).moved(1, 100), Shares(vec![Some(0), Some(100)]));
        assert_eq!(percents(&[Some(9), Some(1)]), Shares(vec![Some(90), Some(10)]));
        assert_eq!(percents(&[None, Some(0)]), Shares(vec![None, Some(0)]));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_moved_all_of_the_traffic_has_a_slot(shares in proptest::collection::vec(0..100_u8, 1..5), slot in 0..5_usize, percent in 1..=100_u8) {
            let shares = Shares(shares.into_iter().map(Some).collect());
            let moved = shares.moved(slot % shares.0.len(), percent);
            proptest::prop_assert_eq!(moved.0.iter().flatten().map(|share| u32::from(*share)).sum::<u32>(), 100);
        }
    }
}
