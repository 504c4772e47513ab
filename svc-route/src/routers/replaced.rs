//! A configuration file that is replaced whole, with the former one kept beside it until the new one
//! serves.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dir::{Dir, Flock, Wait};
use record::{Exit, Failure, Holder};

/// The largest configuration file, in bytes.
const LARGEST: u64 = 1 << 20;
const MODE: u32 = 0o644;

/// One configuration file, by the directory that holds it.
#[derive(Debug)]
pub(crate) struct Replaced {
    dir: Dir,
    name: String,
    path: PathBuf,
    lock: Option<Flock>,
}

impl Replaced {
    /// The file at `path`, whether it is there or not; its directory must be.
    pub(crate) fn at(path: &Path) -> anyhow::Result<Self> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| format!("{} names no file", path.display()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { dir: Dir::open(parent)?, name: name.to_owned(), path: path.to_path_buf(), lock: None })
    }

    /// Locks it against other runs of this tool, by a hidden file beside it.
    pub(crate) fn lock(&mut self, wait: Wait) -> anyhow::Result<()> {
        match self.dir.lock_file(self.beside("lock"), 0o600, wait)? {
            Ok(lock) => {
                Holder::this("svc-route")
                    .write_to(lock.file())
                    .with_context(|| format!("write who holds {}", self.path.display()))?;
                self.lock = Some(lock);
                // What a killed run was writing has random names, which nobody would ever remove.
                self.dir.remove_unfinished(&self.name)?;
                Ok(self.dir.remove_unfinished(self.beside("former"))?)
            }
            Err(file) => bail!(Holder::busy(Holder::read_from(&file).as_ref(), &self.path.display().to_string())),
        }
    }

    /// What it says; `None` when it is not there.
    pub(crate) fn text(&self) -> anyhow::Result<Option<String>> {
        self.text_of(&self.name)
    }

    /// What a killed run kept of the former one, if it left something.
    pub(crate) fn former(&self) -> anyhow::Result<Option<String>> {
        self.text_of(&self.beside("former"))
    }

    /// Puts `text` in its place, keeping the former one until [`Replaced::keep`] or [`Replaced::put_back`].
    pub(crate) fn replace(&self, text: &str) -> anyhow::Result<()> {
        // An empty former one stands for none: the file is new.
        let former = self.text()?.unwrap_or_default();
        self.dir.replace_file(self.beside("former"), former.as_bytes(), MODE)?;
        if dir::planted("configuration-unlinked") {
            let _ = self.dir.remove_file(&self.name);
        }
        Ok(self.dir.replace_file(&self.name, text.as_bytes(), self.mode()?)?)
    }

    /// The new one serves, so the former one goes. Where it cannot be removed the move is done all the same: the next
    /// run finds it and finishes, and an error here would say that the traffic is where it was.
    pub(crate) fn let_go(&self) {
        let _ = self.keep();
    }

    /// The new one stays; the former one goes.
    pub(crate) fn keep(&self) -> anyhow::Result<()> {
        Ok(self.dir.remove_file(self.beside("former"))?)
    }

    /// The former one comes back, byte for byte.
    pub(crate) fn put_back(&self) -> anyhow::Result<()> {
        match self.former()? {
            Some(former) if !former.is_empty() => self.dir.replace_file(&self.name, former.as_bytes(), self.mode()?)?,
            Some(_) if self.text()?.is_some() => {
                self.dir.remove_file(&self.name)?;
                self.dir.sync()?;
            }
            _ => {}
        }
        self.keep()
    }

    /// A name that no include of `*` or `*.conf` matches.
    fn beside(&self, what: &str) -> String {
        format!(".{}.{what}", self.name)
    }

    fn mode(&self) -> anyhow::Result<u32> {
        Ok(self.dir.stat_if_there(&self.name)?.map_or(MODE, |stat| stat.mode()))
    }

    fn text_of(&self, name: &str) -> anyhow::Result<Option<String>> {
        match self.dir.read_file(name, LARGEST) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => {
                    bail!(Failure::new(Exit::Failed, "route.config", format!("{} is not UTF-8", self.path.display())))
                }
            },
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}
