//! Caddy: its admin API. The upstreams of one reverse_proxy handler, found by its `@id`.
//!
//! Caddy 2.6 has no weights, so a share is said by repeating an upstream: nine times blue and once green is 90 to 10.
//! A change is refused by the ETag if somebody else changed the handler in between; it serves when the API answers.

use std::time::Instant;

use anyhow::{Context, bail};
use dir::Wait;
use record::{Exit, Failure};
use serde_json::{Value, json};

use super::Router;
use super::http::{Answer, request};
use crate::slots::{Address, Shares, Slot, percents};

/// Caddy by its admin API.
pub(crate) struct Caddy {
    admin: Address,
    handler: String,
    slots: Vec<Slot>,
}

impl Caddy {
    pub(crate) fn new(admin: Address, handler: String, slots: Vec<Slot>) -> Self {
        Self { admin, handler, slots }
    }

    fn handler(&self) -> anyhow::Result<(Value, Option<String>)> {
        let answer = self.ask("GET", &format!("/id/{}", self.handler), None, "")?;
        let value: Value = serde_json::from_str(&answer.body).context("understand caddy's answer")?;
        if value.get("handler").and_then(Value::as_str) != Some("reverse_proxy") {
            let message = format!("caddy's object '{}' is no reverse_proxy handler", self.handler);
            bail!(
                Failure::new(Exit::Failed, "route.handler", message)
                    .hint("give the handler with the upstreams an \"@id\", and name that")
            );
        }
        Ok((value, answer.etag))
    }

    fn ask(&self, method: &str, path: &str, etag: Option<&str>, body: &str) -> anyhow::Result<Answer> {
        let answer = request(&self.admin, method, path, etag, body)?;
        match answer.status {
            200 => Ok(answer),
            412 => bail!(
                Failure::new(
                    Exit::Busy,
                    "route.changed",
                    "caddy's configuration was changed by somebody else meanwhile"
                )
                .retryable()
            ),
            status => bail!(
                Failure::new(Exit::Failed, "route.refused", format!("caddy answered {status}: {}", answer.body.trim()))
                    .hint("the handler needs an \"@id\"; on a unix socket the admin needs origins localhost and \"\"")
            ),
        }
    }
}

impl Router for Caddy {
    fn lock(&mut self, _wait: Wait) -> anyhow::Result<()> {
        // The ETag guards each change, and the API takes it whole or not at all.
        Ok(())
    }

    fn read(&mut self) -> anyhow::Result<Shares> {
        shares(&self.handler()?.0, &self.slots)
    }

    fn set(&mut self, shares: &Shares, _deadline: Instant) -> anyhow::Result<()> {
        let (mut handler, etag) = self.handler()?;
        handler["upstreams"] = upstreams(&self.slots, shares);
        self.ask("PATCH", &format!("/id/{}", self.handler), etag.as_deref(), &handler.to_string()).map(drop)
    }
}

fn dial(address: &Address) -> String {
    match address {
        Address::Unix(path) => format!("unix/{path}"),
        address => address.to_string(),
    }
}

fn shares(handler: &Value, slots: &[Slot]) -> anyhow::Result<Shares> {
    let upstreams = handler.get("upstreams").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let dials: Vec<&str> = upstreams.iter().filter_map(|upstream| upstream.get("dial")?.as_str()).collect();
    if let Some(stray) = dials.iter().find(|found| !slots.iter().any(|slot| dial(&slot.address) == **found)) {
        bail!(
            Failure::new(Exit::Failed, "route.slot", format!("caddy's upstream {stray} is no slot's"))
                .hint("name every upstream of the handler with a --slot, or take it out of Caddy's configuration")
        );
    }
    let count = |slot: &Slot| Some(dials.iter().filter(|found| **found == dial(&slot.address)).count() as u64);
    Ok(percents(&slots.iter().map(count).collect::<Vec<_>>()))
}

fn upstreams(slots: &[Slot], shares: &Shares) -> Value {
    let divisor = (0..slots.len()).map(|slot| shares.of(slot)).fold(0, greatest_common_divisor).max(1);
    let repeated = slots.iter().enumerate().flat_map(|(at, slot)| {
        let upstream = json!({ "dial": dial(&slot.address) });
        std::iter::repeat_n(upstream, usize::from(shares.of(at) / divisor))
    });
    repeated.collect()
}

fn greatest_common_divisor(a: u8, b: u8) -> u8 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_written_as_repetition_and_read_back() {
        let slots: Vec<Slot> =
            ["blue=127.0.0.1:8001", "green=unix:/run/g.sock"].iter().map(|slot| slot.parse().unwrap()).collect();
        for (blue, count) in [(100, 1), (90, 10), (50, 2), (99, 100), (0, 1)] {
            let given = Shares(vec![Some(blue), Some(100 - blue)]);
            let list = upstreams(&slots, &given);
            assert_eq!(list.as_array().unwrap().len(), count);
            assert_eq!(shares(&json!({ "upstreams": list }), &slots).unwrap(), given);
        }
        assert!(shares(&json!({ "upstreams": [{ "dial": "10.0.0.1:80" }] }), &slots).is_err());
        assert_eq!(shares(&json!({}), &slots).unwrap(), Shares(vec![Some(0), Some(0)]));
    }
}
