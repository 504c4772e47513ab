//! `tcp://HOST:PORT`: does somebody accept a connection?

use std::rc::Rc;

use super::Probe;
use super::net::Socket;
use super::release::Owner;
use super::resolve::Addresses;
use crate::engine::{Attempt, Io};
use crate::verdict::Answer;

/// Connects and hangs up.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) addresses: Addresses,
    pub(crate) owner: Option<Owner>,
}

impl Probe for Tcp {
    fn attempt(&self, io: Rc<Io>) -> Attempt<'_> {
        Box::pin(async move {
            let asked = async {
                let addresses = self.addresses.resolve(&io).await?;
                let (_open, address) = Socket::tcp(&io, &addresses).await?;
                self.owner.as_ref().map_or(Ok(()), |owner| owner.of_tcp(address))
            };
            asked.await.err().unwrap_or(Answer::Pass)
        })
    }
}
