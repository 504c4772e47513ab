//! The socket tables of one network namespace: `net/tcp`, `net/tcp6`, `net/unix` beneath a process.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// A listening unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnixSocket {
    pub(super) inode: u64,
    /// The path as it was bound, perhaps relative.
    pub(super) path: PathBuf,
}

/// `TCP_LISTEN` of `include/net/tcp_states.h`.
const LISTEN: &str = "0A";
/// `__SO_ACCEPTCON` of `include/linux/net.h`: the mark of a listening unix socket.
const ACCEPTS: u32 = 0x0001_0000;

/// The inodes of the sockets that answer at `address`: those bound to it exactly, else those bound to
/// all addresses.
pub(super) fn tcp_listeners(base: &str, address: &SocketAddr) -> io::Result<HashSet<u64>> {
    let mut listeners = parse_tcp(&fs::read_to_string(format!("{base}/net/tcp"))?);
    // A kernel without IPv6 has no such table.
    listeners.extend(parse_tcp(&fs::read_to_string(format!("{base}/net/tcp6")).unwrap_or_default()));
    Ok(answering(&listeners, address))
}

fn answering(listeners: &[(SocketAddr, u64)], address: &SocketAddr) -> HashSet<u64> {
    let ip = address.ip().to_canonical();
    let on_port = || listeners.iter().filter(|(bound, _)| bound.port() == address.port());
    let bound_to = |wanted: IpAddr| on_port().filter(move |(bound, _)| bound.ip() == wanted);
    let any_v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    // The kernel prefers the more exact one; a dual-stack `::` answers for IPv4 last.
    let ranks = if ip.is_ipv4() {
        vec![ip, IpAddr::V6(mapped(ip)), IpAddr::V4(Ipv4Addr::UNSPECIFIED), any_v6]
    } else {
        vec![ip, any_v6]
    };
    let chosen = ranks.into_iter().map(|wanted| bound_to(wanted).map(|(_, inode)| *inode).collect::<HashSet<_>>());
    let mut chosen = chosen.filter(|inodes| !inodes.is_empty());
    // To connect to the unspecified address means to connect to this machine.
    if ip.is_unspecified() { on_port().map(|(_, inode)| *inode).collect() } else { chosen.next().unwrap_or_default() }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn parse_tcp(table: &str) -> Vec<(SocketAddr, u64)> {
    table.lines().skip(1).filter_map(parse_tcp_line).collect()
}

fn parse_tcp_line(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each group of eight digits is one 32-bit word of the address as this machine holds it in memory.
    let words: Option<Vec<[u8; 4]>> = (0..ip.len() / 8)
        .map(|i| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    let bytes = words?.concat();
    let ip = match (<[u8; 4]>::try_from(bytes.as_slice()), <[u8; 16]>::try_from(bytes.as_slice())) {
        (Ok(v4), _) => IpAddr::from(v4),
        (_, Ok(v6)) => IpAddr::from(v6),
        _ => return None,
    };
    Some((SocketAddr::new(ip, port), fields.get(9)?.parse().ok()?))
}

/// All listening unix sockets with a path of the file system.
pub(super) fn unix_listeners(base: &str) -> io::Result<Vec<UnixSocket>> {
    let table = fs::read(format!("{base}/net/unix"))?;
    Ok(String::from_utf8_lossy(&table).lines().skip(1).filter_map(parse_unix_line).collect())
}

fn parse_unix_line(line: &str) -> Option<UnixSocket> {
    // Num RefCount Protocol Flags Type St Inode Path, the inode right-aligned, the path to the line's end.
    let mut rest = line;
    let mut fields = [""; 7];
    for field in &mut fields {
        rest = rest.trim_start();
        let (word, after) = rest.split_once(' ')?;
        (*field, rest) = (word, after);
    }
    let accepts = u32::from_str_radix(fields[3], 16).ok()? & ACCEPTS != 0;
    // An abstract name begins with @ and is no file's.
    (accepts && !rest.is_empty() && !rest.starts_with('@'))
        .then_some(UnixSocket { inode: fields[6].parse().ok()?, path: PathBuf::from(rest) })
}

/// Whether `ip` is an address of the machine as that network namespace sees it.
pub(super) fn has_address(base: &str, ip: &IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let table = fs::read_to_string(format!("{base}/net/fib_trie")).unwrap_or_default();
            let leaf = format!("|-- {ip}");
            let mut lines = table.lines().skip_while(|line| line.trim() != leaf).skip(1);
            lines.next().is_some_and(|line| line.trim().starts_with("/32 host LOCAL"))
        }
        IpAddr::V6(ip) => {
            let wanted: String = ip.octets().iter().map(|byte| format!("{byte:02x}")).collect();
            let table = fs::read_to_string(format!("{base}/net/if_inet6")).unwrap_or_default();
            table.lines().any(|line| line.starts_with(&wanted))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count_and_the_exact_address_comes_first() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n\
            1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n\
            2: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n\
            3: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 14 1\n";
        let listeners = parse_tcp(table);
        let at = |address: &str| answering(&listeners, &address.parse().unwrap());
        assert_eq!(at("127.0.0.1:8080"), HashSet::from([11]));
        assert_eq!(at("10.0.0.1:8080"), HashSet::from([12]));
        assert_eq!(at("0.0.0.0:8080"), HashSet::from([11, 12]));
        assert_eq!(at("127.0.0.1:8081"), HashSet::from([14]));
        assert_eq!(at("[::1]:8081"), HashSet::from([14]));
        assert_eq!(at("[::1]:8080"), HashSet::new());
    }

    #[test]
    fn a_unix_socket_keeps_the_spaces_of_its_path() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01   4711 /run/my app.sock";
        let socket = parse_unix_line(line).unwrap();
        assert_eq!((socket.inode, socket.path), (4711, PathBuf::from("/run/my app.sock")));
        assert_eq!(parse_unix_line(&line.replace("00010000", "00000000")), None);
        assert_eq!(parse_unix_line(&line.replace("/run", "@run")), None);
    }
}
