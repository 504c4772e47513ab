//! As much of XML-RPC as supervisord speaks, over HTTP on a unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use record::{Exit, Failure};

use super::super::{mute, refused, timed_out};

/// The most an answer may be.
const LARGEST: u64 = 4 << 20;

/// One XML-RPC server.
#[derive(Debug)]
pub(super) struct Client {
    /// Its socket.
    pub(super) socket: PathBuf,
}

/// A value of XML-RPC.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `string`, or a value without a type.
    Text(String),
    /// `int`, `i4`.
    Number(i64),
    /// `boolean`.
    Boolean(bool),
    /// `array`.
    List(Vec<Value>),
    /// `struct`.
    Members(Vec<(String, Value)>),
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The value it returned.
    Value(Value),
    /// The error it returned.
    Fault {
        /// Its number.
        code: i64,
        /// Its text.
        text: String,
    },
}

impl Value {
    /// A text member of a struct; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        match self.member(name) {
            Some(Self::Text(text)) => text,
            _ => "",
        }
    }

    /// A number member of a struct; 0 where there is none.
    pub(super) fn number(&self, name: &str) -> i64 {
        match self.member(name) {
            Some(Self::Number(number)) => *number,
            _ => 0,
        }
    }

    fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Members(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

impl Client {
    /// Calls a method and waits for its answer, at most until `deadline`.
    pub(super) fn call(&self, method: &str, arguments: &[Value], deadline: Instant) -> Result<Answer> {
        let socket = self.socket.display();
        let mut stream = UnixStream::connect(&self.socket).context(
            refused(format!("supervisord does not answer at {socket}"))
                .hint("is it running? another socket is named with --socket"),
        )?;
        let body = request(method, arguments);
        let head = format!(
            "POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let left = || Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        stream.set_write_timeout(left())?;
        match stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())) {
            // What closes the socket early may have said why.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.context(refused(format!("ask supervisord at {socket}")))?,
        }
        let mut answer = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            stream.set_read_timeout(left())?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => answer.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    bail!(self.late(method))
                }
                Err(e) => return Err(e).context(refused(format!("read supervisord's answer at {socket}"))),
            }
            if answer.len() as u64 > LARGEST {
                bail!(refused(format!("supervisord at {socket} answers without end")));
            }
            if Instant::now() >= deadline {
                bail!(self.late(method));
            }
        }
        // A refusal of its own keeps its code.
        understand(&String::from_utf8_lossy(&answer)).map_err(|error| match error.is::<Failure>() {
            true => error.context(format!("understand supervisord at {socket}")),
            false => error.context(refused(format!("understand supervisord at {socket}"))),
        })
    }

    fn late(&self, method: &str) -> Failure {
        let message = format!("supervisord at {} did not answer {method} in time", self.socket.display());
        if method.starts_with("supervisor.get") { mute(message) } else { timed_out(message) }
    }
}

fn request(method: &str, arguments: &[Value]) -> String {
    let mut body = format!("<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>");
    for argument in arguments {
        let value = match argument {
            Value::Boolean(value) => format!("<boolean>{}</boolean>", u8::from(*value)),
            Value::Number(number) => format!("<int>{number}</int>"),
            // Names are checked and hold nothing that XML could read as markup.
            Value::Text(text) => format!("<string>{text}</string>"),
            Value::List(_) | Value::Members(_) => String::new(),
        };
        body.push_str(&format!("<param><value>{value}</value></param>"));
    }
    body.push_str("</params></methodCall>");
    body
}

/// What an HTTP answer says.
pub(super) fn understand(answer: &str) -> Result<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer that is no HTTP")?;
    let status = head.split_ascii_whitespace().nth(1).unwrap_or("");
    if status == "401" {
        bail!(
            Failure::new(Exit::Failed, "restart.manager", "supervisord asks for a password on its socket")
                .hint("leave username= away in [unix_http_server]: chmod= and chown= guard the socket")
        );
    }
    if status != "200" {
        bail!("HTTP status {status}");
    }
    let mut xml = Xml { rest: body };
    while let Some(tag) = xml.tag() {
        match tag {
            "fault" => {
                let value = xml.value_after("value")?;
                return Ok(Answer::Fault {
                    code: value.number("faultCode"),
                    text: value.text("faultString").to_owned(),
                });
            }
            "param" => return Ok(Answer::Value(xml.value_after("value")?)),
            _ => {}
        }
    }
    bail!("an answer without a value")
}

