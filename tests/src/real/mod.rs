//! Real parts that stories deploy to: what supervises services in production, not doubles of it.

pub mod daemon;
pub mod docker;
pub mod managed;
pub mod managers;
pub mod proxies;
pub mod servers;
pub mod systemd;
