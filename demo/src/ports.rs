//! Free ports that stay free.

use std::io::Write;
use std::net::TcpListener;

use anyhow::{Context, Result, bail};

/// Prints `count` ports on one line, each free now, all below the range that the kernel gives to outgoing connections:
/// one of those could take the port of an instance while it restarts.
pub(crate) fn print(count: usize) -> Result<()> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let above: u16 = range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32768);
    let below = 10_000.min(above / 2);
    // Two demos at once start at different places.
    let start = u32::from(above - below) * (std::process::id() % 97) / 97;
    let mut held = Vec::new();
    for step in 0..u32::from(above - below) {
        let port = below + u16::try_from((start + step) % u32::from(above - below)).unwrap_or(0);
        if held.len() < count
            && let Ok(listener) = TcpListener::bind(("127.0.0.1", port))
        {
            held.push((listener, port.to_string()));
        }
    }
    if held.len() < count {
        bail!("fewer than {count} free ports between {below} and {above}");
    }
    let ports: Vec<_> = held.iter().map(|(_, port)| port.as_str()).collect();
    writeln!(std::io::stdout(), "{}", ports.join(" ")).context("print the ports")
}
