//! Faults at every system call of svc-route, in front of a real nginx and a real HAProxy: somebody serves at every moment.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use super::judge::{documented, record, violation};
use super::points::{self, Point, says_enough};
use super::{Outcome, Tier};
use crate::checker::Violation;
use crate::real::proxies::Proxy;
use crate::services::restart_of;
use crate::{Record, Run, Shop, skip};

/// Which proxy is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// By a file that it is told to load.
    Nginx,
    /// By its socket.
    Haproxy,
}

struct Scene {
    shop: Shop,
    proxy: Proxy,
    /// nginx's file before and after.
    texts: Option<[Vec<u8>; 2]>,
}

impl Route {
    /// Tries every fault of the tier; an error where the proxy cannot be had.
    pub fn sweep(self) -> Result<Outcome, String> {
        let scene = self.scene()?;
        scene.run(points::counting(), "green").exits(0);
        let points = points::points(&scene.shop, &["KILL", "TERM"], Tier::asked().of(5, 10, usize::MAX));
        let mut outcome = Outcome::default();
        for point in &points {
            scene.run("", "blue").exits(0);
            let run = scene.run(&point.strace(), "green");
            if Point::came(&scene.shop) {
                let at = format!("svc-route with {self:?}, {point}\n{run}");
                record(&mut outcome, &["I11", "I13"], scene.wrong(&run), &at);
                let again = scene.run("", "green");
                record(&mut outcome, &["I7"], scene.unfinished(&again), &format!("{at}\nagain: {again}"));
            }
            if says_enough(&outcome) {
                break;
            }
        }
        if Tier::asked() != Tier::Quick {
            let broken = outcome.violations.len();
            skip::measured(&format!("svc-route with {self:?}: {} faults, {broken} violations", points.len()));
        }
        Ok(outcome)
    }

    /// Instance 1 serves v1 as the slot blue, which has the traffic; instance 2 serves v2 as green.
    fn scene(self) -> Result<Scene, String> {
        let shop = Shop::new();
        for (i, version) in [(1, "v1"), (2, "v2")] {
            shop.source(version);
            let script = restart_of(&format!("shop@{i}"))
                + &format!("release-mk --root $ROOT --from {version} | release-switch | restart --action start");
            shop.pipe(script).run().exits(0);
        }
        let proxy = match self {
            Self::Nginx => Proxy::nginx(&shop)?,
            Self::Haproxy => Proxy::haproxy(&shop)?,
        };
        let mut scene = Scene { shop, proxy, texts: None };
        let [new, old] = ["green", "blue"].map(|slot| {
            scene.run("", slot).exits(0);
            fs::read(scene.file()).unwrap_or_default()
        });
        if self == Self::Nginx {
            scene.texts = Some([old, new]);
        }
        Ok(scene)
    }
}

impl Scene {
    fn run(&self, before: &str, slot: &str) -> Run {
        let route = self.proxy.route();
        self.shop
            .pipe(format!("exec {before} svc-route -q -n {route} --to {slot} --drain 2s </dev/null"))
            .awaited()
            .run()
    }

    fn file(&self) -> PathBuf {
        self.proxy.dir().join("shop.upstream")
    }

    /// What answers behind the proxy.
    fn serves(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.proxy.port())).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.split(' ').next().unwrap_or_default().to_owned())
    }

    fn wrong(&self, run: &Run) -> Vec<Violation> {
        let mut found = Vec::new();
        let serves = self.serves();
        if !serves.as_deref().is_some_and(|version| version == "v1" || version == "v2") {
            found.push(violation("I13", format!("nobody serves: {serves:?}")));
        }
        let text = fs::read(self.file()).unwrap_or_default();
        if self.texts.as_ref().is_some_and(|texts| !texts.contains(&text)) {
            let text = String::from_utf8_lossy(&text);
            found.push(violation("I13", format!("the proxy's file is neither the old nor the new one: {text:?}")));
        }
        if !documented(run, &[]) {
            found.push(violation("I11", format!("status {}", run.status)));
        }
        if matches!(run.status, 0 | 4) && serves.as_deref() != Some("v2") {
            found.push(violation("I11", format!("it said that it was done, but {serves:?} serves")));
        }
        found.extend(Record::parse(&run.stdout).ok().and_then(|record| untrue(&record, serves.as_deref())));
        found
    }

    fn unfinished(&self, again: &Run) -> Vec<Violation> {
        let mut found = Vec::new();
        let serves = self.serves();
        if again.status != 0 || serves.as_deref() != Some("v2") {
            found.push(violation("I7", format!("a rerun ends with {}, and {serves:?} serves", again.status)));
        }
        let left = fs::read_dir(self.proxy.dir()).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let left = left.map(|name| name.to_string_lossy().into_owned());
        let left: Vec<_> = left.filter(|name| name.starts_with('.') && !name.ends_with(".lock")).collect();
        if !left.is_empty() {
            found.push(violation("I7", format!("a rerun leaves {left:?}")));
        }
        found
    }
}

/// I11: what a record says of the traffic.
fn untrue(record: &Record, serves: Option<&str>) -> Option<Violation> {
    let slots = &record["stages"][0]["slots"];
    let green = slots[1]["percent_after"].as_u64()?;
    let said = if green == 100 { "v2" } else { "v1" };
    (serves != Some(said)).then(|| violation("I11", format!("the record says that {said} serves, but {serves:?} does")))
}
