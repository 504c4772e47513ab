//! The service that is asked: answers 200 to everything, on a port of its own, from a few threads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

/// Listens until the program ends, and says where.
pub(crate) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
    let address = listener.local_addr()?;
    for _ in 0..4 {
        let listener = listener.try_clone().context("listen")?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is measured as it is.
                let _ = answer(stream);
            }
        });
    }
    Ok(address)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&part[..count]),
        }
    }
    stream.write_all(ANSWER)
}
