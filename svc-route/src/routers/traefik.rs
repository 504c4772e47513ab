//! Traefik: a file of its file provider, seen to serve through its API.
//!
//! By Traefik's documented format (v2 and v3): a weighted service over one load balancer per slot. The file is
//! JSON, which is YAML too, so its name ends in `.yml` or `.yaml`. Traefik is in no registry that our tests reach;
//! they run against a double that reads this file and answers as the API's documentation says.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use dir::Wait;
use record::{Exit, Failure};
use serde_json::{Value, json};

use super::Router;
use super::http::request;
use super::replaced::Replaced;
use crate::apply::until;
use crate::slots::{Address, Shares, Slot, percents};

/// Traefik by a file of its file provider.
pub(crate) struct Traefik {
    config: PathBuf,
    service: String,
    admin: Address,
    slots: Vec<Slot>,
    file: Option<Replaced>,
}

impl Traefik {
    pub(crate) fn new(config: PathBuf, service: String, admin: Address, slots: Vec<Slot>) -> Self {
        Self { config, service, admin, slots, file: None }
    }

    fn file(&mut self) -> anyhow::Result<&mut Replaced> {
        if self.file.is_none() {
            self.file = Some(Replaced::at(&self.config)?);
        }
        self.file.as_mut().context("hold the configuration file")
    }

    /// What Traefik serves by now; `None` when it does not know the service.
    fn served(&self) -> anyhow::Result<Option<Shares>> {
        let answer = request(&self.admin, "GET", &format!("/api/http/services/{}@file", self.service), None, "")?;
        match answer.status {
            200 => {}
            404 => return Ok(None),
            status => bail!(Failure::new(
                Exit::Failed,
                "route.refused",
                format!("traefik's API answered {status}: {}", answer.body.trim())
            )),
        }
        let value: Value = serde_json::from_str(&answer.body).context("understand traefik's answer")?;
        Ok(Some(weights(&value, &self.service, &self.slots)))
    }
}

impl Router for Traefik {
    fn lock(&mut self, wait: Wait) -> anyhow::Result<()> {
        let file = self.file()?;
        file.lock(wait)?;
        // Traefik loads the file by itself: what a killed run has written serves already.
        if file.former()?.is_some() { file.keep() } else { Ok(()) }
    }

    fn read(&mut self) -> anyhow::Result<Shares> {
        let (service, slots) = (self.service.clone(), self.slots.clone());
        let Some(text) = self.file()?.text()? else { return Ok(Shares(vec![None; slots.len()])) };
        let odd = || {
            Failure::new(
                Exit::Failed,
                "route.config",
                format!("{} is not one that svc-route writes", self.config.display()),
            )
            .hint("give svc-route a file of its own in the provider's directory")
        };
        let value: Value = serde_json::from_str(&text).with_context(odd)?;
        let found = value.pointer(&format!("/http/services/{service}")).with_context(odd)?;
        Ok(weights(found, &service, &slots))
    }

    fn set(&mut self, shares: &Shares, deadline: Instant) -> anyhow::Result<()> {
        let text = text(&self.service, &self.slots, shares);
        self.file()?.replace(&text)?;
        let serves = until(deadline, "traefik did not load the file", || Ok(self.served()?.as_ref() == Some(shares)));
        match serves {
            Ok(()) => {
                self.file()?.let_go();
                Ok(())
            }
            Err(error) => {
                self.file()?.put_back()?;
                Err(error.context("the former configuration is back"))
            }
        }
    }
}

/// The shares in a service of the kind `weighted`, whose parts are named `SERVICE-SLOT`.
fn weights(service: &Value, name: &str, slots: &[Slot]) -> Shares {
    let parts = service.pointer("/weighted/services").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let weight = |slot: &Slot| {
        let part = parts.iter().find(|part| {
            let found = part.get("name").and_then(Value::as_str).unwrap_or_default();
            found.trim_end_matches("@file") == format!("{name}-{}", slot.name)
        });
        part.map(|part| part.get("weight").and_then(Value::as_u64).unwrap_or(1))
    };
    percents(&slots.iter().map(weight).collect::<Vec<_>>())
}

fn text(service: &str, slots: &[Slot], shares: &Shares) -> String {
    let name = |slot: &Slot| format!("{service}-{}", slot.name);
    let parts: Vec<Value> =
        slots.iter().enumerate().map(|(at, slot)| json!({ "name": name(slot), "weight": shares.of(at) })).collect();
    let mut services = json!({ service: { "weighted": { "services": parts } } });
    for slot in slots {
        services[name(slot)] =
            json!({ "loadBalancer": { "servers": [{ "url": format!("http://{}", slot.address) }] } });
    }
    let value = json!({ "http": { "services": services } });
    format!("{}\n", serde_json::to_string_pretty(&value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let slots: Vec<Slot> =
            ["blue=127.0.0.1:8001", "green=127.0.0.1:8002"].iter().map(|slot| slot.parse().unwrap()).collect();
        let shares = Shares(vec![Some(90), Some(10)]);
        let value: Value = serde_json::from_str(&text("shop", &slots, &shares)).unwrap();
        assert_eq!(weights(&value["http"]["services"]["shop"], "shop", &slots), shares);
        assert_eq!(
            value["http"]["services"]["shop-green"]["loadBalancer"]["servers"][0]["url"],
            "http://127.0.0.1:8002"
        );
    }
}
