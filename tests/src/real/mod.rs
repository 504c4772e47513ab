//! Real parts that stories deploy to: what supervises services in production, not doubles of it.

pub mod proxies;
pub mod systemd;
