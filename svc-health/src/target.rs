//! What can be asked, as it is written on the command line. Pure.
//!
//! Only the text is judged here; no name is resolved and no file is looked for. [`Target::label`] is what records and
//! reports show: it never carries a command, a query string or anything else that may hold a secret.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The longest path that fits into the address of a unix socket.
const UNIX_PATH_MAX: usize = 107;

/// One target of the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `http://`, `https://`, `http+unix://`: a GET must be answered as expected.
    Http(Url),
    /// `tcp://HOST:PORT`: a connection must be accepted.
    Tcp(Address),
    /// `unix:///PATH`: the stream socket must accept a connection.
    Unix(PathBuf),
    /// `exec:COMMAND`: `sh -c COMMAND` must exit 0.
    Exec(String),
    /// `systemd:UNIT` or `systemd+user:UNIT`: the unit must be active.
    Systemd(Unit),
    /// `pidfile:PATH`: the process it names must live.
    Pidfile(PathBuf),
}

/// A host as written and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or a literal, IPv6 without its brackets.
    pub(crate) host: String,
    /// Never 0.
    pub(crate) port: u16,
}

/// Where an HTTP request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Over TCP.
    Net(Address),
    /// Over a unix socket.
    Unix(PathBuf),
}

/// An address of the web, taken apart as far as a request needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Whether TLS is spoken.
    pub(crate) secure: bool,
    /// Whom to connect to.
    pub(crate) place: Place,
    /// The value of the Host field.
    pub(crate) host: String,
    /// Path and query as they are sent; begins with `/`.
    pub(crate) path: String,
}

/// A unit and the manager it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// With a suffix if one was given; systemd adds `.service` otherwise.
    pub(crate) name: String,
    /// Whether the user's own manager is asked.
    pub(crate) user: bool,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else { return Err(no_scheme(text)) };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "exec" {
            let command = rest.trim();
            let usable = !command.is_empty() && !command.contains('\0');
            return usable.then(|| Target::Exec(command.to_owned())).ok_or("exec: needs a command".to_owned());
        }
        if rest.chars().any(char::is_control) {
            return Err("a target holds no control characters".into());
        }
        match scheme.as_str() {
            "http" | "https" => url(scheme == "https", slashes(&scheme, rest)?).map(Target::Http),
            "http+unix" => unix_url(slashes(&scheme, rest)?).map(Target::Http),
            "tcp" => {
                let rest = slashes(&scheme, rest)?;
                address(rest.strip_suffix('/').unwrap_or(rest), None).map(Target::Tcp)
            }
            "unix" => socket_path(rest.strip_prefix("//").unwrap_or(rest)).map(Target::Unix),
            "pidfile" => absolute(rest.strip_prefix("//").unwrap_or(rest)).map(Target::Pidfile),
            "systemd" => unit(rest, false).map(Target::Systemd),
            "systemd+user" => unit(rest, true).map(Target::Systemd),
            _ => Err(no_scheme(text)),
        }
    }
}

fn no_scheme(text: &str) -> String {
    let first = text.split('/').next().unwrap_or_default();
    let known = "http://, https://, http+unix://, tcp://, unix://, systemd:, pidfile: or exec:";
    match address(first, Some(80)) {
        Ok(_) if first.contains(':') || first.contains('.') => {
            format!("a target begins with {known}; did you mean http://{}?", without_query(text))
        }
        _ => format!("a target begins with {known}"),
    }
}

fn slashes<'t>(scheme: &str, rest: &'t str) -> Result<&'t str, String> {
    rest.strip_prefix("//").ok_or_else(|| format!("{scheme}: is followed by //"))
}

fn url(secure: bool, rest: &str) -> Result<Url, String> {
    let (authority, path) = split_path(rest)?;
    if authority.contains('@') {
        return Err("no user or password in an address, where everybody sees it; \
                    use --header 'Authorization: @FILE'"
            .into());
    }
    let default = if secure { 443 } else { 80 };
    let address = address(authority, Some(default))?;
    let bracketed = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let host = if address.port == default { bracketed } else { format!("{bracketed}:{}", address.port) };
    Ok(Url { secure, place: Place::Net(address), host, path })
}

