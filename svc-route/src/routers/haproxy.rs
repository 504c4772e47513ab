//! HAProxy: its runtime API. The servers of the backend are named like the slots.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dir::{Dir, Wait};
use record::{Exit, Failure};

use super::{Router, drain_until};
use crate::apply::until;
use crate::slots::{Address, Shares, Slot, percents};

/// The largest answer that is read, in bytes.
const LARGEST: u64 = 4 << 20;
/// Bits of `srv_admin_state`: maintenance forced, inherited, by an unresolved name; drain forced or
/// inherited. That the configuration once said `disabled` (0x04) means nothing now.
/// Source: HAProxy's management guide, "show servers state".
const MAINTENANCE: u32 = 0x01 | 0x02 | 0x20 | 0x40;
const DRAIN: u32 = 0x08 | 0x10;
/// `srv_op_state`: 2 is running.
const RUNNING: &str = "2";

/// HAProxy by the socket of its runtime API.
pub(crate) struct Haproxy {
    socket: PathBuf,
    backend: String,
    state_file: Option<PathBuf>,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    name: String,
    address: String,
    port: String,
    is_running: bool,
    admin_state: u32,
    weight: u64,
}

impl Haproxy {
    pub(crate) fn new(socket: PathBuf, backend: String, state_file: Option<PathBuf>, slots: Vec<Slot>) -> Self {
        Self { socket, backend, state_file, slots }
    }

    fn ask(&self, command: &str) -> anyhow::Result<String> {
        let what = || format!("ask haproxy at {}", self.socket.display());
        let mut stream = UnixStream::connect(&self.socket).with_context(|| {
            Failure::new(Exit::Failed, "route.unreachable", what())
                .hint("--socket is the path of HAProxy's 'stats socket … level admin'; is HAProxy running?")
        })?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).with_context(what)?;
        stream.set_write_timeout(Some(Duration::from_secs(10))).with_context(what)?;
        stream.write_all(format!("{command}\n").as_bytes()).with_context(what)?;
        // The master's socket answers only after the client's half of the connection is closed.
        stream.shutdown(std::net::Shutdown::Write).with_context(what)?;
        let mut answer = String::new();
        stream.take(LARGEST).read_to_string(&mut answer).with_context(what)?;
        Ok(answer)
    }

    /// A command whose success is silence.
    fn tell(&self, command: &str) -> anyhow::Result<()> {
        let answer = self.ask(command)?;
        if answer.trim().is_empty() {
            return Ok(());
        }
        bail!(
            Failure::new(Exit::Failed, "route.refused", format!("haproxy refused '{command}': {}", answer.trim()))
                .hint("the socket needs 'level admin'")
        )
    }

    fn servers(&self) -> anyhow::Result<Vec<Server>> {
        let answer = self.ask(&format!("show servers state {}", self.backend))?;
        let servers = parse_servers(&answer);
        if servers.is_empty() {
            let message = format!("haproxy knows no backend {} with servers: {}", self.backend, answer.trim());
            bail!(
                Failure::new(Exit::Failed, "route.backend", message)
                    .hint("'show servers state' on the socket lists backends and their servers")
            );
        }
        for slot in &self.slots {
            if let Some(server) = servers.iter().find(|server| server.name == slot.name)
                && let Address::Tcp(host, port) = &slot.address
                && (server.port != port.to_string()
                    || (host.parse::<std::net::IpAddr>().is_ok() && server.address != *host))
            {
                let message = format!(
                    "haproxy's server {} is at {}:{}, the slot at {}",
                    slot.name, server.address, server.port, slot.address
                );
                bail!(
                    Failure::new(Exit::Failed, "route.slot", message)
                        .hint("give --slot the address that the server has in HAProxy's configuration")
                );
            }
        }
        Ok(servers)
    }

    fn server(&self, slot: &Slot) -> String {
        format!("{}/{}", self.backend, slot.name)
    }

    fn keep_state(&self) -> anyhow::Result<()> {
        let Some(path) = &self.state_file else { return Ok(()) };
        let what = || format!("write {}", path.display());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().with_context(what)?;
        let state = self.ask("show servers state")?;
        Dir::open(parent).and_then(|dir| dir.replace_file(name, state.as_bytes(), 0o644)).with_context(what)
    }
}

impl Router for Haproxy {
    fn lock(&mut self, _wait: Wait) -> anyhow::Result<()> {
        // Every command is whole, and the deploy lock keeps other pipes out: nothing to finish or to revert.
        Ok(())
    }

    fn read(&mut self) -> anyhow::Result<Shares> {
        let servers = self.servers()?;
        let weight = |slot: &Slot| servers.iter().find(|server| server.name == slot.name).map(Server::share);
        Ok(percents(&self.slots.iter().map(weight).collect::<Vec<_>>()))
    }

