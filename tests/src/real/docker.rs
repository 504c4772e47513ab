//! A real Docker engine in a network of its own, nothing of the host's addresses or filters touched.
//!
//! `tests/real/docker` starts it and ends it, also when the story is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::Daemon;
use crate::running::until;
use crate::{Shop, binaries, skip};

/// A running engine with one image, [`Docker::IMAGE`]. Dropped, all its containers end.
#[derive(Debug)]
pub struct Docker {
    engine: Option<Daemon>,
    dir: PathBuf,
    leader: String,
}

impl Docker {
    /// An image that holds nothing but the places for the machine's own `/usr`, to be mounted.
    pub const IMAGE: &'static str = "story:1";

    /// Starts it. `Err` says why it cannot be on this machine.
    pub fn start(shop: &Shop) -> Result<Self, String> {
        if !skip::is_root() {
            return Err("a Docker engine of our own needs root".to_owned());
        }
        for program in ["dockerd", "docker", "unshare", "nsenter", "ip", "flock"] {
            if !skip::has(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        if !skip::has("docker-compose") && !skip::succeeds(&["docker", "compose", "version"]) {
            return Err("there is neither docker compose nor docker-compose".to_owned());
        }
        let dir = shop.path().join("docker");
        fs::create_dir_all(&dir).expect("make the engine's directory");
        let script = binaries::workspace().join("tests/real/docker").display().to_string();
        let (alive, place) = (shop.services().dir().join("alive").display().to_string(), dir.display().to_string());
        let mut engine = Daemon::start(shop, &["bash", &script, &place, &alive]);
        let mut ended = false;
        until("the Docker engine answers or has ended", || {
            ended = !engine.runs();
            ended || dir.join("ready").exists()
        });
        if ended {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            let reason = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason").to_owned();
            return Err(format!("no Docker engine can be started here: {reason}"));
        }
        let leader = fs::read_to_string(dir.join("ready")).expect("read the engine's number").trim().to_owned();
        let docker = Self { engine: Some(engine), dir, leader };
        docker.import();
        Ok(docker)
    }

    /// Makes the image.
    fn import(&self) {
        let tree = self.dir.join("tree");
        for place in ["usr", "proc", "sys", "dev", "etc", "tmp", "release"] {
            fs::create_dir_all(tree.join(place)).expect("make a tree");
        }
        for place in ["bin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{place}"), tree.join(place)).expect("link in a tree");
        }
        let script = format!("tar -C {} -c . | docker import - {}", tree.display(), Self::IMAGE);
        let status = Command::new("sh").args(["-c", &script]).env("DOCKER_HOST", self.host()).output().expect("import");
        assert!(status.status.success(), "docker import: {}", String::from_utf8_lossy(&status.stderr));
    }

    /// What `DOCKER_HOST` must be.
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.dir.display())
    }

    /// The words before a command that let it run in the engine's network, in the story's directory.
    pub fn enter(&self, shop: &Shop) -> Vec<String> {
        let enter = format!("nsenter -t {} -m -n --wdns={}", self.leader, shop.path().display());
        enter.split(' ').map(str::to_owned).collect()
    }

    /// Where it keeps what it has.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.end();
        }
    }
}
