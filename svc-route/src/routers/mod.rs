//! The proxies, each behind the same few questions.

mod caddy;
mod haproxy;
mod http;
mod nginx;
mod nginx_file;
mod replaced;
mod traefik;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use dir::Wait;
use nix::poll::{PollFd, PollFlags, poll};

use crate::cli::Proxy;
use crate::connections;
use crate::slots::{Shares, Slot};

/// A proxy that shares traffic among slots.
pub(crate) trait Router {
    /// Keeps others out until the run ends, and finishes or reverts what a killed run left behind.
    fn lock(&mut self, wait: Wait) -> anyhow::Result<()>;

    /// Asks the proxy, or its file, what each slot has. Changes nothing.
    fn read(&mut self) -> anyhow::Result<Shares>;

    /// Changes the shares; returns once the proxy serves by them. After an error the former ones hold.
    fn set(&mut self, shares: &Shares, deadline: Instant) -> anyhow::Result<()>;

    /// Waits until nothing of what the slot was given is still in work; `false` when `deadline` or a
    /// signal came first.
    fn drain(&mut self, slot: &Slot, deadline: Instant, interrupts: BorrowedFd<'_>) -> anyhow::Result<bool> {
        drain_until(deadline, interrupts, || Ok(connections::count(&slot.address)? == 0))
    }
}

/// The router for this proxy and these slots.
pub(crate) fn of(proxy: &Proxy, slots: &[Slot]) -> Box<dyn Router> {
    let slots = slots.to_vec();
    match proxy.clone() {
        Proxy::Nginx { config, upstream, test, reload, pidfile, standby } => {
            let idle = if standby { nginx_file::Idle::Backup } else { nginx_file::Idle::Down };
            Box::new(nginx::Nginx::new(config, upstream, test, reload, pidfile, idle, slots))
        }
        Proxy::Haproxy { socket, backend, state_file } => {
            Box::new(haproxy::Haproxy::new(socket, backend, state_file, slots))
        }
        Proxy::Caddy { admin, handler } => Box::new(caddy::Caddy::new(admin, handler, slots)),
        Proxy::Traefik { config, service, admin } => Box::new(traefik::Traefik::new(config, service, admin, slots)),
    }
}

/// Asks every 20 ms whether it is drained.
fn drain_until(
    deadline: Instant,
    interrupts: BorrowedFd<'_>,
    mut is_drained: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    loop {
        if is_drained()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let mut watched = [PollFd::new(interrupts, PollFlags::POLLIN)];
        if matches!(poll(&mut watched, 20_u8), Ok(n) if n > 0) {
            return Ok(false);
        }
    }
}