    fn set(&mut self, shares: &Shares, deadline: Instant) -> anyhow::Result<()> {
        let before = self.servers()?;
        let (gains, loses): (Vec<usize>, Vec<usize>) = (0..self.slots.len()).partition(|slot| shares.of(*slot) > 0);
        for slot in gains {
            let name = self.server(&self.slots[slot]);
            self.tell(&format!("set server {name} weight {}", shares.of(slot)))?;
            self.tell(&format!("set server {name} state ready"))?;
            // The old one must not go before the new one is up in haproxy's own eyes.
            let slot_name = self.slots[slot].name.clone();
            let is_up = until(deadline, &format!("haproxy does not see {slot_name} running"), || {
                Ok(self.servers()?.iter().any(|server| server.name == slot_name && server.is_running))
            });
            if let Err(error) = is_up {
                self.restore(&before)?;
                return Err(error.context("the former shares are back"));
            }
        }
        for slot in loses {
            if before.iter().any(|server| server.name == self.slots[slot].name) {
                self.tell(&format!("set server {} state drain", self.server(&self.slots[slot])))?;
            }
        }
        self.keep_state()
    }

    fn drain(&mut self, slot: &Slot, deadline: Instant, interrupts: BorrowedFd<'_>) -> anyhow::Result<bool> {
        drain_until(deadline, interrupts, || {
            let stat = self.ask("show stat")?;
            Ok(sessions(&stat, &self.backend, &slot.name).unwrap_or(0) == 0)
        })
    }
}

impl Haproxy {
    fn restore(&self, before: &[Server]) -> anyhow::Result<()> {
        for server in before.iter().filter(|server| self.slots.iter().any(|slot| slot.name == server.name)) {
            let name = format!("{}/{}", self.backend, server.name);
            self.tell(&format!("set server {name} weight {}", server.weight))?;
            let state = match server.admin_state {
                state if state & MAINTENANCE != 0 => "maint",
                state if state & DRAIN != 0 => "drain",
                _ => "ready",
            };
            self.tell(&format!("set server {name} state {state}"))?;
        }
        Ok(())
    }
}

impl Server {
    fn share(&self) -> u64 {
        if self.admin_state & (MAINTENANCE | DRAIN) == 0 { self.weight } else { 0 }
    }
}

/// Reads `show servers state`: a version line, a line of names after `#`, a line per server.
fn parse_servers(text: &str) -> Vec<Server> {
    let names: Vec<&str> =
        text.lines().find_map(|line| line.strip_prefix('#')).unwrap_or_default().split_ascii_whitespace().collect();
    let rows = text.lines().skip(1).filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.filter_map(|row| {
        let values: Vec<&str> = row.split_ascii_whitespace().collect();
        let value = |name: &str| values.get(names.iter().position(|found| *found == name)?).copied();
        Some(Server {
            name: value("srv_name")?.to_owned(),
            address: value("srv_addr")?.to_owned(),
            port: value("srv_port")?.to_owned(),
            is_running: value("srv_op_state")? == RUNNING,
            admin_state: value("srv_admin_state")?.parse().ok()?,
            weight: value("srv_uweight")?.parse().ok()?,
        })
    })
    .collect()
}

/// The sessions in work at one server, by `show stat` (CSV with a line of names after `#`).
fn sessions(text: &str, backend: &str, server: &str) -> Option<u64> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.trim_start_matches('#').trim().split(',').collect();
    let at = |name: &str| names.iter().position(|found| *found == name);
    let (proxy, name, current) = (at("pxname")?, at("svname")?, at("scur")?);
    let row = lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .find(|row| row.get(proxy) == Some(&backend) && row.get(name) == Some(&server))?;
    row.get(current)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 shop 1 blue 127.0.0.1 2 0 90 1 5 6 3 4 6 0 0 0 - 8001 - 0 0 - - 0
3 shop 2 green 127.0.0.1 2 8 10 1 5 6 3 4 6 0 0 0 - 8002 - 0 0 - - 0
";

    #[test]
    fn servers_are_read_by_the_names_in_the_header() {
        let servers = parse_servers(STATE);
        assert_eq!(
            servers.iter().map(|server| (server.name.as_str(), server.share(), server.is_running)).collect::<Vec<_>>(),
            [("blue", 90, true), ("green", 0, true)]
        );
        assert!(parse_servers("Can't find backend.\n").is_empty());
    }

    #[test]
    fn sessions_are_found_by_proxy_and_server() {
        let stat =
            "# pxname,svname,qcur,qmax,scur,smax,\nshop,FRONTEND,,,9,9,\nshop,blue,0,0,3,5,\nother,blue,0,0,8,9,\n";
        assert_eq!(sessions(stat, "shop", "blue"), Some(3));
        assert_eq!(sessions(stat, "shop", "red"), None);
    }
}
