//! A connection that is plain or speaks TLS; the request and the answer are the same on both.

use std::io;

use super::net::Socket;
use super::tls::{Session, Tls};
use crate::engine::Io;
use crate::verdict::Answer;

/// A connection, and what was received from it and given back.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    session: Option<Box<Session>>,
    unread: Vec<u8>,
}

impl Stream {
    /// Begins to speak over `socket`; with TLS this ends with the handshake.
    pub(crate) async fn open(io: &Io, socket: Socket, tls: Option<&Tls>) -> Result<Stream, Answer> {
        let session = match tls {
            None => None,
            Some(tls) => Some(Box::new(tls.greet(io, &socket).await?)),
        };
        Ok(Stream { socket, session, unread: Vec::new() })
    }

    /// Sends all of `bytes`.
    pub(crate) async fn send(&mut self, io: &Io, bytes: &[u8]) -> io::Result<()> {
        match &mut self.session {
            None => self.socket.send(io, bytes).await,
            Some(session) => session.send(io, &self.socket, bytes).await,
        }
    }

    /// Receives some bytes; 0 at the end.
    pub(crate) async fn receive(&mut self, io: &Io, into: &mut [u8]) -> io::Result<usize> {
        if !self.unread.is_empty() {
            let taken = self.unread.len().min(into.len());
            into[..taken].copy_from_slice(&self.unread[..taken]);
            self.unread.drain(..taken);
            return Ok(taken);
        }
        match &mut self.session {
            None => self.socket.receive(io, into).await,
            Some(session) => session.receive(io, &self.socket, into).await,
        }
    }

    /// Gives bytes back: the next receive brings them again.
    pub(crate) fn unread(&mut self, bytes: Vec<u8>) {
        self.unread = bytes;
    }
}
