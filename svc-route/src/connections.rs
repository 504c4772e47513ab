//! How many connections lead to an address, as the kernel counts them.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context;

use crate::addresses;
use crate::slots::Address;

/// The state ESTABLISHED of include/net/tcp_states.h, as /proc/net/tcp prints it.
const ESTABLISHED: &str = "01";
/// The state CONNECTED of include/uapi/linux/net.h, as /proc/net/unix prints it.
const CONNECTED: &str = "03";

/// Counts the established connections of this host to `address`, in this network namespace.
pub(crate) fn count(address: &Address) -> anyhow::Result<usize> {
    match address {
        Address::Unix(path) => {
            let table = std::fs::read_to_string("/proc/net/unix").context("read /proc/net/unix")?;
            Ok(unix(&table, path))
        }
        Address::Tcp(host, port) => {
            let addresses = addresses::of(host, *port)?;
            let tables =
                ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
            Ok(tables.iter().map(|table| tcp(table, &addresses)).sum())
        }
    }
}

/// Opens one connection to `address` and closes it again.
pub(crate) fn try_one(address: &Address) -> std::io::Result<()> {
    match address {
        Address::Unix(path) => UnixStream::connect(path).map(drop),
        Address::Tcp(host, port) => addresses::connect(host, *port, Duration::from_secs(5)).map(drop),
    }
}

fn tcp(table: &str, addresses: &[SocketAddr]) -> usize {
    let is_ours = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(2);
        let (remote, state) = (fields.next(), fields.next());
        state == Some(ESTABLISHED) && remote.and_then(socket_address).is_some_and(|remote| addresses.contains(&remote))
    };
    table.lines().skip(1).filter(is_ours).count()
}

fn unix(table: &str, path: &str) -> usize {
    let is_ours = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(5) == Some(&CONNECTED) && fields.get(7) == Some(&path)
    };
    table.lines().skip(1).filter(is_ours).count()
}

/// `0100007F:1F41`: the address in words of the machine's byte order, the port in plain hexadecimal.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = (0..address.len() / 8).map(|at| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_counted_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Address::Tcp("127.0.0.1".into(), port);
        assert_eq!(count(&address).unwrap(), 0);
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _server = listener.accept().unwrap();
        assert_eq!(count(&address).unwrap(), 1);
        drop(client);
        assert_eq!(count(&address).unwrap(), 0);
    }

    #[test]
    fn both_families_are_read_and_a_mapped_address_is_the_plain_one() {
        assert_eq!(socket_address("0100007F:1F41"), Some("127.0.0.1:8001".parse().unwrap()));
        assert_eq!(socket_address("0000000000000000FFFF00000100007F:1F41"), Some("127.0.0.1:8001".parse().unwrap()));
        assert_eq!(socket_address("00000000000000000000000001000000:0050"), Some("[::1]:80".parse().unwrap()));
        assert_eq!(socket_address("garbage"), None);
    }
}