/// `http+unix://%2Frun%2Fapp.sock/healthz` or `http+unix:///run/app.sock:/healthz`.
fn unix_url(rest: &str) -> Result<Url, String> {
    let (socket, path) = if rest.starts_with('/') {
        let (socket, path) = rest.split_once(':').unwrap_or((rest, "/"));
        (socket.to_owned(), split_path(path)?.1)
    } else {
        let (authority, path) = split_path(rest)?;
        (percent_decoded(authority)?, path)
    };
    Ok(Url { secure: false, place: Place::Unix(socket_path(&socket)?), host: "localhost".into(), path })
}

/// What stands before the path, and what a request line can carry of the rest: no fragment, no spaces.
fn split_path(rest: &str) -> Result<(&str, String), String> {
    let rest = rest.split('#').next().unwrap_or_default();
    if let Some(odd) = rest.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("an address holds no {odd:?}; write it as %XX"));
    }
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    Ok((authority, if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }))
}

fn address(text: &str, default_port: Option<u16>) -> Result<Address, String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{host} is no IPv6 address"))?;
        (host, port)
    } else {
        let at = text.find(':').unwrap_or(text.len());
        text.split_at(at)
    };
    let port = match (port.strip_prefix(':'), default_port) {
        (Some(port), _) => match port.parse() {
            Ok(0) | Err(_) => return Err(format!("{port:?} is no port; an IPv6 address stands in [ ]")),
            Ok(port) => port,
        },
        (None, Some(default)) if port.is_empty() => default,
        _ => return Err("HOST:PORT is needed".into()),
    };
    let is_name = |host: &str| {
        host.len() <= 253 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) && !host.is_empty()
    };
    if is_name(host) || host.parse::<IpAddr>().is_ok() {
        Ok(Address { host: host.to_owned(), port })
    } else {
        Err(format!("{host:?} is no host"))
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    if path.starts_with('/') { Ok(path.into()) } else { Err("an absolute path is needed".into()) }
}

fn socket_path(path: &str) -> Result<PathBuf, String> {
    if path.len() > UNIX_PATH_MAX {
        return Err(format!("the kernel takes at most {UNIX_PATH_MAX} bytes as the path of a unix socket"));
    }
    absolute(path)
}

fn unit(name: &str, user: bool) -> Result<Unit, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    if name.is_empty() || name.len() > 255 || name.starts_with('-') || !name.bytes().all(legal) {
        return Err(format!("{name:?} is no name of a unit"));
    }
    Ok(Unit { name: name.to_owned(), user })
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| *byte != 0);
        bytes.push(byte.ok_or("% is followed by two hexadecimal digits, not 00")?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| "the socket's path is no UTF-8".to_owned())
}

fn without_query(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

impl Target {
    /// What people and records see: the target as it was given, without a query string; of a command only the program,
    /// because the rest may hold what nobody should read.
    pub(crate) fn label(&self) -> String {
        match self {
            Target::Http(url) => url.to_string(),
            Target::Tcp(Address { host, port }) if host.contains(':') => format!("tcp://[{host}]:{port}"),
            Target::Tcp(Address { host, port }) => format!("tcp://{host}:{port}"),
            Target::Unix(path) => format!("unix://{}", path.display()),
            Target::Exec(command) => {
                let program = command.split_whitespace().next().unwrap_or_default();
                let plain = program.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./+".contains(&b));
                format!("exec:{}", if plain { program } else { "…" })
            }
            Target::Systemd(Unit { name, user: false }) => format!("systemd:{name}"),
            Target::Systemd(Unit { name, user: true }) => format!("systemd+user:{name}"),
            Target::Pidfile(path) => format!("pidfile:{}", path.display()),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = without_query(&self.path);
        match &self.place {
            Place::Net(_) => write!(f, "http{}://{}{path}", if self.secure { "s" } else { "" }, self.host),
            Place::Unix(socket) => write!(f, "http+unix://{}:{path}", socket.display()),
        }
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
