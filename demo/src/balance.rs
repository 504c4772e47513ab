//! The balancer: shares connections among the instances that are in.
//!
//! It never asks an instance twice nor another one instead: a request that meets an instance that does not answer is
//! answered 502 and counts as failed. That none fails is the work of whoever takes instances out and in.
#![expect(clippy::disallowed_methods, reason = "a former run's socket is removed before the new one is bound")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::http;

/// How long `out` waits for the last request of an instance.
const DRAIN: Duration = Duration::from_secs(10);

/// What can be told to the balancer about an instance.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Word {
    /// No further request goes there.
    Out,
    /// It has its share again.
    In,
}

struct Instance {
    name: String,
    port: u16,
    is_in: bool,
    in_flight: usize,
}

#[derive(Default)]
struct Pool {
    instances: Vec<Instance>,
    turn: usize,
}

struct Balancer {
    pool: Mutex<Pool>,
    answered: Condvar,
}

/// Reads `NAME=PORT`.
pub(crate) fn instance(text: &str) -> Result<(String, u16), String> {
    let (name, port) = text.split_once('=').ok_or("NAME=PORT is wanted")?;
    Ok((name.to_owned(), port.parse().map_err(|error| format!("{port}: {error}"))?))
}

/// Balances until the process is ended.
pub(crate) fn balance(port: u16, control: &Path, instances: Vec<(String, u16)>) -> Result<()> {
    let instances =
        instances.into_iter().map(|(name, port)| Instance { name, port, is_in: false, in_flight: 0 }).collect();
    let balancer = Arc::new(Balancer { pool: Mutex::new(Pool { instances, turn: 0 }), answered: Condvar::new() });
    let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("listen on port {port}"))?;
    let _ = std::fs::remove_file(control);
    let orders = UnixListener::bind(control).with_context(|| format!("listen on {}", control.display()))?;
    let ordered = Arc::clone(&balancer);
    thread::spawn(move || {
        for stream in orders.incoming().flatten() {
            let balancer = Arc::clone(&ordered);
            thread::spawn(move || balancer.obey(&stream));
        }
    });
    for stream in listener.incoming().flatten() {
        let balancer = Arc::clone(&balancer);
        thread::spawn(move || balancer.pass(&stream));
    }
    Ok(())
}

/// Tells the balancer one word and waits until it is so.
pub(crate) fn tell(control: &Path, word: Word, name: &str) -> Result<()> {
    let mut stream = UnixStream::connect(control).with_context(|| format!("reach {}", control.display()))?;
    writeln!(stream, "{word:?} {name}").context("tell the balancer")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("hear the balancer")?;
    match answer.as_str() {
        "ok\n" => Ok(()),
        other => bail!("the balancer says: {}", other.trim_end()),
    }
}

impl Pool {
    /// The next instance that is in, in turn.
    fn next(&mut self) -> Option<&mut Instance> {
        let count = self.instances.len();
        let chosen = (0..count).map(|step| (self.turn + step) % count).find(|index| self.instances[*index].is_in)?;
        self.turn = chosen + 1;
        self.instances.get_mut(chosen)
    }

    fn named(&mut self, name: &str) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|instance| instance.name == name)
    }
}

impl Balancer {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes one connection on to one instance and its answer back.
    fn pass(&self, client: &TcpStream) {
        let chosen = self.pool().next().map(|instance| {
            instance.in_flight += 1;
            (instance.name.clone(), instance.port)
        });
        let Some((name, port)) = chosen else {
            let _ = http::read_request(client);
            let _ = http::write_answer(client, 503, "", b"no instance is in\n");
            return;
        };
        if let Err(error) = relay(client, port) {
            http::complain(&format!("{name} on port {port}: {error}"));
            let _ = http::write_answer(client, 502, "", format!("{name}: {error}\n").as_bytes());
        }
        if let Some(instance) = self.pool().named(&name) {
            instance.in_flight -= 1;
        }
        self.answered.notify_all();
    }

    fn obey(&self, stream: &UnixStream) {
        let mut line = String::new();
        let heard = BufReader::new(stream).read_line(&mut line);
        let answer = match (heard, line.trim_end().split_once(' ')) {
            (Ok(_), Some(("In", name))) => self.set(name, true),
            (Ok(_), Some(("Out", name))) => self.set(name, false).and_then(|()| self.drained(name)),
            _ => Err("Out NAME or In NAME is wanted".to_owned()),
        };
        let answer = answer.map_or_else(|reason| reason, |()| "ok".to_owned());
        // Whoever asked and went away has nothing to be told.
        let _ = writeln!(&*stream, "{answer}");
    }

    fn set(&self, name: &str, is_in: bool) -> Result<(), String> {
        let mut pool = self.pool();
        let instance = pool.named(name).ok_or_else(|| format!("no instance {name}"))?;
        instance.is_in = is_in;
        Ok(())
    }

    /// Waits until the instance has answered its last request.
    fn drained(&self, name: &str) -> Result<(), String> {
        let busy = |pool: &mut Pool| pool.named(name).is_some_and(|instance| instance.in_flight > 0);
        let (pool, waited) =
            self.answered.wait_timeout_while(self.pool(), DRAIN, busy).unwrap_or_else(PoisonError::into_inner);
        drop(pool);
        if waited.timed_out() { Err(format!("{name} still answers after {DRAIN:?}")) } else { Ok(()) }
    }
}

/// Copies the request there and the answer back; an error where no byte of an answer reached the client.
fn relay(mut client: &TcpStream, port: u16) -> io::Result<()> {
    let path = http::read_request(client)?.ok_or(io::ErrorKind::InvalidData)?;
    let mut upstream = TcpStream::connect(("127.0.0.1", port))?;
    upstream.set_read_timeout(Some(http::PATIENCE))?;
    write!(upstream, "GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    client.write_all(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instances_that_are_in_have_a_turn() {
        let instance = |name: &str, is_in| Instance { name: name.to_owned(), port: 1, is_in, in_flight: 0 };
        let mut pool =
            Pool { instances: vec![instance("1", true), instance("2", false), instance("3", true)], turn: 0 };
        let mut turns = || pool.next().map(|instance| instance.name.clone()).unwrap_or_default();
        assert_eq!([turns(), turns(), turns(), turns()], ["1", "3", "1", "3"]);
        pool.instances.iter_mut().for_each(|instance| instance.is_in = false);
        assert!(pool.next().is_none());
    }
}
