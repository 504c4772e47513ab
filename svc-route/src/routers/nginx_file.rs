//! The file with one upstream block: read strictly, written whole. Pure.
//!
//! Directives other than `server` (`keepalive`, `zone`, `least_conn`, …) and parameters of a server other
//! than `weight` and `down` stay as they are. `nginx` itself checks them.

use anyhow::bail;
use record::{Exit, Failure};

use crate::slots::{Shares, Slot, percents};

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
    is_down: bool,
    parameters: Vec<String>,
}

impl Upstream {
    /// Reads the text of a file that must hold the upstream `name` and nothing else.
    pub(crate) fn parse(text: &str, name: &str) -> anyhow::Result<Self> {
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
                    upstream.servers.push(Server::parse(address, parameters)?);
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
        let weight = |slot: &Slot| self.server(slot).map(|server| if server.is_down { 0 } else { server.weight });
        Ok(percents(&slots.iter().map(weight).collect::<Vec<_>>()))
    }

    /// The text for these shares.
    pub(crate) fn text(&self, name: &str, slots: &[Slot], shares: &Shares) -> String {
        let mut text = format!("# Written by svc-route; a change by hand is overwritten.\nupstream {name} {{\n");
        for other in &self.others {
            text.push_str(&format!("    {other};\n"));
        }
        for (at, slot) in slots.iter().enumerate() {
            let parameters = self.server(slot).map(|server| server.parameters.as_slice()).unwrap_or_default();
            let share = match shares.of(at) {
                0 => "down".to_owned(),
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
    fn parse(address: &str, parameters: &[String]) -> anyhow::Result<Self> {
        let mut server = Self { address: address.to_owned(), weight: 1, is_down: false, parameters: Vec::new() };
        for parameter in parameters {
            match parameter.split_once('=') {
                None if parameter == "down" => server.is_down = true,
                Some(("weight", weight)) => {
                    server.weight = weight.parse().map_err(|_| odd(&format!("weight={weight} is no number")))?
                }
                _ if parameter == "backup" => bail!(odd("a slot cannot be a backup server")),
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
        for shares in [Shares(vec![Some(100), Some(0)]), Shares(vec![Some(10), Some(90)])] {
            let text = Upstream::default().text("shop", &slots(), &shares);
            let read = Upstream::parse(&text, "shop").unwrap();
            assert_eq!(read.shares(&slots()).unwrap(), shares);
            assert_eq!(read.text("shop", &slots(), &shares), text);
        }
    }

    #[test]
    fn other_directives_and_parameters_stay() {
        let text = "upstream shop { zone shop 64k; server 127.0.0.1:8001 max_fails=0; # blue\n server unix:/run/g.sock fail_timeout=2s down; keepalive 16; }";
        let upstream = Upstream::parse(text, "shop").unwrap();
        assert_eq!(upstream.shares(&slots()).unwrap(), Shares(vec![Some(100), Some(0)]));
        let written = upstream.text("shop", &slots(), &Shares(vec![Some(0), Some(100)]));
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
            assert!(Upstream::parse(text, "shop").is_err(), "{text}");
        }
        let stray = Upstream::parse("upstream shop { server 10.0.0.1:80; }", "shop").unwrap();
        assert!(stray.shares(&slots()).is_err());
    }
}
