//! The file with one upstream block: read strictly, written whole. Pure.
//!
//! Directives other than `server` (`keepalive`, `zone`, `least_conn`, …) and parameters of a server other
//! than `weight`, `down` and `backup` stay as they are. `nginx` itself checks them.

use anyhow::bail;
use record::{Exit, Failure};

use crate::slots::{Shares, Slot, percents};

/// What a slot without traffic is to nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Never asked.
    Down,
    /// Asked while no other server answers.
    Backup,
}

impl Idle {
    fn parameter(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Backup => "backup",
        }
    }
}

/// What the file says of one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Upstream {
    servers: Vec<Server>,
    others: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    address: String,
    weight: u64,
    is_idle: bool,
    parameters: Vec<String>,
}

impl Upstream {
    /// Reads the text of a file that must hold the upstream `name` and nothing else.
    pub(crate) fn parse(text: &str, name: &str, idle: Idle) -> anyhow::Result<Self> {
        let words = words(text)?;
        let body = match words.as_slice() {
            [keyword, found, open, body @ .., close]
                if keyword == "upstream" && found == name && open == "{" && close == "}" =>
            {
                body
            }
            _ => bail!(odd(&format!("it does not hold 'upstream {name} {{ … }}' and nothing else"))),
        };
        let mut upstream = Self::default();
        for directive in body.split_inclusive(|word| word == ";") {
            match directive {
                [keyword, address, parameters @ .., end] if keyword == "server" && end == ";" => {
                    upstream.servers.push(Server::parse(address, parameters, idle)?);
                }
                [others @ .., end]
                    if end == ";" && !others.is_empty() && !others.iter().any(|word| word == "{" || word == "}") =>
                {
                    upstream.others.push(others.join(" "));
                }
                _ => bail!(odd("a directive does not end with ';' or holds a block")),
            }
        }
        Ok(upstream)
    }

    /// The share of each slot. A server that is no slot's is refused: it would get traffic unasked.
    pub(crate) fn shares(&self, slots: &[Slot]) -> anyhow::Result<Shares> {
        if let Some(stray) =
            self.servers.iter().find(|server| !slots.iter().any(|slot| slot.address.to_string() == server.address))
        {
            bail!(odd(&format!("the server {} is no slot's", stray.address)));
        }
        let weight = |slot: &Slot| self.server(slot).map(|server| if server.is_idle { 0 } else { server.weight });
        Ok(percents(&slots.iter().map(weight).collect::<Vec<_>>()))
    }

    /// The text for these shares.
    pub(crate) fn text(&self, name: &str, slots: &[Slot], shares: &Shares, idle: Idle) -> String {
        let mut text = format!("# Written by svc-route; a change by hand is overwritten.\nupstream {name} {{\n");
        for other in &self.others {
            text.push_str(&format!("    {other};\n"));
        }
        for (at, slot) in slots.iter().enumerate() {
            let parameters = self.server(slot).map(|server| server.parameters.as_slice()).unwrap_or_default();
            let share = match shares.of(at) {
                0 => idle.parameter().to_owned(),
                percent => format!("weight={percent}"),
            };
            let words: Vec<&str> = parameters.iter().map(String::as_str).chain([share.as_str()]).collect();
            text.push_str(&format!("    server {} {}; # {}\n", slot.address, words.join(" "), slot.name));
        }
        text.push_str("}\n");
        text
    }

    fn server(&self, slot: &Slot) -> Option<&Server> {
        self.servers.iter().find(|server| server.address == slot.address.to_string())
    }
}

impl Server {
    fn parse(address: &str, parameters: &[String], idle: Idle) -> anyhow::Result<Self> {
        let mut server = Self { address: address.to_owned(), weight: 1, is_idle: false, parameters: Vec::new() };
        for parameter in parameters {
            match parameter.split_once('=') {
                None if parameter == "down" || parameter == idle.parameter() => server.is_idle = true,
                Some(("weight", weight)) => {
                    server.weight = weight.parse().map_err(|_| odd(&format!("weight={weight} is no number")))?
                }
                _ if parameter == "backup" => bail!(odd("a slot is a backup server, and --standby is not given")),
                _ => server.parameters.push(parameter.clone()),
            }
        }
        Ok(server)
    }
}