/// A reader of tags and the text between them.
struct Xml<'x> {
    rest: &'x str,
}

impl<'x> Xml<'x> {
    /// The name of the next tag, with `/` before that of a closing one.
    fn tag(&mut self) -> Option<&'x str> {
        let (_, from) = self.rest.split_once('<')?;
        let (tag, rest) = from.split_once('>')?;
        self.rest = rest;
        Some(tag.trim())
    }

    fn text(&mut self) -> String {
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&")
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        match self.tag() {
            Some(tag) if tag == wanted => Ok(()),
            other => bail!("<{}> where <{wanted}> belongs", other.unwrap_or("nothing")),
        }
    }

    fn value_after(&mut self, tag: &str) -> Result<Value> {
        self.expect(tag)?;
        self.value(0)
    }

    /// The value whose `<value>` has been read, to behind its `</value>`.
    fn value(&mut self, depth: u8) -> Result<Value> {
        if depth > 16 {
            bail!("values nested too deep");
        }
        let plain = self.text();
        let kind = self.tag().context("an open value")?;
        let value = match kind {
            "/value" => return Ok(Value::Text(plain)),
            "string/" => Value::Text(String::new()),
            "nil/" => Value::Text(String::new()),
            "array" => {
                self.expect("data")?;
                let mut list = Vec::new();
                loop {
                    match self.tag().context("an open array")? {
                        "value" => list.push(self.value(depth + 1)?),
                        "/data" => break,
                        other => bail!("<{other}> in an array"),
                    }
                }
                self.expect("/array")?;
                Value::List(list)
            }
            "struct" => {
                let mut members = Vec::new();
                loop {
                    match self.tag().context("an open struct")? {
                        "member" => {
                            self.expect("name")?;
                            let name = self.text();
                            self.expect("/name")?;
                            let value = {
                                self.expect("value")?;
                                self.value(depth + 1)?
                            };
                            members.push((name, value));
                            self.expect("/member")?;
                        }
                        "/struct" => break,
                        other => bail!("<{other}> in a struct"),
                    }
                }
                Value::Members(members)
            }
            simple => {
                let text = self.text();
                self.expect(&format!("/{simple}"))?;
                match simple {
                    "int" | "i4" | "i8" => Value::Number(text.trim().parse().context("a number")?),
                    "boolean" => Value::Boolean(text.trim() == "1"),
                    _ => Value::Text(text),
                }
            }
        };
        self.expect("/value")?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &str) -> Result<Answer> {
        understand(&format!("HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n{body}"))
    }

    #[test]
    fn what_supervisord_answers_is_understood() {
        let info = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><struct>\n<member>\n<name>pid</name>\n\
                    <value><int>812</int></value>\n</member>\n<member>\n<name>statename</name>\n<value><string>RUNNING</string></value>\n\
                    </member>\n<member><name>spawnerr</name><value><string></string></value></member></struct></value>\n</param>\n\
                    </params>\n</methodResponse>\n";
        let Answer::Value(value) = answered(info).unwrap() else { panic!("a fault") };
        assert_eq!((value.number("pid"), value.text("statename"), value.text("spawnerr")), (812, "RUNNING", ""));
        let list = "<methodResponse><params><param><value><array><data><value><int>1</int></value><value>a &amp; b</value></data>\
                    </array></value></param></params></methodResponse>";
        let expected = Value::List(vec![Value::Number(1), Value::Text("a & b".into())]);
        assert_eq!(answered(list).unwrap(), Answer::Value(expected));
        let fault = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>10</int></value></member>\
                     <member><name>faultString</name><value><string>BAD_NAME: x</string></value></member></struct></value></fault>\
                     </methodResponse>";
        assert_eq!(answered(fault).unwrap(), Answer::Fault { code: 10, text: "BAD_NAME: x".into() });
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for garbage in
            ["", "<", "<param>", "<param><value>", "<param><value><array><data>", "<param><value><int>x</int></value>"]
        {
            assert!(answered(garbage).is_err(), "{garbage}");
        }
        let deep = format!("<param>{}", "<value><array><data>".repeat(100));
        assert!(answered(&deep).is_err());
        assert!(understand("HTTP/1.0 401 Unauthorized\r\n\r\n").is_err());
    }
}
