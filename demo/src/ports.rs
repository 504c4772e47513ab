//! Free ports that stay free.

use std::io::Write;
use std::net::TcpListener;

use anyhow::{Context, Result, bail};

/// Prints all digits but the last of `count` ports that are free now: with 1743 those are 17430, 17431 and so on.
///
/// They lie below the range that the kernel gives to outgoing connections: one of those could take the port of an
/// instance while it restarts.
pub(crate) fn print(count: u16) -> Result<()> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let above =
        range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32768_u32).clamp(12_000, 65_530);
    let (first, decades) = (1_000, above / 10 - 1_000);
    // Two demos at once start at different places.
    let free =
        (0..decades).map(|step| first + (std::process::id() + step) % decades).find(|decade| is_free(*decade, count));
    let Some(decade) = free else { bail!("no {count} free ports in a row between {}0 and {above}", first) };
    writeln!(std::io::stdout(), "{decade}").context("print the ports")
}

fn is_free(decade: u32, count: u16) -> bool {
    let ports = (0..u32::from(count)).map(|last| u16::try_from(decade * 10 + last));
    ports.map(|port| TcpListener::bind(("127.0.0.1", port.ok()?)).ok()).collect::<Option<Vec<_>>>().is_some()
}
