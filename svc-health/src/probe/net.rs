//! Sockets that never block: connecting, sending, receiving, each until it is done or the attempt is dropped.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::engine::Io;
use crate::verdict::Answer;

/// A connected stream socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    registered: Cell<bool>,
}

/// A connection that somebody else made, which must not block either.
impl From<std::os::unix::net::UnixStream> for Socket {
    fn from(stream: std::os::unix::net::UnixStream) -> Self {
        Self { fd: stream.into(), registered: Cell::new(false) }
    }
}

impl Socket {
    /// Connects to the first of `addresses` that accepts.
    pub(crate) async fn tcp(io: &Io, addresses: &[SocketAddr]) -> Result<(Socket, SocketAddr), Answer> {
        let mut last = Answer::CannotTell("no address".into());
        for address in addresses {
            match Socket::tcp_to(io, *address).await {
                Ok(socket) => return Ok((socket, *address)),
                Err(error) => last = refusal(&error),
            }
        }
        Err(last)
    }

    async fn tcp_to(io: &Io, address: SocketAddr) -> io::Result<Socket> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = Socket::new(family)?;
        socket.finish_connecting(io, net::connect(&socket.fd, &address)).await?;
        // A port in the ephemeral range can be given to our own end: then we talk to ourselves.
        if net::getsockname(&socket.fd)? == net::SocketAddrAny::from(address) {
            return Err(Errno::CONNREFUSED.into());
        }
        Ok(socket)
    }

    /// Connects to the stream socket at `path`.
    pub(crate) async fn unix(io: &Io, path: &Path) -> Result<Socket, Answer> {
        let connected = async {
            let socket = Socket::new(AddressFamily::UNIX)?;
            socket.finish_connecting(io, net::connect(&socket.fd, &SocketAddrUnix::new(path)?)).await?;
            Ok(socket)
        };
        connected.await.map_err(|error| refusal(&error))
    }

    fn new(family: AddressFamily) -> io::Result<Socket> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(family, SocketType::STREAM, flags, None)?;
        Ok(Socket { fd, registered: Cell::new(false) })
    }

    async fn finish_connecting(&self, io: &Io, begun: rustix::io::Result<()>) -> io::Result<()> {
        io.doing("connecting");
        match begun {
            Err(Errno::INPROGRESS) => {}
            other => return Ok(other?),
        }
        io.ready(&self.fd, &self.registered, || {
            net::sockopt::socket_error(&self.fd)??;
            match net::getpeername(&self.fd) {
                Err(Errno::NOTCONN) => Err(Errno::AGAIN.into()),
                other => Ok(other.map(|_| ())?),
            }
        })
        .await
    }

    /// Sends all of `bytes`.
    pub(crate) async fn send(&self, io: &Io, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = io.ready(&self.fd, &self.registered, || self.send_now(bytes)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Receives what is there, or comes first; 0 at the end.
    pub(crate) async fn receive(&self, io: &Io, into: &mut [u8]) -> io::Result<usize> {
        io.ready(&self.fd, &self.registered, || self.receive_now(into)).await
    }

    /// Does `work`, which uses the `_now` operations, until it no longer would block.
    pub(crate) async fn drive<T>(&self, io: &Io, work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        io.ready(&self.fd, &self.registered, work).await
    }

    /// Sends without waiting.
    pub(crate) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(net::send(&self.fd, bytes, SendFlags::NOSIGNAL)?)
    }

    /// Receives without waiting.
    pub(crate) fn receive_now(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(net::recv(&self.fd, into, RecvFlags::empty())?.0)
    }
}

/// What a failed connection says about the service.
fn refusal(error: &io::Error) -> Answer {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED) => Answer::NotYet("connection refused".into()),
        Some(Errno::NOENT) => Answer::NotYet("no such socket".into()),
        Some(Errno::AGAIN) => Answer::Fail("the socket's queue of connections is full".into()),
        Some(Errno::ACCESS | Errno::PERM) => Answer::CannotTell("no permission to connect".into()),
        Some(Errno::PROTOTYPE) => Answer::Fail("not a stream socket".into()),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            Answer::CannotTell(format!("connect: {}", plain(error)))
        }
        _ => Answer::Fail(format!("connect: {}", plain(error))),
    }
}

/// What went wrong on a connection, in a few words.
pub(crate) fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => {
            let text = io::Error::from_raw_os_error(number).to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
        None => error.to_string(),
    }
}