/// Words, `{`, `}` and `;`, without comments. Quotes have no place in an upstream of slots.
fn words(text: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        if line.contains(['"', '\'', '\\']) {
            bail!(odd("quotes and backslashes are not read here"));
        }
        let spaced = line.replace('{', " { ").replace('}', " } ").replace(';', " ; ");
        words.extend(spaced.split_ascii_whitespace().map(str::to_owned));
    }
    Ok(words)
}

fn odd(what: &str) -> Failure {
    Failure::new(Exit::Failed, "route.config", format!("the file is not one that svc-route writes: {what}"))
        .hint("give svc-route a file of its own, and include it in nginx.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Vec<Slot> {
        ["blue=127.0.0.1:8001", "green=unix:/run/g.sock"].iter().map(|slot| slot.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_again_and_written_the_same() {
        let cases = [(Idle::Down, 100, 0), (Idle::Backup, 100, 0), (Idle::Down, 10, 90)];
        for (idle, blue, green) in cases {
            let shares = Shares(vec![Some(blue), Some(green)]);
            let text = Upstream::default().text("shop", &slots(), &shares, idle);
            let read = Upstream::parse(&text, "shop", idle).unwrap();
            assert_eq!(read.shares(&slots()).unwrap(), shares);
            assert_eq!(read.text("shop", &slots(), &shares, idle), text);
        }
    }

    #[test]
    fn a_slot_without_traffic_is_down_or_stands_by() {
        let shares = Shares(vec![Some(100), Some(0)]);
        let text = |idle| Upstream::default().text("shop", &slots(), &shares, idle);
        assert!(text(Idle::Down).contains("server unix:/run/g.sock down; # green"));
        assert!(text(Idle::Backup).contains("server unix:/run/g.sock backup; # green"));
        let former = Upstream::parse(&text(Idle::Down), "shop", Idle::Backup).unwrap();
        assert_eq!(former.shares(&slots()).unwrap(), shares);
    }

    #[test]
    fn other_directives_and_parameters_stay() {
        let text = "upstream shop { zone shop 64k; server 127.0.0.1:8001 max_fails=0; # blue\n server unix:/run/g.sock fail_timeout=2s down; keepalive 16; }";
        let upstream = Upstream::parse(text, "shop", Idle::Down).unwrap();
        assert_eq!(upstream.shares(&slots()).unwrap(), Shares(vec![Some(100), Some(0)]));
        let written = upstream.text("shop", &slots(), &Shares(vec![Some(0), Some(100)]), Idle::Down);
        assert!(written.contains("    zone shop 64k;\n    keepalive 16;\n"), "{written}");
        assert!(written.contains("server 127.0.0.1:8001 max_fails=0 down; # blue"), "{written}");
        assert!(written.contains("server unix:/run/g.sock fail_timeout=2s weight=100; # green"), "{written}");
    }

    #[test]
    fn a_file_with_anything_else_is_refused() {
        for text in [
            "",
            "server { }",
            "upstream other { server 127.0.0.1:8001; }",
            "upstream shop { server 127.0.0.1:8001; } server { }",
            "upstream shop { server 127.0.0.1:8001 }",
            "upstream shop { if x { server 127.0.0.1:8001; } }",
            "upstream shop { server '127.0.0.1:8001'; }",
            "upstream shop { server 127.0.0.1:8001 backup; }",
        ] {
            assert!(Upstream::parse(text, "shop", Idle::Down).is_err(), "{text}");
        }
        let stray = Upstream::parse("upstream shop { server 10.0.0.1:80; }", "shop", Idle::Down).unwrap();
        assert!(stray.shares(&slots()).is_err());
    }
}
