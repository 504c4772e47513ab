//! The addresses of a slot or of an admin API, looked up as svc-health does it: through `getent`, not in this process.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use process::hosts;

/// How long a look-up may take.
const LOOK_UP: Duration = Duration::from_secs(10);
/// How long an answer is believed: draining asks many times a second.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

static KNOWN: Mutex<BTreeMap<String, (Instant, Vec<IpAddr>)>> = Mutex::new(BTreeMap::new());

/// All addresses of a host, with the port; at least one.
pub(crate) fn of(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = known.get(host).filter(|(when, _)| when.elapsed() < BELIEVED_FOR).map(|(_, ips)| ips.clone());
    let ips = match fresh {
        Some(ips) => ips,
        None => {
            let ips = hosts::look_up(host, Some(LOOK_UP), None)
                .map_err(|error| io::Error::other(format!("look up {host}: {error:#}")))?;
            known.insert(host.to_owned(), (Instant::now(), ips.clone()));
            ips
        }
    };
    if ips.is_empty() {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no address for {host}")));
    }
    Ok(ips.into_iter().map(|ip| (ip, port).into()).collect())
}

/// Connects to the first address of a host that accepts.
pub(crate) fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in of(host, port)? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_name_leads_to_whichever_of_its_addresses_accepts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = connect("localhost", port, LOOK_UP).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(of("nobody.invalid", 80).unwrap_err().to_string(), "no address for nobody.invalid");
    }
}
