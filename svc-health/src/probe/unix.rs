//! `unix:///PATH`: does somebody accept a connection on the socket?

use std::path::PathBuf;
use std::rc::Rc;

use super::Probe;
use super::net::Socket;
use super::release::Owner;
use crate::engine::{Attempt, Io};
use crate::verdict::Answer;

/// Connects and hangs up.
#[derive(Debug)]
pub(crate) struct Unix {
    pub(crate) path: PathBuf,
    pub(crate) owner: Option<Owner>,
}

impl Probe for Unix {
    fn attempt(&self, io: Rc<Io>) -> Attempt<'_> {
        Box::pin(async move {
            let asked = async {
                let _open = Socket::unix(&io, &self.path).await?;
                self.owner.as_ref().map_or(Ok(()), |owner| owner.of_unix(&self.path))
            };
            asked.await.err().unwrap_or(Answer::Pass)
        })
    }
}
