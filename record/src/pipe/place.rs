//! Where a stage works: the root and the link, by option, record, environment or default.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use dir::{Name, Wait};
use serde_json::Value;

use super::Pipe;
use crate::{Exit, Failure, Role, placeholders};

impl Pipe {
    /// The root: the option, else the record's, else CUTOVER_ROOT; a usage error where none is given.
    pub fn root_path(&self) -> anyhow::Result<PathBuf> {
        match self.root_path_if_any()? {
            Some(path) => Ok(path),
            None => bail!(Failure::new(Exit::Usage, "usage", "no root is given").hint(match self.role {
                Role::Begins => "name it with --root DIR or CUTOVER_ROOT",
                _ => "name it with --root DIR or CUTOVER_ROOT, or pipe a record in",
            })),
        }
    }

    /// The same, `None` where none is given. An option that names another directory than the record
    /// is refused with 65.
    pub fn root_path_if_any(&self) -> anyhow::Result<Option<PathBuf>> {
        let recorded = self.record.root.as_ref().map(PathBuf::from);
        let Some(given) = self.options.root.clone() else {
            let from_environment =
                || std::env::var_os("CUTOVER_ROOT").filter(|value| !value.is_empty()).map(PathBuf::from);
            return Ok(recorded.or_else(from_environment));
        };
        if let Some(recorded) = recorded
            && recorded != given
            && identity(&recorded) != identity(&given)
        {
            bail!(
                Failure::new(
                    Exit::InvalidInput,
                    "input.root",
                    format!("--root says {}, the record says {}", given.display(), recorded.display())
                )
                .hint("leave --root away in later stages: the record carries it")
            );
        }
        Ok(Some(given))
    }

    /// The link: the option, else the record's last switch, else CUTOVER_LINK, else `current`.
    pub fn link(&self) -> anyhow::Result<Name> {
        if let Some(link) = &self.options.link {
            return Ok(Name::new(placeholders::fill(link.as_str(), &self.record)?)?);
        }
        let switched = self.record.stages.iter().rev().find(|stage| stage.tool == "release-switch" && !stage.undo);
        let recorded = switched.and_then(|stage| stage.rest.get("link")).and_then(Value::as_str);
        if let Some(name) = recorded.and_then(|path| path.rsplit('/').next()) {
            return Name::new(name)
                .map_err(|e| Failure::new(Exit::InvalidInput, "input.link", format!("the record's link: {e}")).into());
        }
        match std::env::var_os("CUTOVER_LINK").filter(|value| !value.is_empty()) {
            Some(name) => Name::new(name.to_string_lossy())
                .map_err(|e| Failure::new(Exit::Usage, "usage", format!("CUTOVER_LINK: {e}")).into()),
            None => Ok(Name::new("current")?),
        }
    }

    /// How long to wait for a lock: `--lock-wait`, in an undo stage at least two minutes.
    pub fn wait(&self) -> Wait {
        let asked = self.options.lock_wait;
        Wait(if self.undoing() { asked.max(Duration::from_secs(120)) } else { asked })
    }
}

fn identity(path: &std::path::Path) -> Option<(u64, u64)> {
    nix::sys::stat::stat(path).ok().map(|stat| dir::Stat(stat).identity())
}
